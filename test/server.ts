// `npm run test:server`: one real PostgreSQL for the run, migrated once into a template that each test
// clones, and the test files in processes of their own. `npm run test:server -- test/tokens/x.test.ts`
// runs one.
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, chmod } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { startPostgres } from '../server/development/postgres.ts'
import { runMigrations } from '../server/database/migrations.ts'
import { runFiles } from './support/run-files.ts'

const folders = [
  'sessions',
  'tokens',
  'login',
  'logout',
  'account',
  'protection',
  'proxy',
  'operations',
  'security',
  'development',
]

async function run(): Promise<number> {
  const built = spawnSync('npm', ['run', 'build'], { encoding: 'utf8' }) // a production start serves it
  if (built.status !== 0)
    throw new Error(`the client does not build: ${built.stdout}${built.stderr}`)
  const directory = await mkdtemp(join(tmpdir(), 'gatehouse-test-'))
  await chmod(directory, 0o711) // for root's database, which runs as another user
  try {
    await using postgres = await startPostgres({
      directory: join(directory, 'postgres'),
      // Thrown away after the run: it need not survive a power cut.
      settings: { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' },
    })
    await runMigrations(postgres.url, { tls: 'off', certificateAuthority: undefined })

    const asked = process.argv.slice(2)
    const files = asked.length > 0 ? asked : folders.map((folder) => `test/${folder}/**/*.test.ts`)
    const code = await runFiles(files, {
      atOnce: 3,
      environment: { GATEHOUSE_TEST_DATABASE: postgres.url },
    })
    await checkDatabases(postgres.url)
    return code
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** Throws when a test did not drop its database. */
async function checkDatabases(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const { rows } = await client.query(`SELECT FROM pg_database WHERE datname LIKE 'test\\_%'`)
  await client.end()
  if (rows.length > 0) throw new Error(`${rows.length} databases of tests were left behind`)
}

process.exitCode = await run()
