// The frame around every page: who is here, where one can go, and what to do when the session ends.
import { lazy, Suspense, useEffect, useRef, type ReactNode } from 'react'
import { Link, Route, Switch, useLocation } from 'wouter'
import { signInProblemPath } from '../../shared/contract.ts'
import { Mark } from './mark.tsx'
import { Landing } from './pages/landing.tsx'
import { useSession } from './session/session.tsx'
import { EndedNotice, IdleDialog } from './session-dialogs.tsx'
import { ThemeSwitch } from './theme-switch.tsx'

const Dashboard = lazy(() => import('./pages/dashboard.tsx'))
const Account = lazy(() => import('./pages/account.tsx'))
const Devices = lazy(() => import('./pages/devices.tsx'))
const SignInProblem = lazy(() => import('./pages/sign-in-problem.tsx'))
const NotFound = lazy(() => import('./pages/not-found.tsx'))

const places = [
  { path: '/dashboard', name: 'Dashboard' },
  { path: '/account', name: 'Account' },
  { path: '/devices', name: 'Devices' },
]

export function App() {
  return (
    <>
      <a className="skip" href="#content">
        Skip to the content
      </a>
      <Header />
      <EndedNotice />
      <IdleDialog />
      <Page>
        <Suspense fallback={<p className="loading">Loading…</p>}>
          <Switch>
            <Route path="/" component={Landing} />
            <Route path="/dashboard">
              <ForPeople>
                <Dashboard />
              </ForPeople>
            </Route>
            <Route path="/account">
              <ForPeople>
                <Account />
              </ForPeople>
            </Route>
            <Route path="/devices">
              <ForPeople>
                <Devices />
              </ForPeople>
            </Route>
            <Route path={signInProblemPath} component={SignInProblem} />
            <Route component={NotFound} />
          </Switch>
        </Suspense>
      </Page>
      <footer>
        <p>
          Your browser holds one cookie that no script can read. Every token stays on the server.
        </p>
      </footer>
    </>
  )
}

function Header() {
  const { state, logIn, logOut } = useSession()
  const [path] = useLocation()
  const isKnown = state.kind === 'loggedIn' || state.kind === 'ended'
  return (
    <header>
      <Link href="/" className="brand">
        <Mark /> Gatehouse
      </Link>
      {isKnown && (
        <nav aria-label="Main">
          {places.map((place) => (
            <Link
              key={place.path}
              href={place.path}
              aria-current={path === place.path ? 'page' : undefined}
            >
              {place.name}
            </Link>
          ))}
        </nav>
      )}
      <div className="header-end">
        <ThemeSwitch />
        {state.kind === 'loggedIn' && (
          <button type="button" className="quiet" onClick={() => void logOut()}>
            Log out
          </button>
        )}
        {(state.kind === 'anonymous' || state.kind === 'ended') && (
          <button
            type="button"
            onClick={() =>
              logIn(path === '/' || path === signInProblemPath ? '/dashboard' : undefined)
            }
          >
            Log in
          </button>
        )}
      </div>
    </header>
  )
}

/** Moves the focus to a new page, so that a screen reader reads it; not to the first one, which is read anyway. */
function Page({ children }: { children: ReactNode }) {
  const [path] = useLocation()
  const main = useRef<HTMLElement>(null)
  const isFirst = useRef(true)
  useEffect(() => {
    if (isFirst.current) isFirst.current = false
    else main.current?.focus()
  }, [path])
  return (
    <main id="content" ref={main} tabIndex={-1}>
      {children}
    </main>
  )
}

/** A page for people who are logged in; it stays while they log in again. */
function ForPeople({ children }: { children: ReactNode }) {
  const { state, logIn } = useSession()
  if (state.kind === 'unknown') return <p className="loading">Loading…</p>
  if (state.kind !== 'anonymous') return children
  return (
    <section className="narrow card">
      <h1>Please log in</h1>
      <p>This page is for people who are logged in. You will come back here.</p>
      <button type="button" onClick={() => logIn()}>
        Log in
      </button>
    </section>
  )
}
