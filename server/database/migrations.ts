// The schema, as plain SQL files that only go forward. Several processes may start at once: one
// migrates, the others wait for it.
import { readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { runner } from 'node-pg-migrate'
import type { DatabaseSettings } from '../database-settings.ts'
import { clientOptions, type Queryable } from './pool.ts'

const directory = fileURLToPath(new URL('../../migrations', import.meta.url))
const table = 'migration'

/** Brings the schema up to date; gives the names of what it ran. */
export async function runMigrations(
  databaseUrl: string,
  database: Pick<DatabaseSettings, 'tls' | 'certificateAuthority'>,
): Promise<string[]> {
  const {
    statement_timeout: _statement,
    query_timeout: _query,
    ...options
  } = clientOptions(databaseUrl, database)
  const ran = await runner({
    databaseUrl: options, // without the time limits of a request: a migration may take longer
    dir: directory,
    direction: 'up',
    migrationsTable: table,
    advisoryLockMode: 'wait',
    log: () => undefined, // it logs each statement; the names that we return say enough
  })
  return ran.map(({ name }) => name)
}

/** The migrations that the database has not seen. Throws `DatabaseUnavailable`. */
export async function findMissingMigrations(database: Queryable): Promise<string[]> {
  const files = (await readdir(directory)).filter((name) => name.endsWith('.sql')).sort()
  const [known] = await database.query<{ exists: boolean }>(
    'SELECT to_regclass($1) IS NOT NULL AS exists',
    [table],
  )
  const rows = known?.exists
    ? await database.query<{ name: string }>(`SELECT name FROM ${table}`)
    : []
  const done = new Set(rows.map(({ name }) => name))
  return files.map((name) => name.replace(/\.sql$/, '')).filter((name) => !done.has(name))
}
