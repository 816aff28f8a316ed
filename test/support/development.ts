// The whole of `npm run dev` in a folder of its own, so that a test has its own database and provider;
// and a production start beside it, on the same parts.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findFreePort } from './free-port.ts'
import { until } from './until.ts'

export interface Running extends AsyncDisposable {
  appUrl: string
  output: () => string
  child: ChildProcess
}

const root = fileURLToPath(new URL('../..', import.meta.url))

/** `production` serves the built client; the parts are those of development all the same. */
export async function startDevelopment({
  production = false,
  environment = {},
}: { production?: boolean; environment?: Record<string, string> } = {}): Promise<Running> {
  await using opened = new AsyncDisposableStack() // one that does not become ready must not stay
  const directory = await mkdtemp(join(tmpdir(), 'gatehouse-dev-'))
  opened.defer(() => rm(directory, { recursive: true, force: true }))
  for (const name of [
    'server',
    'shared',
    'migrations',
    'client',
    'package.json',
    'tsconfig.json',
  ]) {
    await cp(join(root, name), join(directory, name), { recursive: true })
  }
  await symlink(join(root, 'node_modules'), join(directory, 'node_modules'))
  const port = await findFreePort()
  const child = spawn(process.execPath, ['server/development/start.ts'], {
    cwd: directory,
    env: {
      PATH: process.env['PATH'] ?? '',
      PORT: String(port),
      ...(production && { NODE_ENV: 'production' }),
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  opened.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    await exited
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
  }
  const appUrl = `http://localhost:${port}`
  await until(
    'the development server is ready',
    async () => {
      if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${output}`)
      return fetch(`${appUrl}/readyz`).then(
        ({ ok }) => ok,
        () => false, // not listening yet
      )
    },
    60_000,
  )
  const owned = opened.move()
  return {
    appUrl,
    output: () => output,
    child,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
