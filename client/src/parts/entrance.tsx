import { useSession } from '../session/session.tsx'
import { Mark } from './mark.tsx'

/** In place of a page for people who are logged in, for somebody who is not. */
export function Entrance() {
  const { state, logIn, check } = useSession()
  if (state.kind === 'unreachable')
    return (
      <section className="lonely" role="status">
        <Mark size={56} />
        <h1>The gate does not answer</h1>
        <p>
          You are not logged out by that. This page asks again every few seconds, and goes on by
          itself.
        </p>
        <button type="button" className="button" onClick={() => void check()}>
          Ask now
        </button>
      </section>
    )
  const hasLoggedOut = state.kind === 'anonymous' && state.hasLoggedOut
  return (
    <section className="lonely">
      <Mark size={56} />
      <h1>{hasLoggedOut ? 'You have logged out.' : 'Please log in'}</h1>
      <p>This page is for people who are logged in. Afterwards you are back here.</p>
      <button type="button" className="button primary" onClick={() => logIn()}>
        Log in
      </button>
    </section>
  )
}
