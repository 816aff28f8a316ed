import { useEffect, useState } from 'react'
import { Link } from 'wouter'
import { Mark } from '../mark.tsx'
import { takeLoggedOut, useSession } from '../session/session.tsx'

const promises = [
  {
    title: 'Nothing worth stealing',
    text: 'The browser holds one HttpOnly cookie. Access, refresh and ID tokens never leave the server, and lie there sealed.',
  },
  {
    title: 'Ended means ended',
    text: 'Log out, and every tab, stream and WebSocket of that session closes, in every process, within half a second.',
  },
  {
    title: 'Never logged out by a race',
    text: 'A thousand requests at the moment of expiry make one token request. A slow provider, a deploy or a crash ends nothing.',
  },
]

export function Landing() {
  const { state, logIn } = useSession()
  const [hasLoggedOut, setHasLoggedOut] = useState(false)
  useEffect(() => {
    if (takeLoggedOut()) setHasLoggedOut(true)
  }, [])

  return (
    <div className="landing">
      {hasLoggedOut && (
        <p className="notice calm" role="status">
          You are logged out, here and at the login service.
        </p>
      )}
      <section className="hero">
        <div>
          <h1>The gate between your app and your APIs</h1>
          <p className="lead">
            Gatehouse logs people in with OpenID Connect, keeps every token on the server, and
            passes HTTP and WebSocket calls on with the right one attached.
          </p>
          <div className="row">
            {state.kind === 'loggedIn' ? (
              <Link className="button" href="/dashboard">
                Go to the dashboard
              </Link>
            ) : (
              <button type="button" onClick={() => logIn('/dashboard')}>
                Log in
              </button>
            )}
          </div>
        </div>
        <div className="hero-mark">
          <Mark size={220} />
        </div>
      </section>
      <section className="three" aria-label="What it promises">
        {promises.map(({ title, text }) => (
          <article key={title} className="card">
            <h2>{title}</h2>
            <p>{text}</p>
          </article>
        ))}
      </section>
    </div>
  )
}
