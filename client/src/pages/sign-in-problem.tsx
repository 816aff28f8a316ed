import { useSearch } from 'wouter'
import { useSession } from '../session/session.tsx'

interface Problem {
  title: string
  text: string
}

const general: Problem = {
  title: 'The login did not work',
  text: 'The login service refused it. Please try again; if it goes on, tell whoever looks after this app the code below.',
}
const busy: Problem = {
  title: 'The login service is not available',
  text: 'It does not answer just now. Nothing is lost: please try again in a moment.',
}
const problems = new Map<string, Problem>([
  [
    'access_denied',
    {
      title: 'You gave up the login',
      text: 'Or the login service does not let you in here. You can try again, perhaps as someone else.',
    },
  ],
  [
    'invalid_state',
    {
      title: 'This login is too old',
      text: 'It was begun more than ten minutes ago, in another browser, or was finished before. Please begin again.',
    },
  ],
  [
    'token_exchange_failed',
    {
      title: 'The login could not be finished',
      text: 'The login service sent an answer that does not hold. Please try again.',
    },
  ],
  ['provider_unavailable', busy],
  ['temporarily_unavailable', busy],
  ['server_error', busy],
  [
    'database_unavailable',
    {
      title: 'We cannot log you in just now',
      text: 'Our own store does not answer. Please try again in a moment.',
    },
  ],
  [
    'login_required',
    {
      title: 'You have to log in',
      text: 'The login service wants to see you before it lets you through.',
    },
  ],
  [
    'interaction_required',
    {
      title: 'The login service has a question',
      text: 'It wants something of you first. Please log in again and follow it.',
    },
  ],
  [
    'consent_required',
    {
      title: 'Your consent is needed',
      text: 'The login service wants you to agree first. Please log in again.',
    },
  ],
])

/** Each code in words, with the next step. */
export default function SignInProblem() {
  const { logIn } = useSession()
  const code = new URLSearchParams(useSearch()).get('error') ?? ''
  const { title, text } = problems.get(code) ?? general
  return (
    <section className="narrow card">
      <h1>{title}</h1>
      <p>{text}</p>
      {/^[a-z_]{1,60}$/.test(code) && (
        <p className="hint">
          Code: <code>{code}</code>
        </p>
      )}
      <button type="button" onClick={() => logIn('/dashboard')}>
        Try again
      </button>
    </section>
  )
}
