// Holds PostgreSQL's hand: starts it, and stops it when whoever started us has gone, however that went
// (the pipe on stdin closes). Run by postgres.ts alone: `node postgres-watchdog.ts POSTGRES ARGUMENT…`
import { spawn } from 'node:child_process'

const [program = '', ...options] = process.argv.slice(2)
const { GATEHOUSE_UID: uid, GATEHOUSE_GID: gid } = process.env

const child = spawn(program, options, {
  stdio: ['ignore', 'ignore', 'inherit'],
  ...(uid !== undefined && gid !== undefined && { uid: Number(uid), gid: Number(gid) }),
})
child.on('error', (error) => {
  console.error(error.message)
  process.exitCode = 1
})
child.on('exit', (code) => process.exit(code ?? 1))

const stop = () => {
  child.kill('SIGINT') // "fast": open connections are closed, nothing is lost
  setTimeout(() => child.kill('SIGQUIT'), 10_000).unref()
}
process.stdin.on('end', stop).on('error', stop).resume()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
// Our stderr is that one's pipe: when it has gone, PostgreSQL's last words reach nobody.
process.stderr.on('error', () => undefined)
