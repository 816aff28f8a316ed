// The sessions: begun, found, kept alive, listed, and ended for each of the reasons that there are.
// It knows nothing of tokens, sockets or pages: it says `ended`, they listen.
import { createHmac, randomUUID } from 'node:crypto'
import type { EndReason, OwnSession } from '../../shared/contract.ts'
import type { Clock } from '../clock.ts'
import type { SessionLifetime } from '../configuration.ts'
import type { Notifications } from '../database/notifications.ts'
import type { Database, DatabaseLog, Queryable } from '../database/pool.ts'
import { createActivity } from './activity.ts'
import type { SessionCookies } from './cookie.ts'
import { createEnding, type Ending, type SessionEvents } from './ending.ts'
import { idleExpiresAt, idleSince } from './lifetime.ts'
import { createLookup, type Lookup } from './lookup.ts'
import { hashSessionId, type LiveSession, type SessionIdHash } from './session.ts'

/** What is known of a session at its birth. `record` is express-session's. */
export interface Birth {
  id: string
  record: object
  issuer: string
  subject: string
  providerSessionId: string | undefined
  userAgent: string
  ip: string
  /** Sessions that this browser had before: they end with its birth, or stay when it fails. */
  replaces: readonly SessionIdHash[]
}

/** A logout token that passed every check of its own (Back-Channel Logout 1.0 §2.6). */
export interface LogoutRequest {
  /** A hash of issuer and `jti`: what makes it unrepeatable. */
  tokenId: string
  issuer: string
  issuedAt: Date
  expiresAt: Date
  target: { providerSessionId: string } | { subject: string }
}

export interface Sessions extends AsyncDisposable {
  /** The one way from a cookie header to the live session, for HTTP, upgrades and `/auth`. Throws `DatabaseUnavailable`. */
  find: Lookup['find']
  /** Notes activity; never waits, never throws. */
  seen: (session: LiveSession) => void
  idleExpiresAt: (session: LiveSession) => Date
  /** `Set-Cookie` lines that take the cookies of an ended session away; none when its browser has logged in anew. */
  clearEnded: (sid: SessionIdHash) => readonly string[]
  /** Writes the session and what `alsoWrite` writes, or nothing. Gives its absolute end. */
  begin: (
    birth: Birth,
    alsoWrite: (transaction: Queryable, sid: SessionIdHash) => Promise<void>,
  ) => Promise<{ sid: SessionIdHash; label: string; expiresAt: Date }>
  /** Ends one; answers whether there still was one. */
  end: (sid: SessionIdHash, reason: EndReason) => Promise<boolean>
  own: (session: LiveSession) => Promise<OwnSession[]>
  /** Ends one of the caller's own by its public id; `false` when it is not the caller's. */
  endOwn: (session: LiveSession, publicId: string) => Promise<boolean>
  /** Ends the caller's other sessions; answers how many there were. */
  endOthers: (session: LiveSession) => Promise<number>
  /** Carries out a logout token, once: `replayed` when it was before. One transaction, so that one that failed can be sent again. */
  endByProvider: (request: LogoutRequest) => Promise<'replayed' | number>
  /** Which of these are over, asked of the database: for what stays open for long. */
  endedAmong: (sids: readonly SessionIdHash[]) => Promise<Map<SessionIdHash, EndReason>>
  /** Ends at most `limit` expired ones; answers how many there were, `undefined` when another process is at it. */
  endExpired: (limit: number) => Promise<number | undefined>
  onEnded: Ending['onEnded']
  cachedBytes: () => number
}

interface Parts {
  database: Database
  notifications: Notifications
  cookies: SessionCookies
  lifetime: SessionLifetime
  labelKey: Buffer
  clock: Clock
  events: SessionEvents
  log: DatabaseLog
}

const reaperLock = 4_210_017 // any number, the same in all processes

export function createSessions(parts: Parts): Sessions {
  const { database, notifications, lifetime, clock, events } = parts
  const { idleTimeoutSeconds, absoluteTimeoutSeconds } = lifetime
  const activity = createActivity({ database, clock, log: parts.log, idleTimeoutSeconds })

  const label = (sid: SessionIdHash) =>
    createHmac('sha256', parts.labelKey).update(sid).digest('base64url').slice(0, 16)

  const { end, endWithin, onEnded } = createEnding({ database, notifications, label, events })
  onEnded(({ sid, reason }) => {
    lookup.forget(sid)
    if (reason === 'replaced') lookup.noteReplaced(sid)
  })

  const expired = '(last_seen_at <= $1 OR expire <= $2)'
  const expiredNow = () => [idleSince(lifetime, clock.now()), clock.now()]

  const lookup = createLookup({
    database,
    notifications,
    lifetime,
    clock,
    label,
    cookies: parts.cookies,
    endIfExpired: async (sid) =>
      void (await end(`sid = $3 AND ${expired}`, [...expiredNow(), sid], 'expired')),
  })

  return {
    find: lookup.find,
    cachedBytes: lookup.cachedBytes,
    clearEnded: lookup.clearEnded,
    seen: (session) => activity.seen(lookup.seenOf(session)),
    idleExpiresAt: (session) =>
      idleExpiresAt(lookup.seenOf(session).lastSeenAt, session.expiresAt, lifetime),

    begin: async (birth, alsoWrite) => {
      const sid = hashSessionId(birth.id)
      const now = clock.now()
      const expiresAt = new Date(now.getTime() + absoluteTimeoutSeconds * 1000)
      const replaced = await database.transaction(async (transaction) => {
        await transaction.query(
          `INSERT INTO session (sid, sess, expire, public_id, issuer, subject, provider_sid, created_at, last_seen_at, user_agent, ip)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10)`,
          [
            sid,
            JSON.stringify(birth.record),
            expiresAt,
            randomUUID(),
            birth.issuer,
            birth.subject,
            birth.providerSessionId,
            now,
            birth.userAgent.slice(0, 500),
            birth.ip,
          ],
        )
        await alsoWrite(transaction, sid)
        return endWithin(transaction, 'sid = ANY ($1)', [birth.replaces], 'replaced')
      })
      replaced.announce()
      return { sid, label: label(sid), expiresAt }
    },

    end: async (sid, reason) => {
      const count = await end('sid = $1', [sid], reason)
      if (count === 0) lookup.forget(sid) // it was over before, and nobody has told us
      return count > 0
    },

    own: async (session) => {
      const rows = await database.query<{
        public_id: string
        created_at: Date
        last_seen_at: Date
        expire: Date
        user_agent: string
        ip: string
      }>(
        `SELECT public_id, created_at, last_seen_at, expire, user_agent, ip FROM session
         WHERE issuer = $3 AND subject = $4 AND NOT ${expired} ORDER BY last_seen_at DESC, public_id`,
        [...expiredNow(), session.issuer, session.subject],
      )
      return rows.map((row) => ({
        id: row.public_id,
        current: row.public_id === session.publicId,
        createdAt: row.created_at.toISOString(),
        lastSeenAt: row.last_seen_at.toISOString(),
        expiresAt: idleExpiresAt(row.last_seen_at, row.expire, lifetime).toISOString(),
        userAgent: row.user_agent,
        ip: row.ip,
      }))
    },

    endOwn: async (session, publicId) => {
      const own = 'issuer = $1 AND subject = $2 AND public_id = $3'
      return (await end(own, [session.issuer, session.subject, publicId], 'revoked')) > 0
    },

    endOthers: (session) =>
      end(
        'issuer = $1 AND subject = $2 AND sid <> $3',
        [session.issuer, session.subject, session.sid],
        'revoked',
      ),

    endByProvider: async ({ tokenId, issuer, issuedAt, expiresAt, target }) => {
      const outcome = await database.transaction(async (transaction) => {
        const fresh = await transaction.query(
          'INSERT INTO logout_token (id, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING id',
          [tokenId, expiresAt],
        )
        if (fresh.length === 0) return 'replayed'
        // Back-Channel Logout 1.0 §2.4: `sid` names one session, `sub` alone all of that person's;
        // one that began after the token was issued is not meant. `iat` has whole seconds.
        return 'providerSessionId' in target
          ? endWithin(
              transaction,
              'issuer = $1 AND provider_sid = $2',
              [issuer, target.providerSessionId],
              'backchannel_logout',
            )
          : endWithin(
              transaction,
              `issuer = $1 AND subject = $2 AND created_at < $3::timestamptz + interval '1 second'`,
              [issuer, target.subject, issuedAt],
              'backchannel_logout',
            )
      })
      if (outcome === 'replayed') return outcome
      outcome.announce()
      return outcome.count
    },

    endedAmong: async (sids) => {
      const rows = await database.query<{ sid: SessionIdHash; reason: EndReason }>(
        `SELECT asked.sid, CASE WHEN session.sid IS NULL THEN 'revoked' ELSE 'expired' END AS reason
         FROM unnest($3::text[]) AS asked (sid) LEFT JOIN session USING (sid)
         WHERE session.sid IS NULL OR ${expired}`,
        [...expiredNow(), sids],
      )
      return new Map(rows.map(({ sid, reason }) => [sid, reason]))
    },

    endExpired: async (limit) => {
      const ended = await database.transaction(async (transaction) => {
        // Ends with the transaction, so a process that dies leaves no lock behind.
        const [lock] = await transaction.query<{ taken: boolean }>(
          'SELECT pg_try_advisory_xact_lock($1) AS taken',
          [reaperLock],
        )
        if (!lock?.taken) return undefined
        const some = `sid IN (SELECT sid FROM session WHERE ${expired} LIMIT $3 FOR UPDATE SKIP LOCKED)`
        return endWithin(transaction, some, [...expiredNow(), limit], 'expired')
      })
      ended?.announce()
      return ended?.count
    },

    onEnded,

    [Symbol.asyncDispose]: () => activity[Symbol.asyncDispose](),
  }
}
