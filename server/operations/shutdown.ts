// Leaving: no new connections, what is under way is finished, sockets are told, and what does not end is
// cut in time. The signal may come twice, and to each process of a dyno.
import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** What can be drained: stops taking in, finishes, and gives back what it holds. */
export interface Drainable extends AsyncDisposable {
  server: Server
  /** Ends what would go on by itself: sockets, event streams, connections that nobody uses. */
  closeLongLived: () => Promise<void>
}

/** Connections that browsers open in advance and have not used yet: Node does not take them for idle. Gives the way to close them. */
export function watchUnusedConnections(server: Server): () => void {
  const unused = new Set<Socket>()
  const used = ({ socket }: IncomingMessage) => void unused.delete(socket)
  server.on('connection', (socket) => {
    unused.add(socket)
    socket.once('close', () => unused.delete(socket))
  })
  server.on('request', used)
  server.on('upgrade', used)
  return () => {
    for (const socket of unused) socket.destroy()
  }
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
