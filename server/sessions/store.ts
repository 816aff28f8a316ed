// What express-session needs, and no more. It serves the login alone: the record is written once, with
// the session's row (sessions.begin), so whatever express-session wants to save later brings no ended
// session back and overwrites nobody. The id itself never reaches the database.
import connectPgSimple from 'connect-pg-simple'
import session, { type SessionData } from 'express-session'
import type { Database } from '../database/pool.ts'
import { DatabaseUnavailable } from '../errors.ts'
import { hashSessionId } from './session.ts'

const PostgresStore = connectPgSimple(session)

type Callback<Result = void> = (error: unknown, result?: Result | null) => void

// express-session takes an error whose code is ENOENT (a socket file that is gone) for "no session":
// ours has none, so a database that is down is never a logout.
const unavailable = (error: unknown) =>
  error === null || error === undefined ? error : new DatabaseUnavailable({ cause: error })

export class SessionStore extends PostgresStore {
  constructor(database: Pick<Database, 'pool'>) {
    // The reaper of sessions prunes: sockets and other processes must hear of each end.
    super({
      pool: database.pool,
      tableName: 'session',
      createTableIfMissing: false,
      pruneSessionInterval: false,
    })
  }

  override get(id: string, callback: Callback<SessionData>): void {
    super.get(hashSessionId(id), (error: unknown, record?: SessionData | null) =>
      callback(unavailable(error), record),
    )
  }

  override set(_id: string, _record: SessionData, callback?: Callback): void {
    callback?.(null)
  }

  override touch(_id: string, _record: SessionData, callback?: () => void): void {
    callback?.()
  }

  // At a login: sessions.begin ends the former session in the transaction that begins the new one, so that
  // a login that fails takes nothing away.
  override destroy(_id: string, callback?: Callback): void {
    callback?.(null)
  }
}
