// The end of every failed request that Express has: a refusal as it is, a bug as 500 and a log line.
import type { IncomingMessage } from 'node:http'
import type { ErrorRequestHandler } from 'express'
import { answerTo, BadRequest, toRefusal, type Refusal } from '../errors.ts'
import type { Log } from './log.ts'

interface Parts {
  log: Log
  events: {
    refused: (request: IncomingMessage, refusal: Refusal, kind: 'http' | 'upgrade') => void
  }
}

export function createErrorAnswer({ log, events }: Parts): ErrorRequestHandler {
  return (error: unknown, request, response, _next) => {
    // Express's router throws it for a path that can't be decoded.
    const refusal = error instanceof URIError ? new BadRequest() : toRefusal(error)
    if (refusal.status === 500)
      log.error({ err: error, requestId: request.facts.requestId }, 'a request failed')
    events.refused(request, refusal, 'http')
    if (response.headersSent) return response.destroy()
    const { status, headers, body } = answerTo(refusal, request.facts.requestId)
    return response.writeHead(status, { ...headers }).end(JSON.stringify(body))
  }
}
