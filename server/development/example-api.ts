// The API that stands where yours will: checks each token as a good resource server does (RFC 9068 §4),
// over HTTP, server-sent events and at the WebSocket handshake. It knows the provider, not the gate.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createRemoteJWKSet, errors, jwtVerify, type JWTPayload, type JWTVerifyGetKey } from 'jose'
import { WebSocketServer, type WebSocket } from 'ws'
import type { Echo, Items, StreamEvent, Tick, WhoAmI } from '../../shared/example-api.ts'

export interface ExampleApi extends AsyncDisposable {
  url: string
}

/** Why a request was not taken: 401 for what a fresh token would mend, 403 for another client's, 503 while the provider's keys can't be had. */
class Refused extends Error {
  override readonly name = 'Refused'
  readonly status: 401 | 403 | 503
  readonly headers: Record<string, string>

  constructor(status: 401 | 403 | 503, message: string, headers: Record<string, string> = {}) {
    super(message)
    this.status = status
    this.headers = headers
  }
}

const statusTexts = { 401: 'Unauthorized', 403: 'Forbidden', 503: 'Service Unavailable' }

const streamIntervalMs = 200
const words =
  'Every word of this sentence came alone and on its own way, through the gate, as soon as the API had written it.'.split(
    ' ',
  )

export interface ExampleApiOptions {
  /** 0, the default, is any free one. */
  port?: number
  issuer: string
  /** What `aud` must name. */
  audience: string
  /** The only client whose tokens are taken. */
  clientId: string
}

export async function startExampleApi(options: ExampleApiOptions): Promise<ExampleApi> {
  const { port = 0, issuer, audience, clientId } = options
  const findKeys = rememberKeys(issuer)
  const sockets = new WebSocketServer({ noServer: true })

  const check = async (request: IncomingMessage): Promise<JWTPayload> => {
    const token = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
    if (token === undefined) throw new Refused(401, 'no token', { 'WWW-Authenticate': 'Bearer' }) // RFC 6750 §3.1
    const { payload } = await verify(token)
    if (payload['client_id'] !== clientId) throw new Refused(403, 'a token of another client')
    return payload
  }
  const verify = async (token: string) => {
    const keys = await findKeys()
    try {
      return await jwtVerify(token, keys, {
        issuer,
        audience,
        typ: 'at+jwt',
        algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA'],
        requiredClaims: ['exp', 'sub', 'iat', 'jti', 'client_id'], // RFC 9068 §2.2
      })
    } catch (error) {
      if (isFaultOfToken(error)) {
        const challenge = `Bearer error="invalid_token", error_description="${error.code}"`
        throw new Refused(401, error.code, { 'WWW-Authenticate': challenge })
      }
      throw withoutKeys() // the provider is down: that says nothing about the token
    }
  }

  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? '/', 'http://localhost')
    const claims = await check(request)
    switch (`${request.method} ${url.pathname}`) {
      case 'GET /api/whoami':
        return sendJson(response, 200, { sub: claims.sub ?? '', claims } satisfies WhoAmI)
      case 'GET /api/items':
        return sendJson(response, 200, listItems(claims.sub ?? ''))
      case 'POST /api/echo':
        return sendJson(response, 200, await digest(request))
      case 'GET /api/stream':
        return stream(
          response,
          Math.min(Number(url.searchParams.get('count') ?? words.length) || words.length, 1000),
        )
      default:
        return sendJson(response, 404, { error: 'unknown path' })
    }
  }

  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => {
      if (response.headersSent) return response.destroy()
      if (!(error instanceof Refused)) {
        console.error(error)
        return sendJson(response, 500, { error: 'internal' })
      }
      for (const [name, value] of Object.entries(error.headers)) response.setHeader(name, value)
      return sendJson(response, error.status, { error: error.message })
    })
  })
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy())
    const url = new URL(request.url ?? '/', 'http://localhost')
    const refuse = (status: string, headers: Record<string, string> = {}) => {
      const lines = Object.entries({ ...headers, Connection: 'close', 'Content-Length': '0' })
      const text = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
      socket.end(`HTTP/1.1 ${status}\r\n${text}\r\n`)
    }
    if (url.pathname !== '/api/ws') return refuse('404 Not Found')
    return void check(request).then(
      () =>
        sockets.handleUpgrade(request, socket, head, (webSocket) =>
          serve(webSocket, Number(url.searchParams.get('rate')) || 1),
        ),
      (error: unknown) => {
        if (error instanceof Refused)
          return refuse(`${error.status} ${statusTexts[error.status]}`, error.headers)
        console.error(error)
        return refuse('500 Internal Server Error')
      },
    )
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()

  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address ? address.port : port}`,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets.clients) socket.terminate()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

const withoutKeys = () =>
  new Refused(503, 'the keys of the provider cannot be had', { 'Retry-After': '1' })

const isFaultOfToken = (error: unknown): error is errors.JOSEError =>
  error instanceof errors.JOSEError &&
  !(error instanceof errors.JWKSTimeout || error instanceof errors.JWKSInvalid) &&
  error.code !== 'ERR_JOSE_GENERIC' // the answer with the keys was none

/** The provider's keys by its own metadata, asked for at the first request: it may not be there before. */
function rememberKeys(issuer: string): () => Promise<JWTVerifyGetKey> {
  let keys: JWTVerifyGetKey | undefined
  return async () => {
    if (keys) return keys
    const address = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
    const metadata: unknown = await fetch(address, { signal: AbortSignal.timeout(5000) }).then(
      (response) => response.json(),
      () => undefined, // down, or too slow: tried again at the next request
    )
    if (typeof metadata !== 'object' || metadata === null || !('jwks_uri' in metadata))
      throw withoutKeys()
    return (keys = createRemoteJWKSet(new URL(String(metadata.jwks_uri))))
  }
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response
    .writeHead(status, { 'Content-Type': 'application/json; charset=utf-8' })
    .end(JSON.stringify(body))
}

/** Takes the body as it comes, and keeps none of it. */
async function digest(request: IncomingMessage): Promise<Echo> {
  const hash = createHash('sha256')
  let length = 0
  for await (const chunk of request) {
    const piece = Buffer.from(chunk)
    length += piece.length
    hash.update(piece)
  }
  return { length, sha256: hash.digest('hex') }
}

function stream(response: ServerResponse, count: number): void {
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' })
  let index = 0
  const timer = setInterval(() => {
    index += 1
    const event: StreamEvent = {
      index,
      count,
      text: words[(index - 1) % words.length] ?? '',
      done: index >= count,
    }
    response.write(`data: ${JSON.stringify(event)}\n\n`)
    if (event.done) response.end()
  }, streamIntervalMs)
  response.once('close', () => clearInterval(timer))
}

/** Says back what it gets, and something of its own so many times a second. */
function serve(socket: WebSocket, rate: number): void {
  let index = 0
  const timer = setInterval(
    () => {
      index += 1
      const value = 50 + 30 * Math.sin(index / 8) + 15 * Math.sin(index / 3) + Math.random() * 5
      const tick: Tick = {
        type: 'tick',
        index,
        at: new Date().toISOString(),
        value: Math.round(value * 10) / 10,
      }
      if (socket.bufferedAmount < 65_536) socket.send(JSON.stringify(tick))
    },
    1000 / Math.min(Math.max(rate, 0.1), 100),
  )
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
  socket.on('error', () => socket.terminate())
  socket.on('close', () => clearInterval(timer))
}

function listItems(owner: string): Items {
  const names = [
    'Nightly import',
    'Invoice run',
    'Search index',
    'Thumbnail queue',
    'Newsletter',
    'Backup check',
    'Usage report',
    'Address cleanup',
  ]
  const states = ['running', 'running', 'waiting', 'failed'] as const
  return {
    items: names.map((name, at) => ({
      id: `job-${at + 1}`,
      name,
      status: states[(at * 3) % states.length] ?? 'waiting',
      owner: at % 3 === 0 ? 'grace' : owner,
      updatedAt: new Date(Date.now() - at * 417_000).toISOString(),
    })),
  }
}
