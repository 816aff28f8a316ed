// A proxy on real sockets: real upstreams behind it, the gate's own checks in front, and in place of
// database and provider two small tables that a test can change under way.
import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import net, { type AddressInfo, type Socket } from 'node:net'
import type { EndReason } from '../../shared/contract.ts'
import type { Clock } from '../../server/clock.ts'
import type { Refusal } from '../../server/errors.ts'
import { createCrossSiteRule } from '../../server/protection/cross-site.ts'
import { createCsrf } from '../../server/protection/csrf.ts'
import { createProxy, type ProxyParts } from '../../server/proxy/proxy.ts'
import { createArrival } from '../../server/request-facts.ts'
import { cookieNames, findCookieValues } from '../../server/sessions/cookie.ts'
import {
  hashSessionId,
  type Found,
  type LiveSession,
  type SessionEnded,
  type SessionIdHash,
} from '../../server/sessions/session.ts'
import type { TokenOutcome } from '../../server/tokens/tokens.ts'
import type { Upstream } from '../../server/upstream-table.ts'

const appUrl = new URL('http://app.test')
export const origin = appUrl.origin
export const names = cookieNames(appUrl)

/** A row of the upstream table with its defaults. */
export function row(target: string, changes: Partial<Upstream> = {}): Upstream {
  return {
    path: '/api',
    target: new URL(target),
    rewrite: undefined,
    websocket: true,
    auth: 'required',
    bearer: false,
    timeoutMs: 25_000,
    methods: undefined,
    ...changes,
  }
}

/** The sessions and tokens of a test: everyone in `people` is logged in as `sid=<name>`. */
export function createPeople(people: readonly string[], clock: Clock) {
  const createdAt = clock.now()
  const live = new Map<string, LiveSession>()
  const known = new Set(people)
  const listeners = new Set<(ended: SessionEnded) => void>()
  const clear = [`${names.session}=; Path=/; Max-Age=0`]
  const state = {
    idleMs: 3_600_000,
    lastSeenAt: createdAt,
    seen: 0,
    finds: 0,
    asked: 0,
    /** Ended where nobody told us. */
    endedUnheard: new Map<SessionIdHash, EndReason>(),
  }
  for (const name of people) {
    live.set(name, {
      id: name,
      sid: hashSessionId(name),
      label: `label-${name}`,
      publicId: `public-${name}`,
      user: { sub: name },
      issuer: 'https://login.test',
      subject: name,
      createdAt,
      expiresAt: new Date(createdAt.getTime() + 86_400_000),
    })
  }
  const idOf = (cookieHeader: string | undefined) => findCookieValues(cookieHeader, names.session)
  const sessions = {
    find: async (cookieHeader: string | undefined): Promise<Found> => {
      state.finds += 1
      const [id] = idOf(cookieHeader)
      if (id === undefined) return { kind: 'none' }
      const session = live.get(id)
      return session
        ? { kind: 'live', session }
        : { kind: 'dead', clear, wasSession: known.has(id) }
    },
    seen: () => {
      state.seen += 1
      state.lastSeenAt = clock.now()
    },
    onEnded: (listener: (ended: SessionEnded) => void) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    endedAmong: async (sids: readonly SessionIdHash[]) => {
      state.asked += 1
      return new Map([...state.endedUnheard].filter(([sid]) => sids.includes(sid)))
    },
    idleExpiresAt: () => new Date(state.lastSeenAt.getTime() + state.idleMs),
    clearEnded: () => [],
  }
  return {
    state,
    sessions,
    end: (name: string, reason: EndReason = 'logout') => {
      live.delete(name)
      for (const listener of listeners) listener({ sid: hashSessionId(name), reason })
    },
    session: (name: string) => {
      const session = live.get(name)
      if (!session) throw new Error(`${name} is not logged in`)
      return session
    },
  }
}

export interface WorldOptions {
  upstreams: readonly Upstream[]
  people?: readonly string[]
  clock?: Clock
  trustedProxies?: number | readonly string[]
  frontendOrigins?: readonly string[]
  webSocketsPerSession?: number
  limits?: NonNullable<ProxyParts['limits']>
  tickMs?: number
  fresh?: (session: LiveSession, options?: { rejected?: string }) => Promise<TokenOutcome>
}

export async function startProxy(options: WorldOptions) {
  const { clock = { now: () => new Date() }, people: everyone = ['alice', 'bob'] } = options
  const people = createPeople(everyone, clock)
  const csrf = createCsrf(['a secret of a test, which is long enough'])
  const refused: { code: string; kind: string; cause: unknown }[] = []
  const opened: object[] = []
  const closed: { reason: string; durationMs: number; sessionLabel: string | undefined }[] = []
  const bugs: unknown[] = []
  const proxy = createProxy({
    upstreams: options.upstreams,
    cookieNames: names,
    sessions: people.sessions,
    tokens: {
      fresh:
        options.fresh ??
        (async ({ id }) => ({
          kind: 'fresh',
          accessToken: `token-of-${id}`,
          expiresAt: new Date(Date.now() + 60_000),
        })),
    },
    crossSite: createCrossSiteRule({
      appUrl,
      frontendOrigins: options.frontendOrigins ?? [],
      sessionCookie: names.session,
    }),
    csrf,
    events: {
      refused: (_request: IncomingMessage, refusal: Refusal, kind) =>
        void refused.push({ code: refusal.code, kind, cause: refusal.cause }),
      webSocketOpened: (facts) => void opened.push(facts),
      webSocketClosed: (facts) => void closed.push(facts),
    },
    webSocketsPerSession: options.webSocketsPerSession ?? 50,
    clock,
    ...(options.limits && { limits: options.limits }),
    ...(options.tickMs !== undefined && { tickMs: options.tickMs }),
  })
  const arrive = createArrival(options.trustedProxies ?? 0)
  const server = http.createServer({
    keepAliveTimeout: 95_000,
    requestTimeout: 0,
    shouldUpgradeCallback: ({ headers }) => headers.upgrade?.toLowerCase() === 'websocket',
  })
  server.on('request', (request, response) => {
    arrive(request)
    if (proxy.serves(request.url ?? ''))
      proxy.http(request, response).catch((error: unknown) => bugs.push(error))
    else response.writeHead(404, { 'Content-Type': 'text/html' }).end('the client')
  })
  server.on('upgrade', (request, socket, head) => {
    arrive(request)
    proxy.upgrade(request, socket, head).catch((error: unknown) => bugs.push(error))
  })
  const { port } = await listen(server)
  return {
    proxy,
    people,
    csrf,
    refused,
    opened,
    closed,
    bugs,
    port,
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      await proxy[Symbol.asyncDispose]()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
      if (bugs.length > 0) throw new AggregateError(bugs, 'the proxy had a bug')
    },
  }
}

export async function listen(server: net.Server) {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  // A server on TCP has an address of this form.
  return server.address() as AddressInfo
}

/** An HTTP upstream; every connection that it has can be counted and cut. */
export async function startUpstream(
  listener: (request: IncomingMessage, response: ServerResponse) => void | Promise<void>,
) {
  const server = http.createServer((request, response) => void listener(request, response))
  return { server, ...(await watchConnections(server)) }
}

/** An upstream that speaks bytes. */
export async function startRawUpstream(listener: (socket: Socket) => void) {
  const server = net.createServer((socket) => {
    socket.on('error', () => {}) // the other side may go as it likes
    listener(socket)
  })
  return { server, ...(await watchConnections(server)) }
}

async function watchConnections(server: net.Server) {
  const connections = new Set<Socket>()
  let connected = 0
  server.on('connection', (socket) => {
    connected += 1
    connections.add(socket)
    socket.once('close', () => connections.delete(socket))
  })
  const { port } = await listen(server)
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    connections,
    connected: () => connected,
    [Symbol.asyncDispose]: async () => {
      for (const socket of connections) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

export interface RawAnswer {
  status: number
  head: string
  body: string
  /** Whether the connection was closed with a FIN, or cut. */
  end: 'closed' | 'cut' | 'open'
}

/** Sends bytes as they are and gives what came back until the connection ended, or was quiet for `quietMs` after the first byte. */
export async function sendRaw(
  port: number,
  bytes: string | Buffer,
  quietMs = 0,
): Promise<RawAnswer> {
  const socket = net.connect(port, '127.0.0.1')
  const chunks: Buffer[] = []
  const { promise, resolve } = Promise.withResolvers<RawAnswer['end']>()
  socket.on('data', (chunk) => {
    chunks.push(chunk)
    if (quietMs > 0) socket.setTimeout(quietMs)
  })
  socket.on('end', () => resolve('closed'))
  socket.on('error', () => resolve('cut'))
  socket.setTimeout(5000, () => resolve('open'))
  socket.write(bytes)
  const end = await promise
  socket.destroy()
  const text = Buffer.concat(chunks).toString('latin1')
  const [head = '', ...rest] = text.split('\r\n\r\n')
  return { status: Number(head.split(' ')[1]), head, body: rest.join('\r\n\r\n'), end }
}

/** A request on its own connection, read to its end. */
export async function fetchRaw(
  url: string,
  { body, ...options }: http.RequestOptions & { body?: string | Buffer } = {},
) {
  const request = http.request(url, { agent: false, ...options })
  request.end(body)
  const [answer] = (await once(request, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of answer) chunks.push(chunk as Buffer)
  return {
    answer,
    status: answer.statusCode,
    headers: answer.headers,
    body: Buffer.concat(chunks).toString(),
  }
}

export const as = (name: string) => ({ cookie: `${names.session}=${name}` })
