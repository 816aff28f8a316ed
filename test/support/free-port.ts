// Ports for what has to know its own address before it listens, and for what is stopped and comes back
// at the same one. A port that was only free a moment ago is a race: anything may take it meanwhile.
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'

// Below the ports that systems give to whoever names none (Linux from 32768, others from 49152): no
// outgoing connection, and nobody who listens at port 0, can get one of these.
const first = 15_000
const count = 17_000

/** A port that is free, and this process's until it ends: no other test file is given it. */
export async function findFreePort(): Promise<number> {
  for (;;) {
    const port = first + Math.floor(Math.random() * count)
    if ((await claim(port)) && (await isFree(port))) return port
  }
}

/** By the UDP port of the same number, which nobody needs, and which goes with the process however that ends. */
async function claim(port: number): Promise<boolean> {
  const socket = createSocket('udp4').unref()
  try {
    const listening = once(socket, 'listening')
    socket.bind({ port, address: '127.0.0.1', exclusive: true })
    await listening
    return true
  } catch (error) {
    if (!isTaken(error)) throw error
    return false
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    const listening = once(server, 'listening')
    server.listen(port)
    await listening
  } catch (error) {
    if (!isTaken(error)) throw error
    return false
  }
  server.close()
  await once(server, 'close')
  return true
}

const isTaken = (error: unknown) =>
  error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
