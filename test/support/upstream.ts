// A real HTTP and WebSocket upstream that remembers what reached it, and answers as a test says.
import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import { WebSocketServer, type WebSocket } from 'ws'

export interface SeenRequest {
  method: string
  url: string
  headers: IncomingHttpHeaders
}

export interface TestUpstream extends AsyncDisposable {
  url: string
  /** Every request and handshake that came, oldest first. */
  seen: SeenRequest[]
  /** Answers from now on; without, 200 with what was seen as JSON. */
  answer: (handler: (request: IncomingMessage, response: ServerResponse) => void) => void
  sockets: () => number
  /** Called for each WebSocket; without, it echoes. */
  onSocket: (handler: (socket: WebSocket) => void) => void
}

export async function startUpstream(): Promise<TestUpstream> {
  const seen: SeenRequest[] = []
  const webSockets = new WebSocketServer({ noServer: true })
  let handler = (_request: IncomingMessage, response: ServerResponse) => {
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(seen.at(-1)))
  }
  let socketHandler = (socket: WebSocket) => {
    socket.on('message', (data, binary) => socket.send(data, { binary }))
  }
  const note = ({ method = '', url = '', headers }: IncomingMessage) =>
    seen.push({ method, url, headers })

  const server = createServer((request, response) => {
    note(request)
    handler(request, response)
  })
  server.on('upgrade', (request, socket, head) => {
    note(request)
    socket.on('error', () => socket.destroy())
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      webSocket.on('error', () => webSocket.terminate())
      socketHandler(webSocket)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()

  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`,
    seen,
    answer: (next) => {
      handler = next
    },
    sockets: () => webSockets.clients.size,
    onSocket: (next) => {
      socketHandler = next
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of webSockets.clients) socket.terminate()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
