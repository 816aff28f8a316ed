// What the processes tell each other, by PostgreSQL's NOTIFY, over a connection of its own that comes
// back when it is lost. While it is down nobody may believe what it would have contradicted.
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import type { Database, DatabaseLog } from './pool.ts'

export const channel = 'gatehouse'

export interface Notifications extends AsyncDisposable {
  /** Whether every message of the others reaches us now. */
  listening: () => boolean
  /** Called with each message (a JSON object), our own included. */
  onMessage: (handler: (message: object) => void) => void
  /** Called when the line was lost, and again when it is back: messages between were missed. */
  onInterrupted: (handler: () => void) => void
}

const heartbeatMs = 2000 // a half-open connection is noticed within two of these
const heartbeat = { text: 'SELECT 1', query_timeout: heartbeatMs }

/** Starts to listen, and keeps at it until disposed. Does not wait for the first connection. */
export function openNotifications(
  database: Pick<Database, 'clientOptions'>,
  log: DatabaseLog,
): Notifications {
  const messageHandlers: ((message: object) => void)[] = []
  const interruptedHandlers: (() => void)[] = []
  const closing = new AbortController()
  let listening = false

  const setListening = (now: boolean) => {
    if (listening === now) return
    listening = now
    for (const handler of interruptedHandlers) handler()
  }

  const listenUntilLost = async () => {
    const client = new pg.Client(database.clientOptions)
    const lost = new AbortController()
    client.on('error', (error) => lost.abort(error))
    client.on('end', () => lost.abort())
    client.on('notification', ({ payload }) => {
      const message = parseMessage(payload)
      if (!message) return log.warn({}, 'a notification that is not ours was ignored')
      for (const handler of messageHandlers) handler(message)
    })
    try {
      await client.connect()
      await client.query(`LISTEN ${channel}`)
      setListening(true)
      const until = AbortSignal.any([lost.signal, closing.signal])
      while (!until.aborted) {
        await client.query(heartbeat) // fails when nobody is there any more
        await delay(heartbeatMs, undefined, { signal: until, ref: false })
      }
    } finally {
      setListening(false)
      // Not awaited: a connection that hangs may never say goodbye.
      client
        .end()
        .catch((error: unknown) => log.warn({ err: error }, 'a listening connection did not close'))
    }
  }

  const keepListening = async () => {
    for (let attempt = 0; !closing.signal.aborted; attempt += 1) {
      const startedAt = performance.now()
      try {
        await listenUntilLost()
      } catch (error) {
        if (closing.signal.aborted) return
        log.warn({ err: error }, 'not listening to the other processes; trying again')
      }
      if (performance.now() - startedAt > 10_000) attempt = 0
      const waitMs = Math.min(100 * 2 ** attempt, 2000) * (0.5 + Math.random() / 2)
      await delay(waitMs, undefined, { signal: closing.signal }).catch(() => undefined) // aborted: the loop ends
    }
  }
  const done = keepListening()

  return {
    listening: () => listening,
    onMessage: (handler) => void messageHandlers.push(handler),
    onInterrupted: (handler) => void interruptedHandlers.push(handler),
    [Symbol.asyncDispose]: async () => {
      closing.abort()
      await done
    },
  }
}

/** Whoever may use the database may use the channel: what can't be read is not from us. */
function parseMessage(payload = ''): object | undefined {
  try {
    const message: unknown = JSON.parse(payload)
    return typeof message === 'object' && message !== null ? message : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
