// `npm run dev`: starts what no variable replaces (database, provider, API), then the gate as production
// starts it, again after each edit. The parts keep running meanwhile, so an edit logs nobody out; they
// keep what they know in `.data/`, so neither does a new start.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { readConfiguration } from '../configuration.ts'
import { runMigrations } from '../database/migrations.ts'
import { ConfigurationFaults } from '../environment.ts'
import { startExampleApi } from './example-api.ts'
import { startPostgres } from './postgres.ts'
import { isErrno } from './processes.ts'
import { password, people, startProvider } from './provider.ts'
import { StartFault } from './start-fault.ts'
import { startSupervised, type Supervised } from './supervised.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const data = join(root, '.data')
const keptFile = join(data, 'development.json')
const clientId = 'gatehouse'
const audience = 'urn:gatehouse:example-api'

/** What sessions depend on, so that they survive a new start. */
interface Kept {
  sessionSecret: string
  clientSecret: string
  providerPort: number
}

const stop = new AbortController()
// A second one, from an impatient person or from npm, changes nothing: the parts are ending.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => stop.abort())

// A SIGTERM to npm ends npm's shell and does not reach us: then we have another parent, and should end.
if (process.env['npm_lifecycle_event'] !== undefined) {
  const parent = process.ppid
  setInterval(() => process.ppid !== parent && stop.abort(), 500).unref()
}

async function run(): Promise<number> {
  process.chdir(root)
  if (existsSync('.env')) process.loadEnvFile('.env')
  await using parts = new AsyncDisposableStack() // ended in the opposite order: the gate first
  const { port, release } = await reservePort(process.env['PORT'])
  parts.defer(release)
  const kept = await readKept()
  const appUrl = process.env['APP_URL'] || `http://localhost:${port}`
  const environment: Record<string, string> = {
    SESSION_SECRET: kept.sessionSecret,
    ...definedOnly(process.env), // what is set wins
    PORT: String(port),
    APP_URL: appUrl,
  }

  const started = await startParts(parts, environment, kept)
  if (stop.signal.aborted) return 0
  const { configuration, secrets } = readConfiguration(environment)
  await runMigrations(secrets.databaseUrl, configuration.database)
  if (stop.signal.aborted) return 0

  await release()
  const gate = parts.use(startGate(environment))
  void announce(gate, port, [...started, ['page', appUrl]])
  await Promise.race([gate.ended, once(stop.signal, 'abort')])
  return stop.signal.aborted ? 0 : gate.ended
}

/** Starts what no variable replaces, and sets its variables. Gives what a person wants to know of each. */
async function startParts(
  parts: AsyncDisposableStack,
  environment: Record<string, string>,
  kept: Kept,
): Promise<[string, string][]> {
  const started: [string, string][] = []
  if (!environment['DATABASE_URL']) {
    const database = parts.use(await startPostgres({ directory: join(data, 'postgres') }))
    environment['DATABASE_URL'] = database.url
    started.push(['database', database.url.replace(/:[^:@/]*@/, ':…@')])
  }
  if (!environment['OIDC_ISSUER']) {
    const provider = parts.use(await startKnownProvider(kept, environment['APP_URL'] ?? ''))
    environment['OIDC_ISSUER'] = provider.issuer
    environment['OIDC_CLIENT_ID'] = clientId
    environment['OIDC_CLIENT_SECRET'] = kept.clientSecret
    const who = `${Object.keys(people).join(', ')}; password ${password}`
    started.push(['provider', `${provider.issuer} (${who})`])
    if (kept.providerPort !== 0 && provider.port !== kept.providerPort)
      started.push(['', `port ${kept.providerPort} was taken: sessions of its address are over`])
    await writeKept({ ...kept, providerPort: provider.port })
  }
  if (!environment['API_URL'] && !environment['UPSTREAMS']) {
    const api = await startExampleApi({
      issuer: environment['OIDC_ISSUER'],
      clientId: environment['OIDC_CLIENT_ID'] ?? clientId,
      audience: environment['OIDC_RESOURCE'] ?? environment['OIDC_AUDIENCE'] ?? audience,
    })
    environment['API_URL'] = parts.use(api).url
    started.push(['API', `${api.url}/api`])
  }
  return started
}

function startGate(environment: Record<string, string>): Supervised {
  return startSupervised({
    program: process.execPath,
    options: ['--watch', '--watch-preserve-output', 'server/main.ts'],
    directory: root,
    environment,
    end: { gentle: 'SIGTERM', hard: 'SIGKILL', patienceMs: 27_000 }, // it drains for 25 s at most
    isHeard: true,
  })
}

/** Says where everything is, once there is something to see. */
async function announce(gate: Supervised, port: number, facts: [string, string][]): Promise<void> {
  const isReady = () =>
    fetch(`http://localhost:${port}/readyz`).then(
      ({ ok }) => ok,
      () => false, // it does not listen yet
    )
  while (!(await isReady())) {
    if (gate.hasEnded() || stop.signal.aborted) return
    await delay(50)
  }
  const lines = facts.map(([name, value]) => `  ${name.padEnd(10)} ${value}`)
  console.log(`\nGatehouse, for development\n\n${lines.join('\n')}\n`)
}

/** The provider at the address that it had, because sessions remember it; at another one when that is taken. */
async function startKnownProvider(kept: Kept, appUrl: string) {
  const options = {
    clients: [
      {
        clientId,
        clientSecret: kept.clientSecret,
        redirectUris: [`${appUrl}/auth/callback`],
        postLogoutRedirectUris: [`${appUrl}/`],
        backChannelLogoutUri: `${appUrl}/auth/backchannel-logout`,
      },
    ],
    resource: audience,
    file: join(data, 'provider.json'),
  }
  try {
    return await startProvider({ ...options, port: kept.providerPort })
  } catch (error) {
    if (!isErrno(error, 'EADDRINUSE')) throw error
    return startProvider(options)
  }
}

/** PORT, or 3000, or the next free one when nobody asked for that one; ours until `release`. */
async function reservePort(asked: string | undefined) {
  const first = Number(asked || 3000)
  if (!Number.isInteger(first) || first < 1 || first > 65_535)
    throw new StartFault(`PORT is ${asked}, which is no port: set it to 3000, or leave it out.`)
  for (let port = first; ; port += 1) {
    const server = createServer((socket) => socket.destroy()).listen(port)
    try {
      await once(server, 'listening')
      if (port !== first) console.log(`Port ${first} is taken; the page is at ${port}.`)
      return { port, release: () => close(server) }
    } catch (error) {
      if (!isErrno(error, 'EADDRINUSE')) throw error
      if (asked)
        throw new StartFault(`Port ${port} is taken: end what uses it, or set PORT to another one.`)
    }
  }
}

async function close(server: Server): Promise<void> {
  if (!server.listening) return
  server.close()
  await once(server, 'close')
}

const definedOnly = (variables: NodeJS.ProcessEnv): Record<string, string> =>
  Object.fromEntries(
    Object.entries(variables).flatMap(([name, value]) => (value ? [[name, value]] : [])),
  )

async function readKept(): Promise<Kept> {
  if (existsSync(keptFile)) return JSON.parse(await readFile(keptFile, 'utf8')) as Kept // written below
  const kept: Kept = {
    sessionSecret: randomBytes(32).toString('base64url'),
    clientSecret: randomBytes(32).toString('base64url'),
    providerPort: 0,
  }
  await writeKept(kept)
  return kept
}

async function writeKept(kept: Kept): Promise<void> {
  await mkdir(data, { recursive: true, mode: 0o711 }) // root's database passes through as another user
  await writeFile(keptFile, JSON.stringify(kept), { mode: 0o600 })
}

try {
  process.exitCode = await run()
} catch (error) {
  // Ctrl-C while a part started: it ended because of that, and nobody wants to hear more.
  if (stop.signal.aborted) process.exitCode = 0
  else if (error instanceof ConfigurationFaults) {
    console.error(error.message)
    process.exitCode = 78 // EX_CONFIG, as the gate itself
  } else {
    console.error(error instanceof StartFault ? error.message : error)
    process.exitCode = 1
  }
} finally {
  setTimeout(() => process.exit(), 2000).unref() // something may hold the process: everything has ended
}
