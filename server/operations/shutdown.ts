// Leaving: no new connections, what is under way is finished, sockets are told, and what does not end is
// cut in time. The signal may come twice, and to each process of a dyno.
import type { Server } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'

/** What can be drained: stops taking in, finishes, and gives back what it holds. */
export interface Drainable extends AsyncDisposable {
  server: Server
  /** Ends what would go on by itself: sockets, event streams, connections that nobody uses. */
  closeLongLived: () => Promise<void>
}

const hardStopMs = 20_000 // and then what was opened is closed, and lines are written

/** Finishes what is under way, within 20 s. Answers whether it was all finished. */
export async function drain(gate: Drainable): Promise<boolean> {
  const { server } = gate
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  const finish = async () => {
    await Promise.all([gate.closeLongLived(), closed])
    await gate[Symbol.asyncDispose]()
    return true
  }
  const tooLong = new AbortController()
  try {
    return await Promise.race([finish(), delay(hardStopMs, false, { signal: tooLong.signal })])
  } finally {
    tooLong.abort()
    server.closeAllConnections()
  }
}
