// Who is logged in, and until when; for any React app. `SessionProvider` at the root, `useSession` where
// it matters. Nothing of the session is kept in the browser's storage.
import {
  createContext,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
  type ReactNode,
} from 'react'
import { paths, type EndReason, type LoggedOut, type Me } from '../../../shared/contract.ts'
import { createApi, readCsrfToken, type Api } from './api.ts'
import { followSession, openTabs, type Tabs } from './tabs.ts'

export type SessionState =
  | { kind: 'unknown' }
  | { kind: 'anonymous' }
  | { kind: 'loggedIn'; me: Me }
  /** It was there a moment ago: the page stays, and offers to log in again. */
  | { kind: 'ended'; me: Me; reason: EndReason }

export interface Session {
  state: SessionState
  api: Api
  /** Leaves for the provider, and comes back to this place or the one given. */
  logIn: (returnTo?: string) => void
  logOut: () => Promise<void>
  /** Says that the person is there: moves the idle end. */
  stay: () => Promise<void>
  /** Asks the gate how it is. */
  check: () => Promise<void>
  /** The gate's time, whatever this machine's clock says. */
  now: () => number
}

const SessionContext = createContext<Session | undefined>(undefined)
const justLoggedOut = 'gatehouse-logged-out'

export function useSession(): Session {
  const session = useContext(SessionContext)
  if (!session) throw new Error('useSession needs a SessionProvider above it')
  return session
}

/** The person of a page that only people who are logged in see. */
export function useMe(): Me {
  const { state } = useSession()
  if (state.kind !== 'loggedIn' && state.kind !== 'ended')
    throw new Error('nobody is logged in here')
  return state.me
}

/** Whether the person has just logged out; says so once. */
export function takeLoggedOut(): boolean {
  const is = sessionStorage.getItem(justLoggedOut) !== null
  sessionStorage.removeItem(justLoggedOut)
  return is
}

export function SessionProvider({ children }: { children: ReactNode }) {
  const [state, setState] = useState<SessionState>({ kind: 'unknown' })
  const tabs = useRef<Tabs>(undefined)
  const clockOffsetMs = useRef(0)
  const isLoggedIn = state.kind === 'loggedIn'

  const session = useMemo(() => {
    const ended = (reason: EndReason) =>
      setState((before) =>
        before.kind === 'loggedIn'
          ? { kind: 'ended', me: before.me, reason }
          : before.kind === 'unknown'
            ? { kind: 'anonymous' }
            : before,
      )
    const api = createApi(() => ended('expired'))

    let asking: Promise<void> | undefined
    const ask = async () => {
      // Without the cookie there is no session: nothing to ask, and no failing request in the console.
      if (readCsrfToken() === undefined) return ended('expired')
      const response = await fetch(paths.me)
      clockOffsetMs.current = Date.parse(response.headers.get('Date') ?? '') - Date.now() || 0
      if (response.status === 401) return ended('expired')
      if (!response.ok) return undefined // the store is away for a moment: nobody is logged out by that
      const me = (await response.json()) as Me // as shared/ says
      return setState({ kind: 'loggedIn', me })
    }
    const check = () => {
      asking ??= ask()
        .catch((error: unknown) => {
          if (!(error instanceof TypeError)) throw error // offline: what was known stays
          setState((before) => (before.kind === 'unknown' ? { kind: 'anonymous' } : before))
        })
        .finally(() => {
          asking = undefined
        })
      return asking
    }

    return {
      api,
      check,
      ended,
      now: () => Date.now() + clockOffsetMs.current,
      stay: async () => {
        await api.send('POST', paths.refresh)
        await check()
      },
      logIn: (returnTo = location.pathname + location.search + location.hash) =>
        location.assign(`${paths.login}?returnTo=${encodeURIComponent(returnTo)}`),
      logOut: async () => {
        const { logoutUrl } = await api.send<LoggedOut>('POST', paths.logout)
        tabs.current?.tell({ kind: 'ended', reason: 'logout' })
        sessionStorage.setItem(justLoggedOut, '1')
        location.assign(logoutUrl)
      },
    }
  }, [])

  useEffect(() => {
    tabs.current = openTabs((message) => {
      if (message.kind === 'ended') session.ended(message.reason)
      else void session.check()
    })
    void session.check()
    // Back from sleep, another app, or the back/forward cache: much may have happened.
    const onShown = () => document.visibilityState === 'visible' && void session.check()
    const onPageShow = (event: PageTransitionEvent) => event.persisted && void session.check()
    document.addEventListener('visibilitychange', onShown)
    addEventListener('pageshow', onPageShow)
    return () => {
      document.removeEventListener('visibilitychange', onShown)
      removeEventListener('pageshow', onPageShow)
      tabs.current?.close()
    }
  }, [session])

  useEffect(() => {
    if (!isLoggedIn) return undefined
    tabs.current?.tell({ kind: 'loggedIn' })
    return followSession(
      (reason) => {
        session.ended(reason)
        tabs.current?.tell({ kind: 'ended', reason })
      },
      () => void session.check(),
    )
  }, [isLoggedIn, session])

  const value = useMemo(() => ({ ...session, state }), [session, state])
  return <SessionContext value={value}>{children}</SessionContext>
}
