// The pool of connections to PostgreSQL: every wait has a limit, no lost connection ends the process,
// and what the driver throws leaves this file as `DatabaseUnavailable` or as the bug that it is.
import pg from 'pg'
import type { DatabaseSettings } from '../database-settings.ts'
import { DatabaseUnavailable } from '../errors.ts'

export interface Queryable {
  /** Runs one statement; gives its rows. Throws `DatabaseUnavailable` when there is no answer in time. */
  query: <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) => Promise<Row[]>
}

export interface Database extends Queryable, AsyncDisposable {
  /** Runs `work` in one transaction, on one connection; rolls back when it throws. */
  transaction: <Result>(work: (transaction: Queryable) => Promise<Result>) => Promise<Result>
  /** How many connections exist, are idle, and how many queries wait for one. */
  connections: () => { total: number; idle: number; waiting: number }
  /** For what must not share a pooled connection: LISTEN. */
  clientOptions: pg.ClientConfig
  /** For connect-pg-simple, which wants a pool of its own kind. */
  pool: pg.Pool
}

export interface DatabaseLog {
  warn: (facts: object, message: string) => void
}

// Connection, resources, operator intervention, system, authorisation, unknown database, read-only,
// deadlock: none of them says that the statement was wrong (PostgreSQL, appendix A).
const unavailableClasses = new Set(['08', '53', '57', '58', '28', '3D', '25', '40'])

/** What the driver threw, as `DatabaseUnavailable` unless the statement itself was at fault. */
function toDatabaseError(error: unknown): unknown {
  if (error instanceof pg.DatabaseError && !unavailableClasses.has(error.code?.slice(0, 2) ?? '')) {
    return error
  }
  return error instanceof Error ? new DatabaseUnavailable({ cause: error }) : error
}

/** The driver's options for a URL and our TLS words. The URL's own TLS words are left out: the driver would let them win, and reads them differently from libpq. */
export function clientOptions(
  databaseUrl: string,
  { tls, certificateAuthority }: Pick<DatabaseSettings, 'tls' | 'certificateAuthority'>,
): pg.ClientConfig {
  const url = new URL(databaseUrl)
  const ours = [...url.searchParams].filter(([name]) => !/^(ssl|uselibpqcompat)/.test(name))
  url.search = new URLSearchParams(ours).toString()
  const ca = certificateAuthority === undefined ? {} : { ca: certificateAuthority }
  return {
    connectionString: url.href,
    ssl: tls === 'off' ? false : { rejectUnauthorized: tls === 'verify', ...ca },
    keepAlive: true,
    connectionTimeoutMillis: 3000,
    statement_timeout: 5000,
    query_timeout: 5500, // the server's own limit first, so that the connection stays usable
    idle_in_transaction_session_timeout: 10_000, // a process that froze in one must not keep its locks
    application_name: 'gatehouse',
  }
}

/** Opens nothing yet: the first query does, so that a start survives a database that is down. */
export function openDatabase(
  databaseUrl: string,
  configuration: DatabaseSettings,
  log: DatabaseLog,
): Database {
  const options = clientOptions(databaseUrl, configuration)
  const pool = new pg.Pool({
    ...options,
    max: configuration.poolSize - 1, // one connection listens
    idleTimeoutMillis: 30_000,
  })
  const onLost = (error: Error) => log.warn({ err: error }, 'a database connection was lost')
  pool.on('error', onLost)
  // The pool listens to idle clients alone; one that is lost while in use would end the process.
  pool.on('connect', (client) => client.on('error', onLost))

  const queryOn =
    (on: Pick<pg.Pool, 'query'>): Queryable['query'] =>
    async <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) => {
      try {
        return (await on.query<Row>(text, values)).rows
      } catch (error) {
        throw toDatabaseError(error)
      }
    }

  return {
    query: queryOn(pool),
    transaction: async (work) => {
      const client = await pool.connect().catch((error: unknown) => {
        throw toDatabaseError(error)
      })
      const query = queryOn(client)
      // A connection whose transaction did not end well is not given to anyone else.
      let broken = true
      try {
        await query('BEGIN')
        const result = await work({ query })
        await query('COMMIT')
        broken = false
        return result
      } finally {
        client.release(broken)
      }
    },
    connections: () => ({
      total: pool.totalCount,
      idle: pool.idleCount,
      waiting: pool.waitingCount,
    }),
    clientOptions: options,
    pool,
    [Symbol.asyncDispose]: () => pool.end(),
  }
}
