// A fresh database for a test, cloned from the migrated template of the run.
import { randomBytes } from 'node:crypto'
import pg from 'pg'

export interface TestDatabase extends AsyncDisposable {
  url: string
  query: <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) => Promise<Row[]>
}

export async function createDatabase(): Promise<TestDatabase> {
  const template = process.env['GATEHOUSE_TEST_DATABASE']
  if (!template)
    throw new Error('these tests need a database: run them with "npm run test:server -- FILE"')
  const name = `test_${randomBytes(8).toString('hex')}`
  const admin = new URL(template)
  admin.pathname = '/postgres'
  const asAdmin = async (statement: string) => {
    const client = new pg.Client({ connectionString: admin.href })
    await client.connect()
    await client.query(statement)
    await client.end()
  }
  await cloneTemplate(() => asAdmin(`CREATE DATABASE ${name} TEMPLATE gatehouse`))

  const url = new URL(template)
  url.pathname = `/${name}`
  const pool = new pg.Pool({ connectionString: url.href, max: 2 })
  pool.on('error', () => undefined) // the database is dropped under it in the end
  return {
    url: url.href,
    query: async <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) =>
      (await pool.query<Row>(text, values)).rows,
    [Symbol.asyncDispose]: async () => {
      await pool.end()
      await asAdmin(`DROP DATABASE ${name} WITH (FORCE)`)
    },
  }
}

/** Two clones at once may find the template in use (SQLSTATE 55006): then it is tried again. */
async function cloneTemplate(clone: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await clone()
    } catch (error) {
      if (!(error instanceof pg.DatabaseError && error.code === '55006') || tries === 50)
        throw error
    }
  }
}
