import { Link } from 'wouter'
import { useSession } from '../session/session.tsx'

const walk = [
  {
    title: 'Somebody logs in',
    text: 'At your own provider, by OpenID Connect with PKCE. The answer comes to the server, and the tokens stay there, sealed with a key that only this browser’s cookie completes.',
  },
  {
    title: 'The app calls its API',
    text: 'An ordinary fetch to the same origin. The gate checks where it comes from, puts the bearer token on, and renews it before it expires: once, however many calls ask.',
  },
  {
    title: 'The API talks back',
    text: 'Answers, server-sent events and WebSockets pass as they are written. An open socket belongs to its session, and closes with it.',
  },
  {
    title: 'The session ends',
    text: 'By logging out, from another device, at the provider, or by time. Every tab, stream and socket hears of it within a second; what was typed stays.',
  },
]

export function Landing() {
  const { state } = useSession()
  return (
    <div className="landing">
      {state.kind === 'anonymous' && state.hasLoggedOut && (
        <p className="calm-notice" role="status">
          You are logged out, here and at the login service.
        </p>
      )}
      <section className="hero">
        <div className="hero-words">
          <h1>Tokens stay at the gate</h1>
          <p className="lead">
            Gatehouse stands between a browser app and its APIs. It logs people in, keeps every
            token on the server, and passes HTTP and WebSocket calls on with the right one attached.
          </p>
          <div className="row hero-actions">
            <WayIn />
            <a className="button" href="#walk">
              How it works
            </a>
          </div>
          {import.meta.env.DEV && (
            <p className="hint">
              For development: <code>ada</code> or <code>grace</code>, password{' '}
              <code>gatehouse</code>
            </p>
          )}
        </div>
        <Scene />
      </section>

      <section className="walk" id="walk" aria-labelledby="walk-title">
        <h2 id="walk-title">A session, from end to end</h2>
        <ol>
          {walk.map(({ title, text }) => (
            <li key={title}>
              <h3>{title}</h3>
              <p>{text}</p>
            </li>
          ))}
        </ol>
      </section>

      <section className="holdings" aria-label="Who holds what">
        <div>
          <h2>What the browser holds</h2>
          <ul>
            <li>One HttpOnly cookie, bound to this origin</li>
            <li>A value against forged requests, worthless alone</li>
          </ul>
        </div>
        <div>
          <h2>What it never sees</h2>
          <ul>
            <li>Access tokens, refresh tokens, ID tokens</li>
            <li>The client secret, or where the APIs are</li>
          </ul>
        </div>
      </section>
    </div>
  )
}

/** The main button: in its place from the start, whatever it will say. */
function WayIn() {
  const { state, logIn } = useSession()
  if (state.kind === 'loggedIn')
    return (
      <Link className="button primary large" href="/dashboard">
        Go to the dashboard
      </Link>
    )
  return (
    <button
      type="button"
      className="button primary large"
      disabled={state.kind === 'unknown' || state.kind === 'unreachable'}
      onClick={() => logIn('/dashboard')}
    >
      Log in
    </button>
  )
}

/** The picture of the whole: cookie on this side of the gate, token on the other. */
function Scene() {
  return (
    <figure className="scene">
      <div className="scene-side">
        <strong>Browser</strong>
        <span>a cookie</span>
      </div>
      <svg viewBox="0 0 200 236" className="scene-gate" aria-hidden="true">
        <path
          className="wall"
          d="M10 236V66h10V50h20v16h16V50h20v16h16V50h16v16h16V50h20v16h16V50h20v16h10v170z"
        />
        <path className="opening" d="M58 236V150a42 42 0 0 1 84 0v86z" />
        <path className="stones" d="M48 236V150a52 52 0 0 1 104 0v86" />
        <path className="road" d="M0 214H200" />
        <circle className="traveller out" cx="0" cy="214" r="4.5" />
        <circle className="traveller back" cx="200" cy="214" r="4.5" />
        <path className="chain" d="M100 108v20" />
        <circle className="glow" cx="100" cy="138" r="30" />
        <circle className="lamp" cx="100" cy="138" r="9" />
      </svg>
      <div className="scene-side">
        <strong>Your APIs</strong>
        <span>a bearer token</span>
      </div>
    </figure>
  )
}
