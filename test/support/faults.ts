// A line that can be cut: TCP between the gate and one of its parts, which refuses, resets, or falls
// silent as a test says.
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

export interface Link extends AsyncDisposable {
  port: number
  /** Resets every connection, and refuses new ones. */
  cut: () => void
  /** Takes connections and bytes, and passes nothing on: a black hole, in both directions. */
  silence: () => void
  /** As `silence`, but a connection that has said this word goes on. */
  silenceAllBut: (word: string) => void
  /** From now on new connections pass; those that fell silent are reset. */
  restore: () => void
}

/** Starts a line to a port of this machine, asked anew for each connection. */
export async function startLink(toPort: () => number): Promise<Link> {
  let state: 'open' | 'cut' | 'silent' = 'open'
  let spared = ''
  const sockets = new Set<Socket>()
  const keep = (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy()) // what the other side does is the test's own doing
  }
  const reset = () => {
    for (const socket of sockets) {
      // libuv refuses a reset to a socket that is shutting down, and its process then never ends.
      if (socket.writableEnded) socket.destroy()
      else socket.resetAndDestroy()
    }
  }
  const server = createServer((near) => {
    keep(near)
    if (state === 'cut') return near.resetAndDestroy()
    const far = connect(toPort(), '127.0.0.1')
    keep(far)
    let said = ''
    near.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString('latin1')).slice(-2000)
    })
    const passes = () =>
      state === 'open' || (state === 'silent' && spared !== '' && said.includes(spared))
    const pass = (from: Socket, to: Socket) => {
      from.on('data', (chunk) => void (passes() && to.write(chunk)))
      from.once('close', () => to.destroy())
    }
    pass(near, far)
    pass(far, near)
    return undefined
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    port: typeof address === 'object' && address ? address.port : 0,
    cut: () => {
      state = 'cut'
      reset()
    },
    silence: () => {
      state = 'silent'
      spared = ''
    },
    silenceAllBut: (word) => {
      state = 'silent'
      spared = word
    },
    restore: () => {
      if (state === 'silent') reset()
      state = 'open'
    },
    [Symbol.asyncDispose]: async () => {
      reset()
      server.close()
      await once(server, 'close')
    },
  }
}
