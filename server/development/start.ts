// `npm run dev`: starts what no variable replaces (database, provider, API), then the gate as production
// starts it, again after each edit. The parts keep running meanwhile, so an edit logs nobody out; they
// keep what they know in `.data/`, so neither does a new start.
import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runMigrations } from '../database/migrations.ts'
import { startExampleApi } from './example-api.ts'
import { startPostgres } from './postgres.ts'
import { StartFault } from './start-fault.ts'
import { password, people, startProvider } from './provider.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const data = join(root, '.data')
const clientId = 'gatehouse'
const audience = 'urn:gatehouse:example-api'
const hardStopMs = 27_000 // the gate itself takes 25 s at most

interface Kept {
  sessionSecret: string
  clientSecret: string
  providerPort: number
}

async function run(): Promise<number> {
  process.chdir(root)
  if (existsSync('.env')) process.loadEnvFile('.env')
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => stop.abort())

  await using parts = new AsyncDisposableStack()
  const port = await choosePort(process.env['PORT'])
  const appUrl = process.env['APP_URL'] ?? `http://localhost:${port}`
  const kept = await readKept()
  const environment: Record<string, string> = {
    SESSION_SECRET: kept.sessionSecret,
    // The defaults first: what is set wins.
    ...definedOnly(process.env),
    PORT: String(port),
    APP_URL: appUrl,
  }
  const say = (what: string, value: string) => console.log(`  ${what.padEnd(10)} ${value}`)
  console.log('\nGatehouse, for development\n')

  if (!process.env['DATABASE_URL']) {
    const database = parts.use(await startPostgres({ directory: join(data, 'postgres') }))
    environment['DATABASE_URL'] = database.url
    await runMigrations(database.url, { tls: 'off', certificateAuthority: undefined })
    say('database', database.url.replace(/:[^:@/]*@/, ':…@'))
  }
  if (!process.env['OIDC_ISSUER']) {
    const provider = parts.use(await startKnownProvider(kept, appUrl))
    if (provider.port !== kept.providerPort)
      await writeKept({ ...kept, providerPort: provider.port })
    environment['OIDC_ISSUER'] = provider.issuer
    environment['OIDC_CLIENT_ID'] = clientId
    environment['OIDC_CLIENT_SECRET'] = kept.clientSecret
    say('provider', `${provider.issuer}  (${Object.keys(people).join(', ')}; password ${password})`)
  }
  if (!process.env['API_URL'] && !process.env['UPSTREAMS']) {
    const issuer = environment['OIDC_ISSUER'] ?? ''
    const api = parts.use(
      await startExampleApi({
        issuer,
        audience,
        clientId: environment['OIDC_CLIENT_ID'] ?? clientId,
      }),
    )
    environment['API_URL'] = api.url
    say('API', `${api.url}/api`)
  }
  say('page', `${appUrl}\n`)
  if (stop.signal.aborted) return 0

  const gate = spawn(process.execPath, ['--watch', '--watch-preserve-output', 'server/main.ts'], {
    env: environment,
    stdio: ['ignore', 'inherit', 'inherit'],
    detached: true, // Ctrl-C reaches us alone: we end the parts in their order
  })
  const exited = once(gate, 'exit')
  await Promise.race([exited, once(stop.signal, 'abort')])
  if (gate.exitCode === null) {
    const timer = setTimeout(() => killGroup(gate, 'SIGKILL'), hardStopMs)
    killGroup(gate, 'SIGTERM')
    await exited
    clearTimeout(timer)
  }
  return stop.signal.aborted ? 0 : (gate.exitCode ?? 1)
}

/** `--watch` runs the gate as its child: both hear it. */
function killGroup(gate: ChildProcess, signal: NodeJS.Signals): void {
  if (gate.pid === undefined) return
  try {
    process.kill(-gate.pid, signal)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
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
    if (!isPortTaken(error)) throw error
    return startProvider(options)
  }
}

/** PORT, or 3000, or the next free one when nobody asked for that one. */
async function choosePort(asked: string | undefined): Promise<number> {
  for (let port = Number(asked ?? 3000); ; port += 1) {
    const server = createServer().listen(port)
    try {
      await once(server, 'listening')
      server.close()
      await once(server, 'close')
      if (asked === undefined && port !== 3000)
        console.log(`Port 3000 is taken; this one is at ${port}.`)
      return port
    } catch (error) {
      if (!isPortTaken(error)) throw error
      if (asked !== undefined)
        throw new StartFault(`Port ${port} is taken: set PORT to another one.`)
    }
  }
}

const isPortTaken = (error: unknown) =>
  error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'

const definedOnly = (variables: NodeJS.ProcessEnv): Record<string, string> =>
  Object.fromEntries(
    Object.entries(variables).flatMap(([name, value]) => (value ? [[name, value]] : [])),
  )

const keptFile = join(data, 'development.json')

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
  console.error(error instanceof StartFault ? error.message : error)
  process.exitCode = 1
}
