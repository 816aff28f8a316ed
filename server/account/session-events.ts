// `GET /auth/events`: a page hears of its session's end the moment it happens, for whatever reason and
// in whichever process. Not activity.
import type { RequestHandler } from 'express'
import { sessionEvents, type EndedEvent, type EndReason } from '../../shared/contract.ts'
import type { Clock } from '../clock.ts'
import { Overloaded, ShuttingDown } from '../errors.ts'
import type { Guard } from '../protection/guard.ts'
import type { SessionIdHash } from '../sessions/session.ts'
import type { Sessions } from '../sessions/sessions.ts'
import { createSessionWatch, type Watched } from '../sessions/watch.ts'

export interface SessionEventStreams extends Disposable {
  handler: RequestHandler
  /** At shutdown: the pages connect again, to whoever comes next. */
  close: () => void
}

interface Stream extends Watched {
  close: () => void
}

const keepAliveMs = 25_000 // Heroku's router cuts what is silent for 55 s
const mostPerSession = 50
const watchEveryMs = 1000

interface Parts {
  guard: Guard
  sessions: Pick<Sessions, 'onEnded' | 'endedAmong' | 'idleExpiresAt'>
  clock: Clock
}

export function createSessionEventStreams({ guard, sessions, clock }: Parts): SessionEventStreams {
  const streams = new Map<SessionIdHash, Set<Stream>>()
  const open = () => [...streams.values()].flatMap((ofSession) => [...ofSession])
  const watch = createSessionWatch({ sessions, clock, tickMs: watchEveryMs, open })
  let isClosing = false

  return {
    handler: async (request, response) => {
      const session = await guard.require(request, response)
      const { sid } = session
      const ofSession = streams.get(sid) ?? new Set()
      if (isClosing) throw new ShuttingDown()
      if (ofSession.size >= mostPerSession) throw new Overloaded()
      if (response.destroyed) return // has gone while we looked: `close` will not come again

      const timer = setInterval(() => response.write(':\n\n'), keepAliveMs)
      const stream: Stream = {
        session,
        sessionEnded: (reason: EndReason) => {
          if (response.writableEnded) return // heard before
          const data = JSON.stringify({ reason } satisfies EndedEvent)
          response.write(`event: ${sessionEvents.ended}\ndata: ${data}\n\n`)
          stream.close()
        },
        // Its `close` may be long in coming: an answer can wait behind another on its connection.
        close: () => {
          clearInterval(timer)
          response.end()
        },
      }
      streams.set(sid, ofSession.add(stream))
      response.once('close', () => {
        clearInterval(timer)
        ofSession.delete(stream)
        if (ofSession.size === 0 && streams.get(sid) === ofSession) streams.delete(sid)
      })

      response.writeHead(200, { 'Content-Type': 'text/event-stream', 'X-Accel-Buffering': 'no' })
      response.write(':\n\n')
      // It may have ended between the look at it and our listening.
      const reason = (await sessions.endedAmong([sid])).get(sid)
      if (reason !== undefined) stream.sessionEnded(reason)
    },
    close: () => {
      isClosing = true
      for (const stream of open()) stream.close()
    },
    [Symbol.dispose]: () => watch[Symbol.dispose](),
  }
}
