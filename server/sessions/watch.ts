// Ends what is open on a session when the session ends, for whatever reason and in whatever process:
// told by an event, found by the clock, or by asking the database, in case nobody could tell.
import type { EndReason } from '../../shared/contract.ts'
import type { Clock } from '../clock.ts'
import { DatabaseUnavailable } from '../errors.ts'
import type { LiveSession, SessionEnded, SessionIdHash } from './session.ts'

/** A request, a stream or a WebSocket under way. */
export interface Watched {
  /** What it rides on; `undefined` until that is known, or for nobody's. */
  readonly session: LiveSession | undefined
  sessionEnded: (reason: EndReason) => void
}

export interface SessionWatchParts {
  sessions: {
    onEnded: (listener: (ended: SessionEnded) => void) => () => void
    /** Which of these are over, asked of the database. Throws `DatabaseUnavailable`. */
    endedAmong: (sids: readonly SessionIdHash[]) => Promise<Map<SessionIdHash, EndReason>>
    idleExpiresAt: (session: LiveSession) => Date
  }
  clock: Clock
  tickMs: number
  open: () => Watched[]
}

const askEveryTicks = 15 // a lost notification is made good within 15 s

export function createSessionWatch(parts: SessionWatchParts): Disposable {
  const { sessions, clock, open } = parts
  let ticks = 0
  let asking = false

  const end = (ended: ReadonlyMap<SessionIdHash, EndReason>) => {
    if (ended.size === 0) return
    for (const watched of open()) {
      const reason = watched.session && ended.get(watched.session.sid)
      if (reason) watched.sessionEnded(reason)
    }
  }

  const ask = async (sids: SessionIdHash[]) => {
    asking = true
    try {
      end(await sessions.endedAmong(sids))
    } catch (error) {
      // Nobody can say: it stays open until the next tick can ask, or its absolute end comes.
      if (!(error instanceof DatabaseUnavailable)) throw error
    } finally {
      asking = false
    }
  }

  const tick = () => {
    ticks += 1
    const now = clock.now()
    const isTimeForAll = ticks % askEveryTicks === 0
    const expired = new Map<SessionIdHash, EndReason>()
    const doubtful = new Set<SessionIdHash>()
    for (const { session } of open()) {
      if (!session) continue
      if (session.expiresAt <= now) expired.set(session.sid, 'expired')
      // Idle as far as this process knows; another one may have seen the person since.
      else if (isTimeForAll || sessions.idleExpiresAt(session) <= now) doubtful.add(session.sid)
    }
    end(expired)
    if (doubtful.size > 0 && !asking) void ask([...doubtful])
  }

  const stopListening = sessions.onEnded(({ sid, reason }) => end(new Map([[sid, reason]])))
  const timer = setInterval(tick, parts.tickMs).unref()

  return {
    [Symbol.dispose]: () => {
      clearInterval(timer)
      stopListening()
    },
  }
}
