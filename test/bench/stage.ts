// What every scenario stands on: one PostgreSQL, the upstream and the load generator in processes of
// their own, and gates as real processes with databases cloned from a migrated template.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import pg from 'pg'
import packageFile from '../../package.json' with { type: 'json' }
import { findFreePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'
import type { Order, Outcome } from './load/orders.ts'
import { sessionSecret } from './people.ts'
import { startPeer, startProcess, type BenchProcess } from './processes.ts'
import { clientId, clientSecret, startBenchProvider, type BenchProvider } from './provider.ts'

export interface RunningGate extends BenchProcess {
  port: number
  appUrl: string
}

export interface Stage extends AsyncDisposable {
  provider: BenchProvider
  upstreamPort: number
  /** A new, empty database with the schema, or without it for a stack that makes its own. */
  createDatabase: (template?: 'gatehouse' | 'template0') => Promise<string>
  /** A gate of one process in front of the upstream, at `/api`, ready to serve. */
  startGate: (databaseUrl: string, environment?: Record<string, string>) => Promise<RunningGate>
  /** Has the generator do something; one order at a time. */
  load: (order: Order) => Promise<Outcome>
}

// The gates run as `npm start` runs them. BENCH_GATE_FLAGS is for whoever looks for the reason of a
// figure: "--cpu-prof", "--trace-gc".
const startWords = packageFile.scripts.start.split(' ')
const gateEnvironment = Object.fromEntries(
  startWords.filter((word) => /^[A-Z_]+=/.test(word)).map((word) => word.split('=', 2)),
)
const gateFlags = [
  ...startWords.filter((word) => word.startsWith('--')),
  ...(process.env['BENCH_GATE_FLAGS'] ?? '').split(' ').filter((flag) => flag !== ''),
]

/** Sets the stage on a database server whose database `gatehouse` has the schema, and no connections. */
export async function openStage(postgresUrl: string, directory: string): Promise<Stage> {
  await using opened = new AsyncDisposableStack()
  const provider = opened.use(await startBenchProvider())
  const upstream = opened.use(await startPeer('upstream'))
  const generator = opened.use(startProcess('test/bench/load/process.ts', {}))

  const owned = opened.move()
  return {
    provider,
    upstreamPort: upstream.port,

    createDatabase: async (template = 'gatehouse') => {
      const name = `bench_${randomBytes(6).toString('hex')}`
      const url = new URL(postgresUrl)
      url.pathname = '/postgres'
      const client = new pg.Client({ connectionString: url.href })
      await client.connect()
      await client.query(`CREATE DATABASE ${name} TEMPLATE ${template}`)
      await client.end()
      url.pathname = `/${name}`
      return url.href
    },

    startGate: async (databaseUrl, environment = {}) => {
      const port = await findFreePort()
      const appUrl = `http://localhost:${port}`
      const gate = startProcess(
        'server/main.ts',
        {
          ...gateEnvironment,
          PORT: String(port),
          APP_URL: appUrl,
          DATABASE_URL: databaseUrl,
          SESSION_SECRET: sessionSecret,
          OIDC_ISSUER: provider.issuer,
          OIDC_CLIENT_ID: clientId,
          OIDC_CLIENT_SECRET: clientSecret,
          API_URL: `http://127.0.0.1:${upstream.port}`,
          ...environment,
        },
        { output: join(directory, `gate-${port}.log`), flags: gateFlags },
      )
      await until(
        'the gate is ready',
        async () => {
          if (gate.child.exitCode !== null) throw new Error('the gate did not start')
          const answer = await fetch(`${appUrl}/readyz`).catch(() => undefined) // not listening yet
          await answer?.arrayBuffer()
          return answer?.ok
        },
        60_000,
      )
      return { ...gate, port, appUrl }
    },

    load: async (order) => {
      const answered = once(generator.child, 'message')
      generator.child.send(order)
      const [message] = (await answered) as [Outcome | { fault: string }] // load/process.ts sends it
      if ('fault' in message) throw new Error(`the generator failed: ${message.fault}`)
      return message
    },

    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
