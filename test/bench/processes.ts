// The processes of the bench: started, asked what they cost, ended with us.
import { execFileSync, spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { once } from 'node:events'
import { openSync, readFileSync, closeSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export interface Costs {
  /** Processor time since its start, user and system; undefined where the system does not say. */
  cpuMs: () => number | undefined
  residentBytes: () => number
}

export interface BenchProcess extends AsyncDisposable, Costs {
  child: ChildProcess
}

const root = fileURLToPath(new URL('../..', import.meta.url))
const endsWithinMs = 5000

/** Starts `node FILE` in the checkout. With `output`, a file, it writes there; without, it talks to us. */
export function startProcess(
  file: string,
  environment: Record<string, string>,
  { output, flags = [] }: { output?: string; flags?: readonly string[] } = {},
): BenchProcess {
  const log = output === undefined ? 'inherit' : openSync(output, 'a')
  const stdio: StdioOptions = [
    'ignore',
    log,
    'inherit',
    ...(output === undefined ? ['ipc' as const] : []),
  ]
  const child = spawn(process.execPath, [...flags, file], {
    cwd: root,
    env: { PATH: process.env['PATH'] ?? '', ...environment },
    stdio,
  })
  if (typeof log === 'number') closeSync(log)
  // A gate has no line to us that would tell it that we are gone.
  const killIt = () => void child.kill('SIGKILL')
  process.once('exit', killIt)
  child.once('exit', () => process.off('exit', killIt))
  const pid = String(child.pid)
  return {
    child,
    cpuMs: () => cpuMsOf(pid),
    residentBytes: () =>
      Number(execFileSync('ps', ['-o', 'rss=', '-p', pid], { encoding: 'utf8' })) * 1024,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, 'exit')
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), endsWithinMs)
      await exited
      clearTimeout(timer)
    },
  }
}

/** Linux alone tells it finely enough: proc(5), in hundredths of a second. */
function cpuMsOf(pid: string): number | undefined {
  if (process.platform !== 'linux') return undefined
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** Starts a peer, and waits until it says on which port it listens. */
export async function startPeer(
  name: 'upstream' | 'bare-proxy' | 'usual-stack',
  environment: Record<string, string> = {},
): Promise<BenchProcess & { port: number }> {
  const started = startProcess(`test/bench/peers/${name}.ts`, environment)
  const [message] = (await once(started.child, 'message')) as [{ port: number }] // listen.ts sends it
  return { ...started, port: message.port }
}
