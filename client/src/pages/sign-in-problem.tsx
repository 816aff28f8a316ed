// Why a login failed, each code in words, with the next step.
import { Link, useSearch } from 'wouter'
import type { signInProblems } from '../../../shared/contract.ts'
import { Mark } from '../parts/mark.tsx'
import { PageTitle } from '../parts/page-title.tsx'
import { useSession } from '../session/session.tsx'
import { findReturnTo } from '../session/store.ts'

interface Problem {
  title: string
  text: string
  /** Trying again can't help: somebody has to mend the set-up first. */
  isSetUp?: boolean
}

const busy: Problem = {
  title: 'The login service is not available',
  text: 'It does not answer just now. Nothing is lost: wait a moment, then try again.',
}
const asksSomething: Problem = {
  title: 'The login service wants something of you first',
  text: 'It has a question that it could not ask on the way. Log in again, and follow what it says.',
}
const setUp: Problem = {
  title: 'This app and its login service do not agree',
  text: 'The login service refuses how this app asks. Trying again will not help: please tell whoever looks after the app the code below.',
  isSetUp: true,
}
const general: Problem = {
  title: 'The login did not work',
  text: 'The login service refused it. Try again; if it goes on, tell whoever looks after this app the code below.',
}

const ours: Record<(typeof signInProblems)[number], Problem> = {
  invalid_state: {
    title: 'This login is no longer valid',
    text: 'It was begun more than ten minutes ago or in another browser, or it has been finished already. Begin again from here.',
  },
  token_exchange_failed: {
    title: 'The login could not be finished',
    text: 'You did your part, but what the login service sent us did not hold. Try again.',
  },
  provider_unavailable: busy,
  database_unavailable: {
    title: 'We can’t log you in just now',
    text: 'Our own store does not answer. Wait a moment, then try again.',
  },
}
// RFC 6749 §4.1.2.1 and OpenID Connect Core §3.1.2.6
const theirs: Record<string, Problem> = {
  access_denied: {
    title: 'The login was refused',
    text: 'You gave it up, or the login service does not let you in here. Try again, perhaps as somebody else.',
  },
  login_required: {
    title: 'You have to log in',
    text: 'The login service wants to see you before it lets you through.',
  },
  interaction_required: asksSomething,
  account_selection_required: asksSomething,
  consent_required: asksSomething,
  unmet_authentication_requirements: {
    title: 'A stronger login is needed',
    text: 'This app asks for a way to log in that was not used. Try again with a second factor.',
  },
  temporarily_unavailable: busy,
  server_error: busy,
  invalid_request: setUp,
  invalid_scope: setUp,
  invalid_target: setUp,
  unauthorized_client: setUp,
  unsupported_response_type: setUp,
}
const problems = new Map(Object.entries({ ...theirs, ...ours }))

export default function SignInProblem() {
  const { state, logIn } = useSession()
  const code = new URLSearchParams(useSearch()).get('error')
  if (code === null) return <LogInPage />
  const { title, text, isSetUp = false } = problems.get(code) ?? general
  const isShowable = /^[a-z_]{1,60}$/.test(code) // anybody can make such a link: no sentences of theirs
  return (
    <section className="lonely">
      <Mark size={56} />
      <PageTitle name={title} />
      <p>{text}</p>
      {isShowable && (
        <p className="hint">
          Code: <code>{code}</code>
        </p>
      )}
      <div className="row">
        <button
          type="button"
          className={isSetUp ? 'button' : 'button primary'}
          onClick={() => logIn(findReturnTo() ?? '/dashboard')}
        >
          Try again
        </button>
        {state.kind === 'loggedIn' && (
          <Link className="button" href="/dashboard">
            Stay as {state.me.user.name ?? state.me.user.sub}
          </Link>
        )}
        {state.kind !== 'loggedIn' && (
          <Link className="button" href="/">
            To the start
          </Link>
        )}
      </div>
    </section>
  )
}

/** `/login` without a problem: the address that people type. */
function LogInPage() {
  const { state, logIn } = useSession()
  return (
    <section className="lonely">
      <Mark size={56} />
      {state.kind === 'loggedIn' ? (
        <>
          <PageTitle name="You are logged in" />
          <Link className="button primary" href="/dashboard">
            Go to the dashboard
          </Link>
        </>
      ) : (
        <>
          <PageTitle name="Log in" />
          <p>You do that at the login service, and come back here.</p>
          <button type="button" className="button primary" onClick={() => logIn('/dashboard')}>
            Log in
          </button>
        </>
      )}
    </section>
  )
}
