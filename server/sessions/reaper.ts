// Expired sessions end like all others, in batches, by one process at a time. It also takes away what
// has served its time beside them: carried-out logout tokens, and old security events.
import type { Clock } from '../clock.ts'
import type { Database, DatabaseLog } from '../database/pool.ts'
import { DatabaseUnavailable } from '../errors.ts'
import type { Sessions } from './sessions.ts'

const intervalMs = 5000 // so late may a socket or a page hear that its session has expired
const roundsToTidy = 12
const batch = 500
const securityEventsKept = '90 days'

interface Parts {
  database: Database
  sessions: Pick<Sessions, 'endExpired'>
  clock: Clock
  log: DatabaseLog
}

export function createReaper({ database, sessions, clock, log }: Parts): AsyncDisposable {
  const reap = async () => {
    let count: number | undefined
    do count = await sessions.endExpired(batch)
    while (count === batch)
  }

  const tidy = async () => {
    await database.query('DELETE FROM logout_token WHERE expires_at < $1', [clock.now()])
    await database.query(
      `DELETE FROM security_event WHERE id IN (SELECT id FROM security_event
         WHERE at < $1::timestamptz - $2::interval ORDER BY at LIMIT 5000)`,
      [clock.now(), securityEventsKept],
    )
  }

  let rounds = 0
  let round: Promise<void> = Promise.resolve()
  const nextRound = async () => {
    rounds += 1
    try {
      await reap()
      if (rounds % roundsToTidy === 0) await tidy()
    } catch (error) {
      if (!(error instanceof DatabaseUnavailable)) throw error
      log.warn({ err: error }, 'expired sessions were not ended yet')
    }
  }
  const timer = setInterval(
    () => {
      round = nextRound()
    },
    intervalMs * (0.8 + Math.random() * 0.4), // so that processes started together do not march in step
  )
  timer.unref()

  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer)
      await round
    },
  }
}
