import { once } from 'node:events'
import { createServer } from 'node:net'

/** A port that was free a moment ago, for what has to know its own address before it listens. */
export async function findFreePort(): Promise<number> {
  const server = createServer().listen(0)
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address ? address.port : 0
}
