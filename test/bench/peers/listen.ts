// How a process of the bench begins and ends: it listens on a free port, says which, and goes with
// whoever started it.
import type { Server } from 'node:http'

export function listenAndTell(server: Server): void {
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
    const address = server.address()
    process.send?.({ port: typeof address === 'object' ? address?.port : undefined })
  })
  process.on('disconnect', () => process.exit())
}
