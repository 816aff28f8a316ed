// The one place where a session ends, for whatever reason: its row goes, the other processes are told in
// the same statement, and then whoever listens here (cache, sockets, streams, tokens). What ends in another
// process is heard here as well.
import { endReasons, type EndReason } from '../../shared/contract.ts'
import { channel, type Notifications } from '../database/notifications.ts'
import type { Queryable } from '../database/pool.ts'
import type { LiveSession, SessionEnded, SessionIdHash } from './session.ts'

export interface SessionEvents {
  sessionEnded: (session: Pick<LiveSession, 'label' | 'subject'>, reason: EndReason) => void
}

/** Sessions whose rows are gone; `announce` is for after the commit. */
export interface Gone {
  count: number
  announce: () => void
}

export interface Ending {
  /** Ends what an SQL condition on `session` says, and says so. Gives how many there were. */
  end: (condition: string, values: unknown[], reason: EndReason) => Promise<number>
  /** The same as part of a transaction, which may still fail. */
  endWithin: (
    transaction: Queryable,
    condition: string,
    values: unknown[],
    reason: EndReason,
  ) => Promise<Gone>
  /** Called at once for what ends here, within a notification's time for what ends elsewhere; perhaps twice. Gives the way to stop listening. */
  onEnded: (listener: (ended: SessionEnded) => void) => () => void
}

interface Parts {
  database: Queryable
  notifications: Pick<Notifications, 'onMessage'>
  label: (sid: SessionIdHash) => string
  events: SessionEvents
}

export function createEnding({ database, notifications, label, events }: Parts): Ending {
  const listeners = new Set<(ended: SessionEnded) => void>()

  const announce = (ended: SessionEnded) => {
    for (const listener of listeners) listener(ended)
  }
  // Our own come as well, a second time: when the answer to a statement is lost they are all we hear of it.
  notifications.onMessage((message) => {
    const ended = parseEnded(message)
    if (ended) announce(ended)
  })

  const endWithin: Ending['endWithin'] = async (transaction, condition, values, reason) => {
    const at = values.length
    // Locked in order of sid, as activity is written: two that mean the same rows can't wait for each other.
    const gone = await transaction.query<{ sid: SessionIdHash; subject: string }>(
      `WITH meant AS (SELECT sid FROM session WHERE ${condition} ORDER BY sid FOR UPDATE),
         gone AS (DELETE FROM session USING meant WHERE session.sid = meant.sid RETURNING session.sid, subject)
       SELECT sid, subject, pg_notify('${channel}', json_build_object('event', 'ended',
         'sid', sid, 'reason', $${at + 1}::text)::text) FROM gone`,
      [...values, reason],
    )
    return {
      count: gone.length,
      announce: () => {
        for (const { sid, subject } of gone) {
          events.sessionEnded({ label: label(sid), subject }, reason)
          announce({ sid, reason })
        }
      },
    }
  }

  return {
    endWithin,
    end: async (condition, values, reason) => {
      const gone = await endWithin(database, condition, values, reason)
      gone.announce()
      return gone.count
    },
    onEnded: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}

/** The channel carries other messages too; what is not the end of a session is not for us. */
function parseEnded(message: object): SessionEnded | undefined {
  if (!('event' in message) || message.event !== 'ended') return undefined
  if (!('sid' in message) || typeof message.sid !== 'string') return undefined
  const reason = endReasons.find((known) => 'reason' in message && known === message.reason)
  // `endWithin` alone sends these, and what it sends as `sid` is a hash.
  return { sid: message.sid as SessionIdHash, reason: reason ?? 'revoked' }
}
