// What this tab knows of the session, and everything that may change it: the gate's answers, its events,
// the other tabs, time. Without React; `session.tsx` is its window. Nothing of it is kept in storage but
// that somebody has logged out here, and where a login wanted to go.
import { paths, type EndReason, type LoggedOut, type Me } from '../../../shared/contract.ts'
import { createApi, type Api } from './api.ts'
import { findCsrfToken, forgetCsrfToken } from './csrf.ts'
import { forgetKeptText } from './kept-text.ts'
import { followSession, openTabs, type Tabs } from './tabs.ts'

export type SessionState =
  | { kind: 'unknown' }
  /** There may be a session, but nobody answers. Asked again until somebody does. */
  | { kind: 'unreachable' }
  | { kind: 'anonymous'; hasLoggedOut: boolean }
  | { kind: 'loggedIn'; me: Me }
  /** It was there a moment ago: the page stays, and offers to log in again. */
  | { kind: 'ended'; me: Me; reason: EndReason }

export interface SessionActions {
  api: Api
  /** Leaves for the provider, and comes back to this place or to the one given. */
  logIn: (returnTo?: string) => void
  /** Ends the session here, then at the provider. Throws as `api` does. */
  logOut: () => Promise<void>
  /** Says that the person is there: moves the idle end. Throws as `api` does. */
  stay: () => Promise<void>
  /** Asks the gate. What can't be known stays as it was. */
  check: () => Promise<void>
  /** What a WebSocket's close frame said. Better than to ask: see `end` in here. */
  hearEnd: (reason: EndReason) => void
  /** The gate's time in milliseconds, whatever this machine's clock says. */
  now: () => number
}

export interface SessionStore extends SessionActions {
  current: () => SessionState
  subscribe: (listener: () => void) => () => void
  /** Starts to listen. Gives the way to stop. */
  open: () => () => void
}

const loggedOutKey = 'gatehouse-logged-out'
const returnToKey = 'gatehouse-return-to'
const askAgainMs = 3000
const freshForMs = 10_000 // who flips between tabs does not ask each time
const heartbeatMs = 15_000
const clockToleranceMs = 2000 // `Date` knows whole seconds, and the way takes its time

/** Where the login that failed wanted to go. */
export function findReturnTo(): string | undefined {
  return sessionStorage.getItem(returnToKey) ?? undefined
}

export function createSessionStore(): SessionStore {
  let state: SessionState = { kind: 'unknown' }
  let tabs: Tabs | undefined
  let clockOffsetMs = 0
  let answeredAtMs = 0
  let asking: Promise<void> | undefined
  let askAgain: ReturnType<typeof setTimeout> | undefined
  let followed: { csrfToken: string; stop: () => void } | undefined
  const listeners = new Set<() => void>()

  const become = (next: SessionState) => {
    const isNew =
      next.kind === 'loggedIn' && !(state.kind === 'loggedIn' && isSame(state.me, next.me))
    state = next
    if (isNew) {
      sessionStorage.removeItem(loggedOutKey)
      sessionStorage.removeItem(returnToKey)
      tabs?.tell({ kind: 'began' })
    }
    follow()
    for (const listener of listeners) listener()
  }

  /** One stream for the session that there is, none without. */
  const follow = () => {
    const csrfToken = state.kind === 'loggedIn' && tabs ? state.me.csrfToken : undefined
    if (followed?.csrfToken === csrfToken) return
    followed?.stop()
    followed =
      csrfToken === undefined
        ? undefined
        : {
            csrfToken,
            stop: followSession({
              isThere: () => findCsrfToken() === csrfToken,
              onEnded: (reason) => end(reason, true),
              onGap: () => void check(),
            }),
          }
  }

  const beAnonymous = () =>
    become({ kind: 'anonymous', hasLoggedOut: sessionStorage.getItem(loggedOutKey) !== null })

  const end = (reason: EndReason, isNews: boolean) => {
    if (state.kind === 'unknown' || state.kind === 'unreachable') return beAnonymous()
    if (state.kind !== 'loggedIn') return undefined
    const { me } = state
    const token = findCsrfToken()
    if (token !== undefined && token !== me.csrfToken) return void check() // another one took its place
    // A new login is about to put its cookies there. Whoever asked the gate now, with the old ones, would
    // have them cleared by the answer, and perhaps the new ones with them.
    if (reason !== 'replaced') forgetCsrfToken(me.csrfToken)
    if (isNews) tabs?.tell({ kind: 'ended', reason })
    if (reason !== 'logout') return become({ kind: 'ended', me, reason })
    // Whoever logs out leaves nothing behind for the next person.
    sessionStorage.setItem(loggedOutKey, '1')
    forgetKeptText()
    return beAnonymous()
  }

  const ask = async () => {
    clearTimeout(askAgain)
    const token = findCsrfToken()
    // Without the cookie there is no session: nothing to ask, and no failing request in the console.
    if (token === undefined) return end('expired', true)
    const response = await fetch(paths.me).catch((error: unknown) => {
      if (!(error instanceof TypeError)) throw error
      return undefined // offline
    })
    if (response?.ok) {
      const me = (await response.json()) as Me // as shared/ says
      const offsetMs = Date.parse(response.headers.get('Date') ?? '') - Date.now()
      clockOffsetMs = Math.abs(offsetMs) > clockToleranceMs ? offsetMs : 0
      answeredAtMs = Date.now()
      return become({ kind: 'loggedIn', me })
    }
    if (response?.status === 401) {
      forgetCsrfToken(token)
      return end('expired', true)
    }
    // The store or the network is away for a moment: nobody is logged out by that.
    if (state.kind === 'unknown') become({ kind: 'unreachable' })
    askAgain = setTimeout(() => void check(), askAgainMs * (1 + Math.random()))
    return undefined
  }

  const check = () => {
    asking ??= ask().finally(() => {
      asking = undefined
    })
    return asking
  }

  const api = createApi(() => end('expired', true))

  return {
    api,
    check,
    hearEnd: (reason) => end(reason, true),
    current: () => state,
    subscribe: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    now: () => Date.now() + clockOffsetMs,
    stay: async () => {
      await api.send('POST', paths.refresh)
      await asking // it may have been asked before we said so
      await check()
      tabs?.tell({ kind: 'stayed' })
    },
    logIn: (returnTo = location.pathname + location.search + location.hash) => {
      sessionStorage.setItem(returnToKey, returnTo)
      location.assign(`${paths.login}?returnTo=${encodeURIComponent(returnTo)}`)
    },
    logOut: async () => {
      const { logoutUrl } = await api.send<LoggedOut>('POST', paths.logout)
      end('logout', true)
      location.assign(logoutUrl)
    },
    open: () => {
      const stop = new AbortController()
      const { signal } = stop
      tabs = openTabs((message) => {
        if (message.kind === 'ended') end(message.reason, false)
        else if (message.kind === 'stayed') void check()
        else if (!(state.kind === 'loggedIn' && state.me.csrfToken === findCsrfToken()))
          void check()
      })
      follow()
      void check()

      // Back from sleep, another app or the back/forward cache: much may have happened.
      const lookAgain = () => {
        if (document.visibilityState === 'visible' && Date.now() - answeredAtMs > freshForMs)
          void check()
      }
      document.addEventListener('visibilitychange', lookAgain, { signal })
      addEventListener('online', lookAgain, { signal })
      addEventListener(
        'pageshow',
        ({ persisted }) => {
          if (!persisted) return
          follow()
          void check()
        },
        { signal },
      )
      // A page that holds a lock is not kept for the back button.
      addEventListener(
        'pagehide',
        () => {
          followed?.stop()
          followed = undefined
        },
        { signal },
      )
      let beatAtMs = Date.now()
      const heartbeat = setInterval(() => {
        const hasSlept = Date.now() - beatAtMs > 3 * heartbeatMs
        beatAtMs = Date.now()
        if (hasSlept) lookAgain()
      }, heartbeatMs)

      return () => {
        stop.abort()
        clearInterval(heartbeat)
        clearTimeout(askAgain)
        followed?.stop()
        followed = undefined
        tabs?.close()
        tabs = undefined
      }
    },
  }
}

const isSame = (one: Me, other: Me) => one.csrfToken === other.csrfToken
