import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { appendFile, chmod, cp, mkdtemp, rm, stat, symlink } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { WhoAmI } from '../../shared/example-api.ts'
import { createBrowser } from '../support/browser.ts'
import { findFreePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** A checkout of its own, with data of its own. */
async function makeCheckout() {
  const folder = await mkdtemp(join(tmpdir(), 'gatehouse-start-test-'))
  await chmod(folder, 0o755)
  for (const name of ['server', 'shared', 'migrations', 'client', 'package.json'])
    await cp(join(root, name), join(folder, name), { recursive: true })
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  return { path: folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) }
}

/** Every process that runs in this folder, or names it. */
function processesOf(folder: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
        const isIn = readlinkSync(`/proc/${pid}/cwd`).startsWith(folder)
        return command !== '' && (isIn || command.includes(folder)) ? [command] : []
      } catch {
        return [] // ended while we looked
      }
    })
}

function run(checkout: string, port: number | undefined, command: [string, ...string[]]) {
  const [program, ...options] = command
  const child = spawn(program, options, {
    cwd: checkout,
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: process.env['HOME'] ?? '',
      ...(port !== undefined && { PORT: String(port) }),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
  }
  const exited = once(child, 'exit').then(([code]) => code as number | null) // as child_process says
  return {
    child,
    exited,
    output: () => output,
    ready: () =>
      until(
        'it says where the page is',
        () => {
          if (child.exitCode !== null) throw new Error(`it ended: ${output}`)
          return /^ {2}page +(\S+)$/m.exec(output)?.[1]
        },
        20_000,
      ),
  }
}
const start: [string, ...string[]] = [process.execPath, 'server/development/start.ts']

test('npm run dev starts everything, an edit and a new start log nobody out, and SIGINT leaves nothing behind', async () => {
  await using checkout = await makeCheckout()
  const port = await findFreePort()
  const first = run(checkout.path, port, start)
  const appUrl = await first.ready()
  assert.equal(appUrl, `http://localhost:${port}`)
  const said = first.output()
  assert.match(said, /^ {2}database +postgres:\/\/gatehouse:…@127\.0\.0\.1:\d+\/gatehouse$/m)
  const provider = /^ {2}provider +(http:\/\/127\.0\.0\.1:\d+) \(ada, grace; password gatehouse\)$/m
  const issuer = provider.exec(said)?.[1]
  assert.ok(issuer)
  assert.match(said, /^ {2}API +http:\/\/127\.0\.0\.1:\d+\/api$/m)
  for (const name of ['development.json', 'provider.json'])
    assert.equal((await stat(join(checkout.path, '.data', name))).mode & 0o777, 0o600)

  const browser = createBrowser(appUrl)
  await browser.login('grace')
  const who = async () => {
    const answer = await browser.fetch('/api/whoami')
    return answer.status === 200 ? answer.json<WhoAmI>().sub : answer.status
  }
  assert.equal(await who(), 'grace')

  const starts = () => first.output().split('"msg":"started"').length - 1
  await appendFile(join(checkout.path, 'server/errors.ts'), '\n')
  await until('the gate has started again', () => starts() === 2, 10_000)
  assert.equal(await who(), 'grace')

  first.child.kill('SIGINT')
  first.child.kill('SIGINT') // an impatient person
  assert.equal(await first.exited, 0)
  assert.deepEqual(processesOf(checkout.path), [])

  const second = run(checkout.path, port, start)
  await second.ready()
  assert.equal(provider.exec(second.output())?.[1], issuer)
  assert.equal(await who(), 'grace')

  // Nobody can end anything in an orderly way here, and still nothing stays.
  second.child.kill('SIGKILL')
  await until('all of it has gone', () => processesOf(checkout.path).length === 0, 15_000)
})

test('what cannot start says so in a sentence, and ends with the code of its kind', async () => {
  await using checkout = await makeCheckout()
  const server = createServer().listen(0)
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  const taken = run(checkout.path, port, start)
  assert.equal(await taken.exited, 1)
  assert.equal(
    taken.output(),
    `Port ${port} is taken: end what uses it, or set PORT to another one.\n`,
  )
  server.close()

  await appendFile(join(checkout.path, '.env'), 'REFRESH_BEFORE=soon\nSESSION_SAMESITE=odd\n')
  const faulty = run(checkout.path, port, start)
  assert.equal(await faulty.exited, 78)
  assert.match(faulty.output(), /^SESSION_SAMESITE: .*\nREFRESH_BEFORE: .*\n$/)
  assert.deepEqual(processesOf(checkout.path), [])
})

test('a SIGTERM that reaches npm alone ends everything, at any moment', async () => {
  await using checkout = await makeCheckout()
  const npm = run(checkout.path, await findFreePort(), ['npm', 'run', 'dev'])
  await until(
    'the database is being started',
    () => processesOf(checkout.path).some((command) => command.includes('postgres')),
    15_000,
  )
  npm.child.kill('SIGTERM')
  await npm.exited
  await until('all of it has gone', () => processesOf(checkout.path).length === 0, 15_000)
})
