// Who is behind a process number: numbers are used again, so a number alone never says that a process
// still runs, nor that it is the one that was meant.
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

export interface RunningProcess {
  /** Tells it from a later process with the same number; means nothing else. */
  startedAt: string
  command: string
}

const run = promisify(execFile)

/** The process with that number; `undefined` when there is none, or only its zombie. */
export async function findProcess(pid: number): Promise<RunningProcess | undefined> {
  return process.platform === 'linux' ? findInProc(pid) : findByPs(pid)
}

/** Small images of Linux have no `ps`. */
async function findInProc(pid: number): Promise<RunningProcess | undefined> {
  try {
    const [stat, command] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'utf8'),
      readFile(`/proc/${pid}/cmdline`, 'utf8'),
    ])
    // proc(5): the name in brackets may hold spaces; after it the state, and the start as the 20th field.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (fields[0] === 'Z') return undefined
    return { startedAt: fields[19] ?? '', command: command.replaceAll('\0', ' ') }
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH')) return undefined
    throw error
  }
}

async function findByPs(pid: number): Promise<RunningProcess | undefined> {
  try {
    const { stdout } = await run('ps', ['-o', 'stat=,lstart=,command=', '-p', String(pid)])
    const [, state, startedAt, command] = /^(\S+)\s+(.{24})\s+(.*)/.exec(stdout.trim()) ?? []
    if (!state || state.startsWith('Z')) return undefined
    return { startedAt: startedAt ?? '', command: command ?? '' }
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 1) return undefined // none found
    throw error
  }
}

export function isErrno(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}
