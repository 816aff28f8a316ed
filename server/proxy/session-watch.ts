// What is open for which session: requests under way, streams, WebSockets. When the session ends, for
// whatever reason and in whatever process, each is told; nothing stays open on a session that is over.
import type { EndReason } from '../../shared/contract.ts'
import type { Clock } from '../clock.ts'
import { DatabaseUnavailable } from '../errors.ts'
import type { LiveSession, SessionEnded, SessionIdHash } from '../sessions/session.ts'

export interface Watched {
  sessionEnded: (reason: EndReason) => void
}

export interface SessionWatch extends Disposable {
  add: (session: LiveSession, watched: Watched) => void
  remove: (session: LiveSession, watched: Watched) => void
}

interface Watch {
  session: LiveSession
  all: Set<Watched>
}

const askEveryTicks = 15 // a lost notification is made good within 15 s

export interface SessionWatchParts {
  sessions: {
    onEnded: (listener: (ended: SessionEnded) => void) => () => void
    /** Which of these are over, asked of the database. */
    endedAmong: (sids: readonly SessionIdHash[]) => Promise<Map<SessionIdHash, EndReason>>
    idleExpiresAt: (session: LiveSession) => Date
  }
  clock: Clock
  tickMs: number
}

export function createSessionWatch({ sessions, clock, tickMs }: SessionWatchParts): SessionWatch {
  const watches = new Map<SessionIdHash, Watch>()
  let ticks = 0
  let asking = false

  const end = (sid: SessionIdHash, reason: EndReason) => {
    const watch = watches.get(sid)
    if (!watch) return
    watches.delete(sid)
    for (const watched of watch.all) watched.sessionEnded(reason)
  }

  const ask = async (sids: SessionIdHash[]) => {
    asking = true
    try {
      for (const [sid, reason] of await sessions.endedAmong(sids)) end(sid, reason)
    } catch (error) {
      // Nobody can say: what is open stays so until the next tick can ask, or its absolute end comes.
      if (!(error instanceof DatabaseUnavailable)) throw error
    } finally {
      asking = false
    }
  }

  const tick = () => {
    ticks += 1
    const now = clock.now()
    const isTimeForAll = ticks % askEveryTicks === 0
    const doubtful: SessionIdHash[] = []
    for (const [sid, { session }] of watches) {
      if (session.expiresAt <= now) end(sid, 'expired')
      // Idle as far as this process knows; another one may have seen the person since.
      else if (isTimeForAll || sessions.idleExpiresAt(session) <= now) doubtful.push(sid)
    }
    if (doubtful.length > 0 && !asking) void ask(doubtful)
  }

  const stopListening = sessions.onEnded(({ sid, reason }) => end(sid, reason))
  const timer = setInterval(tick, tickMs).unref()

  return {
    add: (session, watched) => {
      const watch = watches.get(session.sid)
      if (watch) {
        watch.session = session
        watch.all.add(watched)
      } else watches.set(session.sid, { session, all: new Set([watched]) })
    },
    remove: (session, watched) => {
      const watch = watches.get(session.sid)
      if (watch?.all.delete(watched) && watch.all.size === 0) watches.delete(session.sid)
    },
    [Symbol.dispose]: () => {
      clearInterval(timer)
      stopListening()
    },
  }
}
