// Programs that end with us: at our word, and also when this process is killed, which no handler of its
// own could do. Each has a watchdog, in a process group of its own, so that Ctrl-C in a terminal reaches
// us alone and we end the parts in their order.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export interface SupervisedOptions {
  program: string
  options: string[]
  directory: string
  environment: Record<string, string>
  /** Whom to run it as; without, as whoever runs this. */
  account?: { uid: number; gid: number } | undefined
  /** How it is asked to end, and after how long the whole group is told again, and how. */
  end: { gentle: NodeJS.Signals; hard: NodeJS.Signals; patienceMs: number }
  /** Whether what it says goes to our terminal; otherwise the end of its complaints is kept. */
  isHeard: boolean
}

/** Disposing it ends the program, and waits until it has gone. */
export interface Supervised extends AsyncDisposable {
  /** Gives the exit code, 1 when a signal ended it. Never rejects. */
  ended: Promise<number>
  hasEnded: () => boolean
  lastWords: () => string
}

const watchdog = fileURLToPath(new URL('watchdog.ts', import.meta.url))

export function startSupervised(options: SupervisedOptions): Supervised {
  const { end, account, isHeard } = options
  const child = spawn(
    process.execPath,
    [watchdog, end.gentle, end.hard, String(end.patienceMs), options.program, ...options.options],
    {
      cwd: options.directory,
      env: {
        ...options.environment,
        ...(account && { GATEHOUSE_UID: String(account.uid), GATEHOUSE_GID: String(account.gid) }),
      },
      stdio: ['pipe', isHeard ? 'inherit' : 'ignore', isHeard ? 'inherit' : 'pipe'],
      detached: true,
    },
  )
  let lastWords = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    lastWords = (lastWords + chunk.toString()).slice(-2000)
  })
  child.stdin?.on('error', () => undefined) // it has gone first, and `ended` says so
  let hasEnded = false
  const ended = new Promise<number>((resolve) => {
    const onEnd = (code: number | null) => {
      hasEnded = true
      resolve(code ?? 1)
    }
    child.on('close', onEnd)
    child.on('error', (error) => {
      lastWords = error.message
      onEnd(1)
    })
  })
  return {
    ended,
    hasEnded: () => hasEnded,
    lastWords: () => lastWords.trim(),
    [Symbol.asyncDispose]: async () => {
      child.stdin?.end()
      await ended
    },
  }
}
