// The proxy as a whole: everything below the paths of the upstream table, HTTP and WebSocket. The gate
// asks `serves` first and then hands the request over; nobody else relays anything.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Clock } from '../clock.ts'
import type { CookieNames } from '../sessions/cookie.ts'
import { createSessionWatch, type SessionWatchParts } from '../sessions/watch.ts'
import type { Upstream } from '../upstream-table.ts'
import { createAdmission, type AdmissionParts } from './admission.ts'
import { createHeaderRules } from './headers.ts'
import { createHttpRelay, type HttpRelayParts } from './http.ts'
import { createUpstreamTable } from './upstreams.ts'
import { createWebSocketRelay, type WebSocketEvents } from './websocket.ts'

export interface ProxyParts {
  upstreams: readonly Upstream[]
  cookieNames: CookieNames
  sessions: AdmissionParts['sessions'] & SessionWatchParts['sessions']
  tokens: AdmissionParts['tokens']
  crossSite: AdmissionParts['crossSite'] & HttpRelayParts['crossSite']
  csrf: AdmissionParts['csrf']
  events: WebSocketEvents
  webSocketsPerSession: number
  clock: Clock
  /** Of the process. What is above is refused at once, never queued. */
  limits?: { requests: number; webSockets: number }
  /** How often what is open is looked after: pings, expiry, sessions that ended unheard. */
  tickMs?: number
}

export interface Proxy extends AsyncDisposable {
  /** Whether this request target is the proxy's to answer, be it with a refusal. */
  serves: (target: string) => boolean
  /** Answers the request. Rejects only with what is a bug, after it has answered 500. */
  http: (request: IncomingMessage, response: ServerResponse) => Promise<void>
  /** Takes the socket over. Rejects only with what is a bug, after it has answered 500. */
  upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => Promise<void>
  /** For the shutdown: ends what would never end by itself. Done when the last socket has closed. */
  closeSockets: () => Promise<void>
  counts: () => { sockets: number; requests: number }
}

// Each costs two sockets and some 30 KiB: what a small dyno can hold.
const defaultLimits = { requests: 5000, webSockets: 10_000 }

export function createProxy(parts: ProxyParts): Proxy {
  const { upstreams, sessions, crossSite, events, clock } = parts
  const { limits = defaultLimits, tickMs = 1000 } = parts
  const table = createUpstreamTable(upstreams)
  const rules = createHeaderRules(parts)
  const admission = createAdmission({ ...parts, upstreams: table })
  const shared = { upstreams, admission, rules, sessions, crossSite, events }
  const requests = createHttpRelay({ ...shared, table, requestLimit: limits.requests })
  const sockets = createWebSocketRelay({
    ...shared,
    socketsPerSession: parts.webSocketsPerSession,
    socketLimit: limits.webSockets,
    tickMs,
  })
  const open = () => [...requests.open.all(), ...sockets.open.all()]
  const watch = createSessionWatch({ sessions, clock, tickMs, open })

  return {
    serves: table.serves,
    http: requests.relay,
    upgrade: sockets.relay,
    closeSockets: async () => {
      requests.endStreams()
      await sockets.close()
    },
    counts: () => ({ sockets: sockets.open.count(), requests: requests.open.count() }),
    [Symbol.asyncDispose]: async () => {
      sockets[Symbol.dispose]()
      requests[Symbol.dispose]()
      watch[Symbol.dispose]()
    },
  }
}
