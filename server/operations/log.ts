// One JSON line a request and one for each thing that an operator must know, on stdout, in UTC. What
// could hold a token, a code or a cookie is never given to it: paths go without their query.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { pino, type DestinationStream, type Logger } from 'pino'
import type { Configuration } from '../configuration.ts'

export type Log = Logger

export function createLog(level: Configuration['logLevel'], destination?: DestinationStream): Log {
  const options = {
    level,
    base: { pid: process.pid },
    timestamp: createTimestamp(),
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: describeError },
  }
  return pino(options, destination ?? openStdout())
}

const gatheredBytes = 4096
const gatheredMs = 200

/**
 * Lines are gathered, so that no request waits for the terminal; written at the latest after 200 ms, and
 * at any exit but a SIGKILL. Not by pino's destination alone: it measures all that it has gathered at
 * each line, which made a line half as dear again (measured 6 µs of a request's 120).
 */
function openStdout(): DestinationStream {
  const stdout = pino.destination({ fd: 1, sync: false, minLength: gatheredBytes })
  let lines: string[] = []
  let length = 0
  const handOver = () => {
    stdout.write(lines.join(''))
    lines = []
    length = 0
  }
  setInterval(() => {
    handOver()
    stdout.flush()
  }, gatheredMs).unref()
  process.prependOnceListener('exit', handOver) // pino's own listener then writes it
  return {
    write: (line) => {
      lines.push(line)
      length += line.length
      if (length >= gatheredBytes) handOver()
    },
  }
}

/** The instant as JSON text; made once in a millisecond. */
function createTimestamp(): () => string {
  let madeAtMs = 0
  let text = ''
  return () => {
    const nowMs = Date.now()
    if (nowMs !== madeAtMs) {
      madeAtMs = nowMs
      text = `,"time":"${new Date(nowMs).toISOString()}"`
    }
    return text
  }
}

/** What is logged of an error: names, messages and stacks of it and its causes; not the other things that libraries hang on errors (answers, headers, queries with their values). */
export function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const code =
    'code' in error && (typeof error.code === 'string' || typeof error.code === 'number')
      ? error.code
      : undefined
  const cause = error.cause instanceof Error ? describeError(error.cause) : undefined
  return { name: error.name, message: error.message, code, stack: error.stack, cause }
}

/** The path as it may be logged: without its query, and not endless. */
function loggablePath(url: string | undefined): string {
  const path = url ?? ''
  const query = path.indexOf('?')
  return (query === -1 ? path : path.slice(0, query)).slice(0, 500)
}

/** Nobody was answered: not a status of HTTP, but what logs of proxies say of it. */
const clientHasGone = 499

/** Writes one line when the answer has gone, or when the client has. */
export function createRequestLog(
  log: Log,
  onAnswered: (request: IncomingMessage, status: number, durationMs: number) => void,
) {
  const logged = log.isLevelEnabled('info')
  return (request: IncomingMessage, response: ServerResponse): void => {
    const { facts, url, method } = request // Express changes `url` on its way
    response.once('close', () => {
      const durationMs = performance.now() - facts.arrivedAt
      const status = response.headersSent ? response.statusCode : clientHasGone
      onAnswered(request, status, durationMs)
      if (!logged) return
      log.info(
        {
          requestId: facts.requestId,
          method,
          path: loggablePath(url),
          status,
          durationMs: Math.round(durationMs * 10) / 10,
          session: facts.sessionLabel,
          ...(!response.writableFinished && { cut: true }),
        },
        'request',
      )
    })
  }
}
