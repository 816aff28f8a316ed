// The gate under test: in this process, or as a real one of its own; with a database, a provider and an
// upstream of its own unless a test brings them.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import type { Clock } from '../../server/clock.ts'
import { readConfiguration } from '../../server/configuration.ts'
import { createGate } from '../../server/gate.ts'
import { describeError } from '../../server/operations/log.ts'
import { createBrowser, type Browser } from './browser.ts'
import { createDatabase, type TestDatabase } from './database.ts'
import { findFreePort } from './free-port.ts'
import { startTestProvider, type TestProvider } from './provider.ts'
import { startUpstream, type TestUpstream } from './upstream.ts'
import { until } from './until.ts'

export interface LogLine extends Record<string, unknown> {
  level: string
  msg: string
}

export interface World extends AsyncDisposable {
  /** The public origin. */
  appUrl: string
  port: number
  database: TestDatabase
  provider: TestProvider
  upstream: TestUpstream
  log: LogLine[]
  /** A new browser, with no cookies. */
  browser: () => Browser
}

export interface WorldOptions {
  environment?: Record<string, string>
  clock?: Clock
  accessTokenSeconds?: number
  database?: TestDatabase
  provider?: TestProvider
  upstream?: TestUpstream
  /** Log lines of level `error` that this test causes on purpose. */
  expectErrors?: boolean
  /** For a gate that is not going to be ready: it is not waited for. */
  expectUnready?: boolean
}

export const sessionSecret = 'a-session-secret-of-the-tests-0123456789abcdef'

/** Starts the gate in this process. Disposing it closes all that it opened, and fails when the gate logged an error that nobody expected. */
export async function startGate(options: WorldOptions = {}): Promise<World> {
  await using opened = new AsyncDisposableStack()
  const port = await findFreePort()
  const appUrl = `http://localhost:${port}`
  const parts = await startParts(opened, options, appUrl)
  const lines: LogLine[] = []
  const log = pino(
    {
      level: 'debug',
      serializers: { err: describeError },
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line: string) => void lines.push(JSON.parse(line) as LogLine) }, // pino's own lines
  )
  const { configuration, secrets } = readConfiguration(environmentOf(parts, options, port, appUrl))
  const gate = opened.use(
    await createGate(configuration, secrets, {
      log,
      ...(options.clock && { clock: options.clock }),
    }),
  )
  opened.defer(async () => {
    gate.server.closeAllConnections()
    gate.server.close()
  })
  gate.server.listen(port)
  await once(gate.server, 'listening')
  if (!options.expectUnready) await until('the gate is ready', () => isReady(appUrl))

  const owned = opened.move()
  return {
    appUrl,
    port,
    ...parts,
    log: lines,
    browser: () => createBrowser(appUrl),
    [Symbol.asyncDispose]: async () => {
      await owned.disposeAsync()
      const unexpected = lines.filter(({ level }) => level === 'error')
      if (unexpected.length > 0 && !options.expectErrors)
        throw new Error(`the gate logged errors: ${JSON.stringify(unexpected)}`)
    },
  }
}

export interface GateProcess extends AsyncDisposable {
  port: number
  url: string
  child: ChildProcess
  log: LogLine[]
  stderr: () => string
  /** Sends the signal, and waits for the end. Gives the exit code, or the signal that ended it. */
  kill: (signal: NodeJS.Signals) => Promise<number | string>
}

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Starts real processes that share database, provider, upstream and secrets, and so one origin: the first one's. */
export async function startGateProcesses(
  count: number,
  options: WorldOptions = {},
): Promise<World & { processes: GateProcess[]; startAnother: () => Promise<GateProcess> }> {
  await using opened = new AsyncDisposableStack()
  const firstPort = await findFreePort()
  const appUrl = `http://localhost:${firstPort}`
  const parts = await startParts(opened, options, appUrl)
  const processes: GateProcess[] = []
  let owner: AsyncDisposableStack = opened
  const startAnother = async () => {
    const port = processes.length === 0 ? firstPort : await findFreePort()
    const started = owner.use(await startProcess(environmentOf(parts, options, port, appUrl)))
    processes.push(started)
    return started
  }
  for (let at = 0; at < count; at += 1) await startAnother()
  const owned = opened.move()
  owner = owned // what was moved from takes nothing more
  return {
    appUrl,
    port: firstPort,
    ...parts,
    processes,
    startAnother,
    log: processes[0]?.log ?? [],
    browser: () => createBrowser(appUrl),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

async function startProcess(environment: Record<string, string>): Promise<GateProcess> {
  const child = spawn(process.execPath, ['server/main.ts'], {
    cwd: root,
    env: { PATH: process.env['PATH'] ?? '', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const log: LogLine[] = []
  let stderr = ''
  let rest = ''
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) log.push(JSON.parse(line) as LogLine) // the gate writes nothing else
  })
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  const url = `http://localhost:${environment['PORT']}`
  const kill = async (signal: NodeJS.Signals) => {
    if (child.exitCode !== null || child.signalCode !== null)
      return child.exitCode ?? String(child.signalCode)
    const exited = once(child, 'exit')
    child.kill(signal)
    await exited
    return child.exitCode ?? String(child.signalCode)
  }
  await using unready = new AsyncDisposableStack() // one that does not become ready must not stay
  unready.defer(async () => void (await kill('SIGKILL')))
  await until(
    'the process is ready',
    async () => {
      if (child.exitCode !== null)
        throw new Error(`the process ended with ${child.exitCode}: ${stderr}`)
      return isReady(url)
    },
    15_000,
  )
  unready.move()
  return {
    port: Number(environment['PORT']),
    url,
    child,
    log,
    stderr: () => stderr,
    kill,
    [Symbol.asyncDispose]: async () => void (await kill('SIGKILL')),
  }
}

async function startParts(opened: AsyncDisposableStack, options: WorldOptions, appUrl: string) {
  const { accessTokenSeconds } = options
  const database = options.database ?? opened.use(await createDatabase())
  const provider =
    options.provider ??
    opened.use(
      await startTestProvider({
        appUrl,
        ...(accessTokenSeconds !== undefined && { accessTokenSeconds }),
      }),
    )
  const upstream = options.upstream ?? opened.use(await startUpstream())
  return { database, provider, upstream }
}

function environmentOf(
  { database, provider, upstream }: Pick<World, 'database' | 'provider' | 'upstream'>,
  options: WorldOptions,
  port: number,
  appUrl: string,
): Record<string, string> {
  const environment: Record<string, string> = {
    NODE_ENV: 'production',
    PORT: String(port),
    APP_URL: appUrl,
    DATABASE_URL: database.url,
    SESSION_SECRET: sessionSecret,
    OIDC_ISSUER: provider.issuer,
    OIDC_CLIENT_ID: provider.clientId,
    OIDC_CLIENT_SECRET: provider.clientSecret,
    API_URL: upstream.url,
    ...options.environment,
  }
  if (environment['UPSTREAMS']) delete environment['API_URL']
  return environment
}

/** Ready, and in touch with the other processes. */
async function isReady(url: string): Promise<boolean> {
  try {
    const answer = await fetch(`${url}/readyz`)
    return answer.ok && (await answer.text()).includes('"notifications":true')
  } catch (error) {
    if (error instanceof TypeError) return false // not listening yet
    throw error
  }
}
