// Which page is where, and the frame around it: who is here, where one can go, what the session says.
import { lazy, Suspense, useEffect, useRef, type ReactNode } from 'react'
import { Redirect, Route, Switch, useLocation } from 'wouter'
import { signInProblemPath } from '../../shared/contract.ts'
import { Landing } from './pages/landing.tsx'
import { Entrance } from './parts/entrance.tsx'
import { ErrorBoundary } from './parts/error-boundary.tsx'
import { Header } from './parts/header.tsx'
import { Skeleton } from './parts/skeleton.tsx'
import { SessionNotices } from './parts/session-notices.tsx'
import { useSession } from './session/session.tsx'

const Dashboard = lazy(() => import('./pages/dashboard.tsx'))
const Account = lazy(() => import('./pages/account.tsx'))
const Devices = lazy(() => import('./pages/devices.tsx'))
const SignInProblem = lazy(() => import('./pages/sign-in-problem.tsx'))
const NotFound = lazy(() => import('./pages/not-found.tsx'))

export function App() {
  const [path] = useLocation()
  return (
    <>
      <a className="skip" href="#content">
        Skip to the content
      </a>
      <Header />
      <Content path={path}>
        <ErrorBoundary key={path}>
          <Suspense fallback={<Skeleton />}>
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
              <Route path={signInProblemPath}>
                <SignInProblem />
              </Route>
              <Route path="/index.html">
                <Redirect to="/" replace />
              </Route>
              <Route component={NotFound} />
            </Switch>
          </Suspense>
        </ErrorBoundary>
      </Content>
      <footer className="footer">
        <p>
          Your browser holds one cookie that no script can read. Every token stays on the server.
        </p>
      </footer>
      <SessionNotices />
    </>
  )
}

/** Moves the focus to a new page, so that a screen reader reads it; not to the first one, which is read anyway. */
function Content({ path, children }: { path: string; children: ReactNode }) {
  const main = useRef<HTMLElement>(null)
  const shownPath = useRef(path)
  useEffect(() => {
    if (shownPath.current === path) return
    shownPath.current = path
    main.current?.focus({ preventScroll: true })
  }, [path])
  return (
    <main id="content" ref={main} tabIndex={-1}>
      {children}
    </main>
  )
}

/** A page for people who are logged in. It stays, with what was typed, while the same person logs in again. */
function ForPeople({ children }: { children: ReactNode }) {
  const { state } = useSession()
  switch (state.kind) {
    case 'loggedIn':
    case 'ended':
      return <div key={state.me.user.sub}>{children}</div>
    case 'unknown':
      return <Skeleton />
    case 'unreachable':
    case 'anonymous':
      return <Entrance />
  }
}
