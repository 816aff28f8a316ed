// A real PostgreSQL for development and tests, from the binaries that come with npm: started in a folder,
// kept between starts, stopped with whoever started it, however that one ended. Needs nothing installed.
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chown, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { preparePlace, type Place } from './postgres-place.ts'
import { findProcess, isErrno } from './processes.ts'
import { StartFault } from './start-fault.ts'
import { startSupervised, type Supervised } from './supervised.ts'

export interface Postgres extends AsyncDisposable {
  /** For a superuser; the database `gatehouse` exists. */
  url: string
}

export interface PostgresOptions {
  /** Where it keeps its data; made when missing. One process at a time may use it. */
  directory: string
  /** Settings of PostgreSQL, such as `fsync: 'off'` for data that is thrown away. */
  settings?: Record<string, string>
}

const run = promisify(execFile)
const user = 'gatehouse'
const startsWithinMs = 20_000
const stopsWithinMs = 15_000
// Nothing else of ours: PostgreSQL reads variables too, and secrets are none of its business.
const environment = { PATH: process.env['PATH'] ?? '', LC_ALL: 'C', TZ: 'UTC' }

/**
 * Starts the database that lives in `directory`. What a killed process left running there is ended first.
 * Throws `StartFault` with what to do.
 */
export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  const home = resolve(options.directory)
  try {
    await mkdir(home, { recursive: true, mode: process.getuid?.() === 0 ? 0o711 : 0o700 })
    return await startIn(await preparePlace(home), options.settings ?? {})
  } catch (error) {
    if (!isErrno(error, 'EACCES', 'EPERM', 'ENOSPC', 'EROFS')) throw error
    throw new StartFault(
      `PostgreSQL can't use ${home} (${textOf(error)}): mend that, or set DATABASE_URL.`,
      { cause: error },
    )
  }
}

async function startIn(place: Place, settings: Record<string, string>): Promise<Postgres> {
  await using opened = new AsyncDisposableStack()
  opened.use(await claim(place.folder))
  await stopLeftover(place)
  const password = await initialise(place)
  for (let tries = 1; ; tries += 1) {
    const port = await findFreePort()
    const server = startServer(place, port, settings)
    const url = `postgres://${user}:${password}@127.0.0.1:${port}`
    const fault = await untilItAnswers(`${url}/postgres`, server)
    if (fault === undefined) {
      opened.use(server)
      const owned = opened.move()
      return { url: `${url}/${user}`, [Symbol.asyncDispose]: () => owned.disposeAsync() }
    }
    await server[Symbol.asyncDispose]()
    // The port went to somebody else meanwhile, or the last backends of a killed server are still leaving.
    const mayPass = /could not bind|shared memory block/.test(fault)
    if (!mayPass || tries === 10)
      throw new StartFault(
        `PostgreSQL did not start (set DATABASE_URL to use another one): ${fault}`,
      )
    await delay(200)
  }
}

/** Ours until it is disposed, or until this process has gone. */
async function claim(folder: string): Promise<AsyncDisposable> {
  const file = join(folder, 'owner')
  const mine = `${process.pid} ${(await findProcess(process.pid))?.startedAt}`
  for (;;) {
    try {
      await writeFile(file, mine, { flag: 'wx', mode: 0o600 })
      return { [Symbol.asyncDispose]: () => rm(file, { force: true }) }
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error
    }
    const owner = await readFile(file, 'utf8').catch((error: unknown) => {
      if (!isErrno(error, 'ENOENT')) throw error
      return '' // given back in this moment
    })
    const pid = Number.parseInt(owner, 10)
    const running = pid > 0 ? await findProcess(pid) : undefined
    if (running && owner === `${pid} ${running.startedAt}`)
      throw new StartFault(
        `The database in ${folder} is in use by process ${pid} (npm run dev in another terminal?): end that one, or set DATABASE_URL.`,
      )
    await rm(file, { force: true })
  }
}

/** A server that outlived its owner; its watchdog may be ending it already. */
async function stopLeftover({ folder }: Place): Promise<void> {
  const data = join(folder, 'data')
  const pidFile = join(data, 'postmaster.pid')
  if (!existsSync(pidFile)) return
  const pid = Number.parseInt(await readFile(pidFile, 'utf8'), 10)
  // Numbers are used again: it counts when it is a server, and in this folder.
  const runs = async () =>
    pid > 1 && (await findProcess(pid))?.command.includes(` ${data} `) === true
  if (await runs()) process.kill(pid, 'SIGINT') // "fast" shutdown
  for (const giveUpAt = performance.now() + stopsWithinMs; await runs(); await delay(20)) {
    if (performance.now() > giveUpAt)
      throw new StartFault(
        `A PostgreSQL (process ${pid}) still uses ${data}: end it, or set DATABASE_URL.`,
      )
  }
  await rm(pidFile, { force: true })
}

/** Makes the data folder, once; gives the password that was made with it. */
async function initialise({ folder, binaries, account }: Place): Promise<string> {
  const data = join(folder, 'data')
  const passwordFile = join(folder, 'password')
  if (!existsSync(data)) {
    const unfinished = join(folder, 'unfinished')
    await rm(unfinished, { recursive: true, force: true }) // of a start that was killed
    await rm(passwordFile, { force: true })
    await mkdir(unfinished, { mode: 0o700 })
    await writeFile(passwordFile, randomBytes(24).toString('base64url'), { mode: 0o600 })
    for (const path of account ? [unfinished, passwordFile] : [])
      await chown(path, account?.uid ?? 0, account?.gid ?? 0)
    const options = `-U ${user} -A scram-sha-256 -E UTF8 --no-locale --no-sync`.split(' ')
    await run(
      join(binaries, 'initdb'),
      ['-D', unfinished, `--pwfile=${passwordFile}`, ...options],
      { ...account, env: environment, cwd: folder },
    ).catch((error: unknown) => {
      throw new StartFault(
        `PostgreSQL could not make its folder (set DATABASE_URL to use another one): ${textOf(error)}`,
      )
    })
    await rename(unfinished, data)
  }
  const [made, { stdout }] = await Promise.all([
    readFile(join(data, 'PG_VERSION'), 'utf8'),
    run(join(binaries, 'postgres'), ['--version'], { ...account, env: environment, cwd: folder }),
  ])
  if (!stdout.includes(` ${made.trim()}.`))
    throw new StartFault(
      `${data} was made by PostgreSQL ${made.trim()}, and this is ${stdout.trim()}: remove that folder (and what is in it), or set DATABASE_URL.`,
    )
  return (await readFile(passwordFile, 'utf8')).trim()
}

function startServer(place: Place, port: number, settings: Record<string, string>): Supervised {
  const parameters = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '', // their paths may be too long, and nobody needs them
    max_connections: '300',
    ...settings,
  }
  const flags = Object.entries(parameters).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  return startSupervised({
    program: join(place.binaries, 'postgres'),
    options: ['-D', join(place.folder, 'data'), ...flags],
    directory: place.folder,
    environment,
    account: place.account,
    // "fast": open connections are closed, nothing is lost. "immediate": it recovers at its next start.
    end: { gentle: 'SIGINT', hard: 'SIGQUIT', patienceMs: 10_000 },
    isHeard: false,
  })
}

/** Gives nothing when it answers, and why not when it never will. */
async function untilItAnswers(url: string, server: Supervised): Promise<string | undefined> {
  const giveUpAt = performance.now() + startsWithinMs
  for (;;) {
    if (server.hasEnded()) return server.lastWords()
    if (performance.now() > giveUpAt)
      return `no answer within ${startsWithinMs / 1000} s. ${server.lastWords()}`
    const client = new pg.Client({
      connectionString: url,
      ssl: false,
      connectionTimeoutMillis: 2000,
    })
    client.on('error', () => undefined) // told by `connect` as well
    try {
      await client.connect()
      const { rows } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [user])
      if (rows.length === 0) await client.query(`CREATE DATABASE ${user}`)
      await client.end()
      return undefined
    } catch (error) {
      if (!(error instanceof Error)) throw error
      await delay(20) // not yet: whether it will is seen above
    }
  }
}

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address ? address.port : 0
}

const textOf = (error: unknown) =>
  error instanceof Error
    ? ('stderr' in error && String(error.stderr).trim()) || error.message
    : String(error)
