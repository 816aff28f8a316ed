// The API behind every proxy of the bench, in a process of its own: a small JSON answer, an echo of
// prepared WebSocket frames, an event stream, and bodies as large as asked for.
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import { clientFrameLength, serverFrame } from '../load/websocket-connection.ts'
import { listenAndTell } from './listen.ts'

const body = Buffer.from(
  JSON.stringify({
    items: Array.from({ length: 20 }, (_, id) => ({ id, name: `item ${id}`, isDone: false })),
  }),
)
const block = Buffer.alloc(64 * 1024, 'x')

const server = createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://upstream')
  if (url.pathname.endsWith('/download')) {
    let left = Number(url.searchParams.get('bytes'))
    response.writeHead(200, { 'Content-Length': left })
    const write = () => {
      while (left > 0) {
        const chunk = left < block.length ? block.subarray(0, left) : block
        left -= chunk.length
        if (!response.write(chunk)) return void response.once('drain', write)
      }
      return response.end()
    }
    return write()
  }
  if (url.pathname.endsWith('/upload')) {
    let bytes = 0
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    request.on('end', () => response.end(String(bytes)))
    return undefined
  }
  if (url.pathname.endsWith('/events')) {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' })
    response.flushHeaders()
    // The instant by the clock that all processes of a machine share.
    const timer = setInterval(
      () => response.write(`data: ${performance.timeOrigin + performance.now()}\n\n`),
      20,
    )
    return void response.on('close', () => clearInterval(timer))
  }
  return void response
    .writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': body.length })
    .end(body)
})
server.keepAliveTimeout = 60_000

server.on('upgrade', (request, socket) => {
  // RFC 6455 §4.2.2
  const accept = createHash('sha1')
    .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64')
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  )
  let bytes = 0
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    for (; bytes >= clientFrameLength; bytes -= clientFrameLength) socket.write(serverFrame)
  })
  socket.on('error', () => undefined) // `close` follows
  socket.on('end', () => socket.end())
})

listenAndTell(server)
