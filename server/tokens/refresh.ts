// New tokens for a session, asked for once whatever the number of processes. The life of a lease:
//
//   none ──takeLease──▶ held ──replace (new version)──▶ none
//     ▲                  │ └──returnLease (nothing came)──▶ none
//     └──── its time is up (the process that held it died) ◀──┘
//
// No transaction and no connection is held while the provider answers. Nobody's request owns the
// refresh: it is neither aborted when a browser leaves nor cut by SIGTERM, because a refresh token that
// is spent without storing the new one is a session lost (RFC 9700 §4.14).
import { setTimeout as delay } from 'node:timers/promises'
import type { Notifications } from '../database/notifications.ts'
import type { DatabaseLog } from '../database/pool.ts'
import { DatabaseUnavailable } from '../errors.ts'
import { describeFault } from '../provider/faults.ts'
import type { Grant, Provider } from '../provider/provider.ts'
import type { LiveSession, SessionIdHash } from '../sessions/session.ts'
import type { Sessions } from '../sessions/sessions.ts'
import type { StoredTokens, TokenRows } from './rows.ts'

export type RefreshResult =
  | { kind: 'refreshed'; tokens: StoredTokens }
  | { kind: 'ended' }
  | { kind: 'unavailable' }

export interface RefreshEvents {
  tokenRefreshed: (session: LiveSession) => void
  refreshFailed: (session: LiveSession, facts: { ended: boolean; fault: object }) => void
}

const leaseMs = 30_000 // longer than two token requests of 10 s each, and the storing
const storeWithinMs = 600_000 // a failover, or a database that somebody has to start again
const pollMs = 300 // behind the notification, which may be lost

export interface Refresh {
  /** New tokens in place of this version, from the provider or from whoever was faster. Throws `DatabaseUnavailable`. */
  (session: LiveSession, version: number): Promise<RefreshResult>
}

interface Parts {
  rows: TokenRows
  provider: Pick<Provider, 'refresh' | 'revoke'>
  sessions: Pick<Sessions, 'end'>
  notifications: Pick<Notifications, 'onMessage'>
  events: RefreshEvents
  log: DatabaseLog
}

export function createRefresh(parts: Parts): Refresh {
  const { rows, provider, sessions, notifications, events, log } = parts
  const waiting = new Map<string, Set<() => void>>()
  notifications.onMessage((message) => {
    if (!('sid' in message) || typeof message.sid !== 'string') return
    for (const wake of waiting.get(message.sid) ?? []) wake()
  })

  /** Until somebody says that the session changed, or it is time to look anyway. */
  const untilChanged = async (sid: SessionIdHash) => {
    const changed = new AbortController()
    const wake = () => changed.abort()
    const others = waiting.get(sid) ?? new Set()
    waiting.set(sid, others.add(wake))
    try {
      await delay(pollMs, undefined, { signal: changed.signal })
    } catch (error) {
      if (!changed.signal.aborted) throw error
    } finally {
      others.delete(wake)
      if (others.size === 0) waiting.delete(sid)
    }
  }

  const end = async (session: LiveSession): Promise<RefreshResult> => {
    await sessions.end(session.sid, 'grant_ended')
    return { kind: 'ended' }
  }

  /** What there is instead of the version that is not there any more. */
  const readNewer = async (
    session: LiveSession,
    version: number,
  ): Promise<RefreshResult | undefined> => {
    const now = await rows.read(session)
    if (now.kind === 'gone') return { kind: 'ended' }
    if (now.kind === 'unreadable') return end(session)
    return now.tokens.version === version ? undefined : { kind: 'refreshed', tokens: now.tokens }
  }

  /**
   * Stores what was granted. The old refresh token is spent and this is the only copy of the new one, so a
   * database that is away is waited for, longer than the lease: to give up would lose the session for sure.
   * Whoever took the lease meanwhile has made another version, which this does not touch.
   */
  const store = async (session: LiveSession, version: number, grant: Grant): Promise<boolean> => {
    const giveUpAt = performance.now() + storeWithinMs
    for (let tries = 0; ; tries += 1) {
      try {
        return await rows.replace(session, version, grant)
      } catch (error) {
        if (!(error instanceof DatabaseUnavailable) || performance.now() > giveUpAt) throw error
        // Said once: an outage is long, and many sessions are refreshed in it.
        if (tries === 0)
          log.warn({ err: error }, 'new tokens could not be stored yet; trying again')
        await delay(250)
      }
    }
  }

  const spend = async (
    session: LiveSession,
    { grant: old, version }: StoredTokens,
    leaseEndsAt: number,
  ): Promise<RefreshResult> => {
    const { refreshToken } = old
    if (refreshToken === undefined) {
      await rows.returnLease(session, version)
      return { kind: 'unavailable' }
    }
    // This process may have been stopped for a while: then the lease, and the verdict, are another's.
    const isStillOurs = () => performance.now() < leaseEndsAt
    let outcome = await provider.refresh(refreshToken)
    // The provider may have rotated: at once, it will most likely take the old one for a repetition.
    if (outcome.kind === 'lost') outcome = await provider.refresh(refreshToken)

    switch (outcome.kind) {
      case 'granted': {
        const { refreshToken: next, ...granted } = outcome.grant
        const grant = {
          ...granted,
          refreshToken: next ?? refreshToken, // RFC 6749 §6: without a new one the old one goes on
          idToken: granted.idToken ?? old.idToken,
        }
        // OpenID Connect Core §12.2: a refreshed ID token speaks of the same person.
        if (outcome.subject !== undefined && outcome.subject !== session.subject) {
          events.refreshFailed(session, { ended: true, fault: { name: 'another subject' } })
          await provider.revoke(grant.refreshToken)
          return end(session)
        }
        if (await store(session, version, grant)) {
          events.tokenRefreshed(session)
          return { kind: 'refreshed', tokens: { grant, version: version + 1 } }
        }
        const newer = await readNewer(session, version)
        // Logged out meanwhile: what came too late is worth nothing to anyone.
        if (newer?.kind !== 'refreshed') await provider.revoke(grant.refreshToken)
        return newer ?? { kind: 'unavailable' }
      }
      case 'ended': {
        const newer = await readNewer(session, version)
        if (newer) return newer // another process took the lease over, and won
        if (!isStillOurs()) return { kind: 'unavailable' }
        events.refreshFailed(session, { ended: true, fault: { oauthError: 'invalid_grant' } })
        return end(session)
      }
      case 'lost':
      case 'unavailable':
        events.refreshFailed(session, { ended: false, fault: describeFault(outcome.cause) })
        if (isStillOurs()) await rows.returnLease(session, version)
        return { kind: 'unavailable' }
    }
  }

  return async (session, version) => {
    // A lease and a bit: by then it was answered, given back, or is ours.
    for (const giveUpAt = performance.now() + leaseMs * 1.5; performance.now() < giveUpAt;) {
      const leaseEndsAt = performance.now() + leaseMs // no later than the database has it
      const leased = await rows.takeLease(session, version, leaseMs)
      if (leased.kind === 'stored') return spend(session, leased.tokens, leaseEndsAt)
      const changed = untilChanged(session.sid)
      const newer = await readNewer(session, version)
      if (newer) return newer
      await changed
    }
    return { kind: 'unavailable' }
  }
}
