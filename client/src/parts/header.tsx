import { useState } from 'react'
import { Link, useLocation } from 'wouter'
import { signInProblemPath } from '../../../shared/contract.ts'
import { useSession } from '../session/session.tsx'
import { Mark } from './mark.tsx'
import { ThemeSwitch } from './theme-switch.tsx'

const places = [
  {
    path: '/dashboard',
    name: 'Dashboard',
    drawing: 'M4 5h10v12H4zM18 5h10v7H18zM18 16h10v11H18zM4 21h10v6H4z',
  },
  {
    path: '/account',
    name: 'Account',
    drawing: 'M16 4a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13zM4 28c0-5.5 5-9 12-9s12 3.5 12 9z',
  },
  { path: '/devices', name: 'Devices', drawing: 'M3 6h20v14H3zM8 23h9v3H8zM25 12h5v14h-9v-4h4z' },
]

export function Header() {
  const { state } = useSession()
  const [path] = useLocation()
  const isKnown = state.kind === 'loggedIn' || state.kind === 'ended'
  return (
    <header className="header">
      <Link href="/" className="brand" onClick={toTop}>
        <Mark /> <span>Gatehouse</span>
      </Link>
      {isKnown && (
        <nav aria-label="Main" className="places">
          {places.map(({ path: target, name, drawing }) => (
            <Link
              key={target}
              href={target}
              aria-current={path === target ? 'page' : undefined}
              onClick={toTop}
            >
              <svg width="20" height="20" viewBox="0 0 32 32" aria-hidden="true">
                <path d={drawing} />
              </svg>
              {name}
            </Link>
          ))}
        </nav>
      )}
      <div className="header-end">
        <ThemeSwitch />
        <Door path={path} />
      </div>
    </header>
  )
}

/** The way in, or out. Its place is there before it is known which. */
function Door({ path }: { path: string }) {
  const { state, logIn, logOut } = useSession()
  const [problem, setProblem] = useState<string>()
  switch (state.kind) {
    case 'unknown':
      return <span className="button ghost" aria-hidden="true" />
    case 'unreachable':
      return null
    case 'anonymous':
    case 'ended': {
      const isNoPlaceToReturnTo = path === '/' || path === signInProblemPath
      return (
        <button
          type="button"
          className="button"
          onClick={() => logIn(isNoPlaceToReturnTo ? '/dashboard' : undefined)}
        >
          Log in
        </button>
      )
    }
    case 'loggedIn':
      return (
        <>
          <span className="who" title="You are logged in">
            {state.me.user.name ?? state.me.user.sub}
          </span>
          <button
            type="button"
            className="button"
            onClick={() => {
              setProblem(undefined)
              logOut().catch((error: unknown) =>
                setProblem(error instanceof Error ? error.message : 'It failed.'),
              )
            }}
          >
            Log out
          </button>
          {problem !== undefined && (
            <p className="header-problem" role="alert">
              You are still logged in. {problem}
            </p>
          )}
        </>
      )
  }
}

/** A new page begins at its top; going back, the browser knows where one was. */
const toTop = () => scrollTo({ top: 0, behavior: 'instant' })
