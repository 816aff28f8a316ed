// A WebSocket for measuring: prepared frames of one size and a count of the bytes that come back. A
// library that reads each frame would cost more than the proxies that pass them.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface WebSocketConnection {
  socket: Socket
  /** Told of each whole message of `messageLength` payload bytes. */
  onMessages: (listener: (count: number) => void) => void
  send: (count: number) => void
}

export const messageLength = 64

// RFC 6455 §5.2: a client masks, here with zeroes, which leave the payload as it is.
const clientFrame = Buffer.concat([
  Buffer.of(0x82, 0x80 | messageLength, 0, 0, 0, 0),
  Buffer.alloc(messageLength, 'x'),
])
/** What the upstream echoes: the same without a mask. */
export const serverFrame = Buffer.concat([
  Buffer.of(0x82, messageLength),
  Buffer.alloc(messageLength, 'x'),
])
export const clientFrameLength = clientFrame.length

/** Opens it; throws what the handshake was answered with when that is no 101. */
export async function openWebSocketConnection(
  port: number,
  path: string,
  headers: readonly string[],
): Promise<WebSocketConnection> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  socket.on('error', () => undefined) // `close` follows
  await once(socket, 'connect')
  const lines = [
    `GET ${path} HTTP/1.1`,
    `Host: localhost:${port}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ...headers,
  ]
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  const [answer] = (await once(socket, 'data')) as [Buffer] // as Node's types have it
  if (!answer.includes(' 101 ')) throw new Error(`no WebSocket: ${answer.toString('latin1')}`)

  let bytes = 0
  return {
    socket,
    onMessages: (listener) => {
      socket.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        const count = Math.floor(bytes / serverFrame.length)
        bytes -= count * serverFrame.length
        if (count > 0) listener(count)
      })
    },
    send: (count) => {
      for (let sent = 0; sent < count; sent += 1) socket.write(clientFrame)
    },
  }
}
