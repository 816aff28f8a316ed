// Who is logged in, and until when; for any React app. `SessionProvider` at the root, `useSession` where
// it matters.
import {
  createContext,
  use,
  useEffect,
  useMemo,
  useState,
  useSyncExternalStore,
  type ReactNode,
} from 'react'
import type { Me } from '../../../shared/contract.ts'
import { createSessionStore, type SessionActions, type SessionState } from './store.ts'

export interface Session extends SessionActions {
  state: SessionState
}

const SessionContext = createContext<Session | undefined>(undefined)

export function SessionProvider({ children }: { children: ReactNode }) {
  const [store] = useState(createSessionStore)
  useEffect(() => store.open(), [store])
  const state = useSyncExternalStore(store.subscribe, store.current)
  const session = useMemo(() => ({ ...store, state }), [store, state])
  return <SessionContext value={session}>{children}</SessionContext>
}

export function useSession(): Session {
  const session = use(SessionContext)
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

/** Another value for each session, `undefined` without one: what belongs to a session depends on it. */
export function useSessionKey(): string | undefined {
  const { state } = useSession()
  return state.kind === 'loggedIn' ? state.me.csrfToken : undefined
}
