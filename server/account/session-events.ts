// `GET /auth/events`: a page hears of its session's end the moment it happens, for whatever reason and
// in whichever process. Not activity.
import type { RequestHandler } from 'express'
import { sessionEvents, type EndedEvent, type EndReason } from '../../shared/contract.ts'
import { Overloaded, ShuttingDown } from '../errors.ts'
import type { Guard } from '../protection/guard.ts'
import type { SessionIdHash } from '../sessions/session.ts'
import type { Sessions } from '../sessions/sessions.ts'

export interface SessionEventStreams {
  handler: RequestHandler
  /** At shutdown: the pages connect again, to whoever comes next. */
  close: () => void
}

const keepAliveMs = 25_000 // Heroku's router cuts what is silent for 55 s
const mostPerSession = 50

export function createSessionEventStreams({
  guard,
  sessions,
}: {
  guard: Guard
  sessions: Pick<Sessions, 'onEnded' | 'endedAmong'>
}): SessionEventStreams {
  const streams = new Map<SessionIdHash, Set<(reason: EndReason | undefined) => void>>()

  let isClosing = false

  sessions.onEnded(({ sid, reason }) => {
    for (const end of streams.get(sid) ?? []) end(reason)
  })

  return {
    handler: async (request, response) => {
      const { sid } = await guard.require(request, response)
      const ofSession = streams.get(sid) ?? new Set()
      if (isClosing) throw new ShuttingDown()
      if (ofSession.size >= mostPerSession) throw new Overloaded()
      if (response.destroyed) return // has gone while we looked: `close` will not come again

      const end = (reason: EndReason | undefined) => {
        if (reason !== undefined) {
          response.write(
            `event: ${sessionEvents.ended}\ndata: ${JSON.stringify({ reason } satisfies EndedEvent)}\n\n`,
          )
        }
        response.end()
      }
      streams.set(sid, ofSession.add(end))
      const timer = setInterval(() => response.write(':\n\n'), keepAliveMs)
      response.once('close', () => {
        clearInterval(timer)
        ofSession.delete(end)
        if (ofSession.size === 0 && streams.get(sid) === ofSession) streams.delete(sid)
      })

      response.writeHead(200, { 'Content-Type': 'text/event-stream', 'X-Accel-Buffering': 'no' })
      response.write(':\n\n')
      // It may have ended between the look at it and our listening.
      const reason = (await sessions.endedAmong([sid])).get(sid)
      if (reason !== undefined) end(reason)
    },
    close: () => {
      isClosing = true
      for (const ofSession of streams.values()) for (const end of ofSession) end(undefined)
    },
  }
}
