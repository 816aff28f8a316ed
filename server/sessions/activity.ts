// When a person was last active: exact in memory, written at most once a minute for a session, and
// never waited for. The first activity after a minute is written at once, the last one within the next,
// so that no process takes a person for idle who was active in another.
import type { Clock } from '../clock.ts'
import type { Database, DatabaseLog } from '../database/pool.ts'
import { DatabaseUnavailable } from '../errors.ts'
import type { SessionIdHash } from './session.ts'

export interface Seen {
  readonly sid: SessionIdHash
  lastSeenAt: Date
  /** The last instant that the database knows, or will when the write under way arrives. */
  writtenAt: Date
}

export interface Activity extends AsyncDisposable {
  seen: (session: Seen) => void
}

const longestGapMs = 60_000
const mostWaiting = 10_000 // a crowd is written early rather than kept
const batch = 1000

export function createActivity(parts: {
  database: Pick<Database, 'query'>
  clock: Clock
  log: DatabaseLog
  idleTimeoutSeconds: number
}): Activity {
  // A short idle timeout needs a closer look than once a minute.
  const gapMs = Math.min(longestGapMs, (parts.idleTimeoutSeconds * 1000) / 4)
  const waiting = new Map<SessionIdHash, Seen>()
  const writes = new Set<Promise<void>>()

  const write = (sessions: Seen[]) => {
    const before = sessions.map(({ writtenAt }) => writtenAt)
    for (const session of sessions) session.writtenAt = session.lastSeenAt
    const values = [sessions.map(({ sid }) => sid), sessions.map(({ lastSeenAt }) => lastSeenAt)]
    // In order of sid: two processes that write the same rows can't wait for each other.
    const written = parts.database
      .query(
        `UPDATE session SET last_seen_at = greatest(last_seen_at, seen.at)
         FROM (SELECT * FROM unnest($1::text[], $2::timestamptz[]) AS pair (sid, at) ORDER BY sid) AS seen
         WHERE session.sid = seen.sid`,
        values,
      )
      .then(
        () => undefined,
        (error: unknown) => {
          // The person is active all the same: what could not be written is written in the next round.
          if (!(error instanceof DatabaseUnavailable)) throw error
          for (const [at, session] of sessions.entries()) {
            session.writtenAt = before[at] ?? session.writtenAt
            waiting.set(session.sid, session)
          }
          parts.log.warn({ err: error }, 'activity of sessions was not written yet')
        },
      )
      .finally(() => writes.delete(written))
    writes.add(written)
    return written
  }

  const writeWaiting = (before: Date) => {
    const due = [...waiting.values()].filter(({ writtenAt }) => writtenAt <= before)
    for (const { sid } of due) waiting.delete(sid)
    // One after the other: together they would keep everybody else from the pool.
    const writeAll = async () => {
      for (let at = 0; at < due.length; at += batch) await write(due.slice(at, at + batch))
    }
    const written = writeAll().finally(() => writes.delete(written))
    writes.add(written)
  }
  const dueNow = () => new Date(parts.clock.now().getTime() - gapMs)
  const timer = setInterval(() => writeWaiting(dueNow()), Math.max(gapMs / 4, 250)).unref()

  return {
    seen: (session) => {
      const now = parts.clock.now()
      session.lastSeenAt = now
      if (now.getTime() - session.writtenAt.getTime() < gapMs) {
        waiting.set(session.sid, session)
        if (waiting.size >= mostWaiting) writeWaiting(now)
      } else {
        waiting.delete(session.sid)
        void write([session])
      }
    },
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer)
      writeWaiting(parts.clock.now())
      await Promise.all(writes)
    },
  }
}
