// Runs test files by Node's own runner, each in a process of its own, under what holds for all of ours:
// what a file leaves open is a failure with its name, and nothing can hang a run for ever.
import { spawn } from 'node:child_process'
import { once } from 'node:events'

const testLimitMs = 120_000
const runLimitMs = 600_000 // some six times what a whole run takes
const endsWithinMs = 10_000

/** Gives the exit code: that of the runner, which names what was under way if time is up. */
export async function runFiles(
  files: readonly string[],
  {
    atOnce,
    environment = {},
  }: {
    /** How many files run at the same time. */
    atOnce: number
    environment?: Record<string, string>
  },
): Promise<number> {
  const options = [
    '--test',
    `--test-concurrency=${atOnce}`,
    `--test-timeout=${testLimitMs}`,
    '--import=./test/support/leaks.ts',
  ]
  const runner = spawn(process.execPath, [...options, ...files], {
    stdio: 'inherit',
    env: { ...process.env, ...environment },
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => runner.kill(signal))
  // The limit of a test does not hold for a file that never gets to its first one.
  const limit = setTimeout(() => {
    console.error(`The tests did not end within ${runLimitMs / 60_000} minutes.`)
    runner.kill('SIGINT')
    setTimeout(() => runner.kill('SIGKILL'), endsWithinMs).unref()
  }, runLimitMs)
  const [code] = await once(runner, 'exit')
  clearTimeout(limit)
  return typeof code === 'number' ? code : 1
}
