import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import pg from 'pg'
import { runMigrations } from '../../server/database/migrations.ts'
import { startPostgres } from '../../server/development/postgres.ts'
import type { Answer } from '../support/browser.ts'
import type { TestDatabase } from '../support/database.ts'
import { startLink } from '../support/faults.ts'
import { startGateProcesses } from '../support/gate.ts'
import { startScriptedProvider } from '../support/scripted-provider.ts'
import { until } from '../support/until.ts'

/** A PostgreSQL of its own at an address that stays, which can be stopped and started again. */
async function startRestartableDatabase() {
  await using opened = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'gatehouse-restart-test-'))
  opened.defer(() => rm(directory, { recursive: true, force: true }))
  await chmod(directory, 0o711) // for root's database, which runs as another user
  const start = () =>
    startPostgres({ directory: join(directory, 'postgres'), settings: { fsync: 'off' } })
  let postgres = await start()
  opened.defer(() => postgres[Symbol.asyncDispose]())
  await runMigrations(postgres.url, { tls: 'off', certificateAuthority: undefined })
  const link = opened.use(await startLink(() => Number(new URL(postgres.url).port)))
  const url = new URL(postgres.url)
  url.port = String(link.port)
  const database: TestDatabase = {
    url: url.href,
    query: async <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) => {
      const client = new pg.Client({ connectionString: postgres.url })
      await client.connect()
      try {
        return (await client.query<Row>(text, values)).rows
      } finally {
        await client.end()
      }
    },
    [Symbol.asyncDispose]: () => Promise.resolve(), // with all the rest, below
  }
  const owned = opened.move()
  return {
    database,
    stop: () => postgres[Symbol.asyncDispose](),
    startAgain: async () => {
      postgres = await start()
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

test('a database that is restarted under load costs 503 at most, no login and no socket, and all goes on within 5 s (ASVS 16.5.2) [T123]', async () => {
  await using restartable = await startRestartableDatabase()
  await using provider = await startScriptedProvider()
  await using world = await startGateProcesses(2, { provider, database: restartable.database })
  const browsers = await Promise.all(
    Array.from({ length: 20 }, async (_, at) => {
      const browser = world.browser()
      await browser.login()
      const via = world.processes[at % 2]?.url ?? ''
      return { browser, ask: () => browser.fetch('/api/x', { via }) }
    }),
  )
  const sockets = await Promise.all(
    browsers.slice(0, 4).map(({ browser }) => browser.webSocket('/api/ws')),
  )

  const answers: Answer[] = []
  const enough = new AbortController()
  const load = browsers.map(async ({ ask }) => {
    while (!enough.signal.aborted) answers.push(await ask())
  })
  await until('there is load', () => answers.length > 100)
  await restartable.stop()
  const refused = () => answers.filter(({ status }) => status === 503).length
  await until('its absence is felt', () => refused() >= 20)
  await restartable.startAgain()
  await until(
    'everybody is answered again',
    async () => {
      const all = await Promise.all(browsers.map(({ ask }) => ask()))
      answers.push(...all)
      return all.every(({ status }) => status === 200)
    },
    5000,
  )
  enough.abort()
  await Promise.all(load)

  for (const { status, headers, setCookies, text } of answers) {
    assert.ok(status === 200 || status === 503, `${status}: ${text}`)
    assert.deepEqual(setCookies, [])
    if (status === 503) assert.ok(Number(headers['retry-after']) > 0)
  }
  assert.equal((await restartable.database.query('SELECT FROM session')).length, browsers.length)
  for (const socket of sockets) {
    assert.equal(socket.readyState, socket.OPEN)
    socket.terminate()
  }
})
