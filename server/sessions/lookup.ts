// From a cookie header to the live session, mostly without the database. What is remembered is believed
// only while every other process could tell us that it ended: correct before fast.
import type { User } from '../../shared/contract.ts'
import type { Clock } from '../clock.ts'
import type { SessionLifetime } from '../configuration.ts'
import type { Notifications } from '../database/notifications.ts'
import type { Database } from '../database/pool.ts'
import type { Seen } from './activity.ts'
import { createCache } from './cache.ts'
import type { SessionCookies } from './cookie.ts'
import { isExpired } from './lifetime.ts'
import { hashSessionId, type Found, type LiveSession, type SessionIdHash } from './session.ts'

export interface Lookup {
  /** Throws `DatabaseUnavailable`. */
  find: (cookieHeader: string | undefined) => Promise<Found>
  /** The session's activity, as this process saw it. */
  seenOf: (session: LiveSession) => Seen
  /** The session ended, or changed: what was read of it, or is being read, is not true any more. */
  forget: (sid: SessionIdHash) => void
  /** Its browser has logged in anew: a late request with the old cookie must not clear the new one. */
  noteReplaced: (sid: SessionIdHash) => void
  clearEnded: (sid: SessionIdHash) => readonly string[]
  cachedBytes: () => number
}

interface Entry {
  session: LiveSession
  found: Found
  /** Apart, because it may wait for its writing longer than the cache keeps the rest. */
  activity: Seen
  /** The cookie whose signature was verified: the same one need not be again. */
  cookie: string
  /** The whole header that it last came in. */
  header: string | undefined
}

interface Row {
  user: User
  public_id: string
  issuer: string
  subject: string
  created_at: Date
  last_seen_at: Date
  expire: Date
}

const cacheBytes = 6 * 1024 * 1024 // about 4,000 sessions; V8 lets the heap grow to some twice of it
const longestHeader = 500
const mostReplaced = 10_000 // logins of the last hours; for those before nothing is late any more

export function createLookup(parts: {
  database: Pick<Database, 'query'>
  notifications: Notifications
  cookies: SessionCookies
  lifetime: SessionLifetime
  clock: Clock
  label: (sid: SessionIdHash) => string
  /** Ends the session if the database, too, says that it has expired. */
  endIfExpired: (sid: SessionIdHash) => Promise<void>
}): Lookup {
  const { database, notifications, cookies, lifetime, clock } = parts
  // A browser sends the same cookies again and again: what they name need not be read out of them again.
  const byHeader = new Map<string, Entry>()
  const forgetHeader = ({ header }: Entry) => {
    if (header !== undefined) byHeader.delete(header)
  }
  const cache = createCache<SessionIdHash, Entry>(cacheBytes, forgetHeader)
  const entries = new WeakMap<LiveSession, Entry>()
  const replaced = new Set<SessionIdHash>()
  // Reads under way. One that an end overtook must not put the session into the cache.
  const loads = new Map<SessionIdHash, { overtaken: boolean; result: Promise<Entry | undefined> }>()

  notifications.onInterrupted(() => {
    for (const load of loads.values()) load.overtaken = true
    cache.forgetAll()
  })

  const read = async (id: string, sid: SessionIdHash, cookie: string) => {
    const [row] = await database.query<Row>(
      `SELECT sess->'passport'->'user' AS "user", public_id, issuer, subject, created_at, last_seen_at, expire
       FROM session WHERE sid = $1`,
      [sid],
    )
    if (!row) return undefined
    const session: LiveSession = {
      id,
      sid,
      label: parts.label(sid),
      publicId: row.public_id,
      user: row.user,
      issuer: row.issuer,
      subject: row.subject,
      createdAt: row.created_at,
      expiresAt: row.expire,
    }
    const entry: Entry = {
      session,
      found: { kind: 'live', session },
      cookie,
      header: undefined,
      activity: { sid, lastSeenAt: row.last_seen_at, writtenAt: row.last_seen_at },
    }
    entries.set(session, entry)
    return entry
  }

  const load = (id: string, sid: SessionIdHash, cookie: string): Promise<Entry | undefined> => {
    // A read that others share began earlier than they asked; only notifications make that harmless.
    if (!notifications.listening()) return read(id, sid, cookie)
    const underWay = loads.get(sid)
    if (underWay) return underWay.result
    const readOnce = async () => {
      try {
        const entry = await read(id, sid, cookie)
        if (started.overtaken) return await read(id, sid, cookie)
        if (entry) cache.keep(sid, entry, estimateBytes(entry))
        return entry
      } finally {
        loads.delete(sid)
      }
    }
    const started: { overtaken: boolean; result: Promise<Entry | undefined> } = {
      overtaken: false,
      result: Promise.resolve().then(readOnce),
    }
    loads.set(sid, started)
    return started.result
  }

  const clearEnded = (sid: SessionIdHash) => (replaced.has(sid) ? [] : cookies.clear)

  const hasExpired = (entry: Entry) =>
    isExpired(entry.activity.lastSeenAt, entry.session.expiresAt, lifetime, clock.now())

  return {
    find: async (cookieHeader) => {
      if (cookieHeader !== undefined && notifications.listening()) {
        const known = byHeader.get(cookieHeader)
        // `find` keeps it among the used ones; whatever ends a session takes it out of both.
        if (known && cache.find(known.session.sid) === known && !hasExpired(known))
          return known.found
      }
      const cookie = cookies.read(cookieHeader)
      if (cookie.kind === 'none') return cookie
      const dead = (wasSession: boolean): Found => ({
        kind: 'dead',
        wasSession,
        clear: cookie.kind === 'invalid' ? cookies.clear : clearEnded(hashSessionId(cookie.id)),
      })
      if (cookie.kind === 'invalid') return dead(false)

      const sid = hashSessionId(cookie.id)
      let entry = notifications.listening() ? cache.find(sid) : undefined
      if (entry?.cookie !== cookie.value && cookies.signedBy(cookie) === -1) return dead(false)
      if (entry && hasExpired(entry)) {
        // Idle as far as this process saw; another one may have seen the person since.
        cache.forget(sid)
        entry = undefined
      }
      entry ??= await load(cookie.id, sid, cookie.value)
      if (!entry) return dead(true)
      if (hasExpired(entry)) {
        await parts.endIfExpired(sid)
        return dead(true)
      }
      if (
        cookieHeader !== undefined &&
        cookieHeader.length <= longestHeader &&
        cache.find(sid) === entry
      ) {
        forgetHeader(entry)
        entry.header = cookieHeader
        byHeader.set(cookieHeader, entry)
      }
      return entry.found
    },
    seenOf: (session) => {
      const entry = entries.get(session)
      if (!entry) throw new TypeError('a session that this lookup did not find')
      return entry.activity
    },
    noteReplaced: (sid) => {
      if (replaced.size >= mostReplaced) replaced.clear()
      replaced.add(sid)
    },
    forget: (sid) => {
      const underWay = loads.get(sid)
      if (underWay) underWay.overtaken = true
      cache.forget(sid)
    },
    clearEnded,
    cachedBytes: cache.bytes,
  }
}

/** Measured: an entry without its claims keeps about 1,000 bytes; text counts one byte a character. */
function estimateBytes({ session, cookie }: Entry): number {
  return 1000 + longestHeader / 2 + cookie.length + JSON.stringify(session.user).length * 2
}
