// The connections to the gate: how long they may do nothing, what is on them, and what is said to bytes
// that are no request. Nobody listens yet.
import http, { type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { BadRequest, HeadersTooLarge, rawAnswerTo } from '../errors.ts'

declare module 'node:net' {
  interface Socket {
    /** To the newest request that came on it. */
    lastResponse?: ServerResponse
  }
}

export interface Connections {
  server: Server
  /** Closes those that browsers open in advance and have not used yet: Node does not take them for idle. */
  closeUnused: () => void
  /** Whether a request on this connection is not answered yet, or not to its end. */
  isAnswering: (socket: Duplex) => boolean
}

export function createConnections(): Connections {
  const server = http.createServer({
    keepAliveTimeout: 95_000, // above that of the router in front, which reuses connections for 90 s
    headersTimeout: 96_000,
    requestTimeout: 0, // an upload may take as long as it takes; its headers may not
    keepAlive: true, // of TCP: a browser that vanished from a quiet stream is noticed
    keepAliveInitialDelay: 30_000,
    shouldUpgradeCallback: ({ headers }) => headers.upgrade?.toLowerCase() === 'websocket',
  })

  const unused = new Set<Socket>()
  const use = ({ socket }: IncomingMessage) => unused.delete(socket)
  server.on('connection', (socket) => {
    unused.add(socket)
    socket.once('close', () => unused.delete(socket))
  })
  server.on('upgrade', use)
  server.on('request', (request, response) => {
    if (!request.socket.lastResponse) use(request)
    request.socket.lastResponse = response
  })

  server.on('clientError', (error: Error & { code?: string }, socket) => {
    if (!socket.writable || error.code === 'ECONNRESET' || !canBeTold(socket))
      return void socket.destroy()
    const refusal = error.code === 'HPE_HEADER_OVERFLOW' ? new HeadersTooLarge() : new BadRequest()
    socket.once('finish', () => socket.destroy())
    return void socket.end(rawAnswerTo(refusal, ''))
  })

  return {
    server,
    closeUnused: () => {
      for (const socket of unused) socket.destroy()
    },
    isAnswering: (socket) => lastResponseOn(socket)?.writableFinished === false,
  }
}

const lastResponseOn = (socket: Duplex) =>
  socket instanceof Socket ? socket.lastResponse : undefined

/** Whether what is wrong with the bytes of a connection can be answered: not into the answer to another request, nor in its place. */
function canBeTold(socket: Duplex): boolean {
  const last = lastResponseOn(socket)
  if (!last || last.writableFinished) return true
  const isItsTurn = last.socket !== null && !last.headersSent
  return isItsTurn && !last.req.complete // the fault is in its own body
}
