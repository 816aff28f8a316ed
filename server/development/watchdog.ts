// Holds a program's hand: starts it, and ends it when whoever started us has gone, however that went (the
// pipe on stdin closes). Run by supervised.ts alone:
// `node watchdog.ts GENTLE-SIGNAL HARD-SIGNAL PATIENCE-MS PROGRAM ARGUMENT…`
import { spawn } from 'node:child_process'

const [gentle = '', hard = '', patienceMs = '', program = '', ...options] = process.argv.slice(2)
const { GATEHOUSE_UID: uid, GATEHOUSE_GID: gid, ...environment } = process.env

const child = spawn(program, options, {
  stdio: ['ignore', 'inherit', 'inherit'],
  env: environment,
  ...(uid !== undefined && gid !== undefined && { uid: Number(uid), gid: Number(gid) }),
})
child.on('error', (error) => {
  console.error(error.message)
  process.exitCode = 1
})
child.on('exit', (code) => process.exit(code ?? 1))

let isStopping = false
const stop = () => {
  if (isStopping) return
  isStopping = true
  child.kill(gentle as NodeJS.Signals) // as supervised.ts wrote it
  // We lead a process group of our own, with all that the program has started.
  setTimeout(() => process.kill(-process.pid, hard), Number(patienceMs)).unref()
}
process.stdin.on('end', stop).on('error', stop).resume()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
process.on('SIGQUIT', () => undefined) // when it is the hard signal: meant for the program
// Who read our output may have gone: last words reach nobody then.
for (const output of [process.stdout, process.stderr]) output.on('error', () => undefined)
