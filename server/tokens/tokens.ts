// The access token for a session, fresh, whoever asks: one read and one refresh at a time for each
// session in this process, however many requests wait for it, and none at all for most.
import type { Clock } from '../clock.ts'
import type { Notifications } from '../database/notifications.ts'
import type { Queryable } from '../database/pool.ts'
import type { Grant } from '../provider/provider.ts'
import { createCache } from '../sessions/cache.ts'
import type { LiveSession, SessionIdHash } from '../sessions/session.ts'
import type { Sessions } from '../sessions/sessions.ts'
import type { Refresh, RefreshResult } from './refresh.ts'
import type { ReadTokens, StoredTokens, TokenRows } from './rows.ts'
import { createTurnstile } from './turnstile.ts'

export type TokenOutcome =
  | { kind: 'fresh' | 'stillValid'; accessToken: string; expiresAt: Date }
  | { kind: 'ended' }
  | { kind: 'unavailable'; retryAfterSeconds: number }

export interface FreshOptions {
  /** The access token that an upstream refused: replaced once, unless it was meanwhile. */
  rejected?: string
}

export interface Tokens extends AsyncDisposable {
  /**
   * A token to call an upstream with. `stillValid`: it is near its end and could not be replaced.
   * `ended`: the session is over. `unavailable`: the token has expired and the provider does not answer.
   * Answers within 20 s. Throws `DatabaseUnavailable`.
   */
  fresh: (session: LiveSession, options?: FreshOptions) => Promise<TokenOutcome>
  /** The tokens as they are, for `/auth/me` and the logout; `undefined` when there are none to read. */
  read: (session: LiveSession) => Promise<Grant | undefined>
  /** Stores a new session's tokens, in the transaction that begins it. */
  keep: (transaction: Queryable, id: string, sid: SessionIdHash, grant: Grant) => Promise<void>
}

interface CachedToken {
  version: number
  accessToken: string
  expiresAt: Date
  refreshAtMs: number
  isRefreshable: boolean
  outcome: TokenOutcome
}

interface Flight {
  startedAt: number
  result: Promise<RefreshResult>
}

const cacheBytes = 8 * 1024 * 1024 // V8 lets the heap grow to some twice of what is alive
const patienceMs = 20_000 // under the 25 s that a proxied request has
const patienceWhileValidMs = 1000 // a slow provider is not waited for while the old token still holds
const marginMs = 5000 // a token that ends on its way to the API is no use
const forcedAgainAfterMs = 10_000 // an API that refuses every token must not become a load on the provider
const longestBackOffMs = 30_000
const turnMs = 4 // 250 refreshes a second, about half of what a processor can do

interface Parts {
  rows: TokenRows
  refresh: Refresh
  sessions: Pick<Sessions, 'end' | 'onEnded'>
  notifications: Pick<Notifications, 'listening' | 'onMessage' | 'onInterrupted'>
  clock: Clock
  refreshBeforeSeconds: number
}

export function createTokens(parts: Parts): Tokens {
  const { rows, refresh, sessions, notifications, clock, refreshBeforeSeconds } = parts
  const cache = createCache<SessionIdHash, CachedToken>(cacheBytes)
  const turn = createTurnstile(turnMs)
  const flights = new Map<SessionIdHash, Flight>()
  const reads = new Map<SessionIdHash, Promise<ReadTokens>>()
  const forcedAt = new Map<SessionIdHash, number>()
  const backOffs = new Map<SessionIdHash, { failures: number; until: number }>()

  const forget = (sid: SessionIdHash) => {
    cache.forget(sid)
    forcedAt.delete(sid)
    backOffs.delete(sid)
  }
  sessions.onEnded(({ sid }) => forget(sid))
  notifications.onInterrupted(() => cache.forgetAll())
  notifications.onMessage((message) => {
    if (!('event' in message && message.event === 'refreshed' && 'sid' in message)) return
    const sid = message.sid as SessionIdHash // token rows alone send `refreshed`, of such a hash
    const isNews = !('version' in message && message.version === cache.find(sid)?.version)
    if (isNews) cache.forget(sid)
  })

  const toCached = ({ grant, version }: StoredTokens): CachedToken => {
    const { accessToken, refreshToken, issuedAt, expiresAt } = grant
    // A token that lives for less than twice REFRESH_BEFORE would be refreshed at each request.
    const lifetimeMs = expiresAt.getTime() - issuedAt.getTime()
    const beforeMs = Math.min(refreshBeforeSeconds * 1000, lifetimeMs / 2)
    const outcome = { kind: 'fresh', accessToken, expiresAt } as const
    const refreshAtMs = expiresAt.getTime() - beforeMs
    const isRefreshable = refreshToken !== undefined
    return { version, accessToken, expiresAt, refreshAtMs, isRefreshable, outcome }
  }

  const remember = (sid: SessionIdHash, tokens: StoredTokens): CachedToken => {
    const known = cache.find(sid)
    if (known && known.version > tokens.version) return known // a refresh was faster than this read
    const cached = toCached(tokens)
    if (notifications.listening()) cache.keep(sid, cached, 600 + cached.accessToken.length)
    return cached
  }

  const backOff = (sid: SessionIdHash) => {
    const failures = (backOffs.get(sid)?.failures ?? 0) + 1
    const waitMs = Math.min(1000 * 2 ** (failures - 1), longestBackOffMs)
    backOffs.set(sid, { failures, until: performance.now() + waitMs })
  }

  /** The one refresh of a session in this process. It belongs to no request: all may leave, it goes on. */
  const fly = (session: LiveSession, version: number): Flight => {
    const { sid } = session
    const underWay = flights.get(sid)
    if (underWay) return underWay
    const run = async () => {
      try {
        await turn()
        const result = await refresh(session, version)
        if (result.kind === 'refreshed') {
          remember(sid, result.tokens)
          backOffs.delete(sid)
        }
        if (result.kind === 'unavailable') backOff(sid)
        return result
      } finally {
        flights.delete(sid)
      }
    }
    const flight = { startedAt: performance.now(), result: run() }
    // Whoever waits hears of a failure; if nobody does, the next request tries again.
    flight.result.catch(() => backOff(sid))
    flights.set(sid, flight)
    return flight
  }

  const readShared = (session: LiveSession): Promise<ReadTokens> => {
    // A read that began before it was asked for may miss a change that nobody could tell us of.
    if (!notifications.listening()) return rows.read(session)
    const underWay = reads.get(session.sid)
    if (underWay) return underWay
    const read = rows.read(session).finally(() => reads.delete(session.sid))
    reads.set(session.sid, read)
    return read
  }

  /** An upstream refused this very token: whoever hears of it while it is being replaced waits for the new one. */
  const isForced = (sid: SessionIdHash, token: CachedToken, rejected: string | undefined) =>
    rejected === token.accessToken &&
    (flights.has(sid) || performance.now() - (forcedAt.get(sid) ?? -Infinity) > forcedAgainAfterMs)

  /** What the row says; `undefined` when the session is over. */
  const readToken = async (session: LiveSession): Promise<CachedToken | undefined> => {
    const stored = await readShared(session)
    if (stored.kind === 'stored') return remember(session.sid, stored.tokens)
    // Sealed under a secret that was taken away: it can't come back, so it ends cleanly.
    if (stored.kind === 'unreadable') await sessions.end(session.sid, 'grant_ended')
    return undefined
  }

  const freshen = async (
    session: LiveSession,
    token: CachedToken,
    rejected: string | undefined,
  ): Promise<TokenOutcome> => {
    const { sid } = session
    const forced = isForced(sid, token, rejected)
    const now = clock.now().getTime()
    if (!forced && now < token.refreshAtMs) return token.outcome

    const validForMs = token.expiresAt.getTime() - marginMs - now
    const stillValid = { ...token.outcome, kind: 'stillValid' } as TokenOutcome // `outcome` is a fresh one
    const pausedMs = (backOffs.get(sid)?.until ?? 0) - performance.now()
    if (!token.isRefreshable) {
      if (validForMs > 0) return stillValid
      await sessions.end(sid, 'expired')
      return { kind: 'ended' }
    }
    if (pausedMs > 0 && !flights.has(sid)) {
      return validForMs > 0
        ? stillValid
        : { kind: 'unavailable', retryAfterSeconds: Math.ceil(pausedMs / 1000) }
    }

    if (forced) forcedAt.set(sid, performance.now())
    const flight = fly(session, token.version)
    const patience = validForMs > 0 && !forced ? patienceWhileValidMs : patienceMs
    const result = await withPatience(
      flight.result,
      patience - (performance.now() - flight.startedAt),
    )
    if (result?.kind === 'ended') return result
    if (result?.kind === 'refreshed') return toCached(result.tokens).outcome
    return validForMs > 0 ? stillValid : { kind: 'unavailable', retryAfterSeconds: 5 }
  }

  return {
    fresh: async (session, { rejected } = {}) => {
      const cached = notifications.listening() ? cache.find(session.sid) : undefined
      if (cached && rejected !== cached.accessToken && clock.now().getTime() < cached.refreshAtMs)
        return cached.outcome
      const token = cached ?? (await readToken(session))
      return token ? freshen(session, token, rejected) : { kind: 'ended' }
    },
    read: async (session) => {
      const stored = await rows.read(session)
      return stored.kind === 'stored' ? stored.tokens.grant : undefined
    },
    keep: rows.keep,
    [Symbol.asyncDispose]: async () => {
      await Promise.allSettled([...flights.values()].map(({ result }) => result))
    },
  }
}

/** The result, or `undefined` when it takes longer; the work itself goes on. */
async function withPatience<Result>(
  work: Promise<Result>,
  patienceMs: number,
): Promise<Result | undefined> {
  let timer: NodeJS.Timeout | undefined
  const impatience = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), Math.max(0, patienceMs))
  })
  try {
    return await Promise.race([work, impatience])
  } finally {
    clearTimeout(timer)
  }
}
