// The relay of a WebSocket handshake: an upgrade that is admitted like any request, refused with a plain
// answer, or handed to a tunnel. The life of one:
//
//   handshake ──101──▶ open (tunnel.ts) ──▶ closed
//       └── refused, by us or by the upstream ──▶ closed
import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createProxyMiddleware, type Plugin, type RequestHandler } from 'http-proxy-middleware'
import { closeCodes } from '../../shared/contract.ts'
import {
  Overloaded,
  rawAnswerTo,
  Refusal,
  SessionExpired,
  ShuttingDown,
  TooManySockets,
  toRefusal,
  UpstreamUnreachable,
} from '../errors.ts'
import type { CrossSiteRule } from '../protection/cross-site.ts'
import type { LiveSession, SessionIdHash } from '../sessions/session.ts'
import type { Sessions } from '../sessions/sessions.ts'
import type { Watched } from '../sessions/watch.ts'
import type { Upstream } from '../upstream-table.ts'
import { lateFor, type Admission, type Knock } from './admission.ts'
import type { HeaderRules } from './headers.ts'
import { createOpenList, type Listed, type OpenList } from './open-list.ts'
import { openTunnel, partFrom, type Tunnel } from './tunnel.ts'
import { originOf } from './upstreams.ts'

export interface WebSocketFacts {
  requestId: string
  sessionLabel: string | undefined
}

export interface WebSocketEvents {
  refused: (request: IncomingMessage, refusal: Refusal, kind: 'http' | 'upgrade') => void
  webSocketOpened: (facts: WebSocketFacts) => void
  webSocketClosed: (facts: WebSocketFacts & { reason: string; durationMs: number }) => void
}

export interface WebSocketRelayParts {
  upstreams: readonly Upstream[]
  admission: Admission
  rules: HeaderRules
  crossSite: Pick<CrossSiteRule, 'corsHeaders'>
  events: WebSocketEvents
  sessions: Pick<Sessions, 'clearEnded'>
  socketsPerSession: number
  socketLimit: number
  tickMs: number
}

export interface WebSocketRelay extends Disposable {
  /** Takes the socket over, whatever happens. Rejects, after it has answered 500, with what is a bug. */
  relay: (request: IncomingMessage, browser: Duplex, head: Buffer) => Promise<void>
  open: Pick<OpenList<Listed & Watched>, 'count' | 'all'>
  /** Says 1001 to all, spread over some seconds so that they do not all come back at once. */
  close: () => Promise<void>
}

interface Link extends Knock, Watched, Listed {
  readonly browser: Socket
  /** Until the upstream has answered. */
  timer: NodeJS.Timeout | undefined
  session: LiveSession | undefined
  upstreamRequest: ClientRequest | undefined
  /** Refused or gone: whatever still comes from the upstream is not for anyone. */
  isOver: boolean
  /** Once it is open. */
  tunnel: Tunnel | undefined
  openedAt: number
}

const refusalMs = 10_000 // an upstream's refusal is short; one that does not end is cut
const farewellBatches = 50
const farewellEveryMs = 100

export function createWebSocketRelay(parts: WebSocketRelayParts): WebSocketRelay {
  const { admission, rules, crossSite, events } = parts
  const links = createOpenList<Link>()
  const byRequest = new WeakMap<IncomingMessage, Link>()
  const byUpstream = new WeakMap<Duplex, Link>()
  const perSession = new Map<SessionIdHash, number>()
  let isClosing = false

  function createHop(upstream: Upstream): RequestHandler {
    // No agent: a pooled connection may be stale, and an upgraded one never comes back.
    // `ws` stays off: with it the library listens for upgrades itself, past admission.
    return createProxyMiddleware({
      target: originOf(upstream.target),
      ejectPlugins: true,
      plugins: [listen],
    })
  }

  const listen: Plugin = (server) => {
    server.on('proxyReqWs', (upstreamRequest, request) => {
      const link = byRequest.get(request)
      if (!link || link.isOver) return void upstreamRequest.destroy()
      link.upstreamRequest = upstreamRequest
      // Before the library's own listeners, which write what they find to the browser.
      upstreamRequest.prependListener('response', (answer) => refusedUpstream(link, answer))
      upstreamRequest.prependListener('upgrade', (answer, upstream) => {
        rules.filterUpgradeAnswer(answer, link.setCookies)
        byUpstream.set(upstream, link)
      })
      return undefined
    })
    server.on('open', (upstream) => {
      const link = byUpstream.get(upstream)
      if (link) open(link, upstream)
      else upstream.destroy()
    })
    server.on('error', (error, request) => {
      const link = request && byRequest.get(request)
      // Once it is open the sockets' own `close` follows.
      if (link && !link.tunnel) refuse(link, new UpstreamUnreachable({ cause: error }))
    })
  }

  const hops = new Map(parts.upstreams.map((upstream) => [upstream, createHop(upstream)]))

  const refuse = (link: Link, error: unknown) => {
    if (link.isOver || link.tunnel) return
    const { request, browser } = link
    settle(link)
    link.upstreamRequest?.destroy()
    events.refused(request, toRefusal(error), 'upgrade')
    partFrom(browser)
    browser.end(
      rawAnswerTo(error, request.facts.requestId, {
        ...crossSite.corsHeaders(request),
        ...(link.setCookies.length > 0 && { 'Set-Cookie': [...link.setCookies] }),
      }),
    )
  }

  /** The upstream's own refusal passes as it is; the library writes it, and nobody writes into it. */
  const refusedUpstream = (link: Link, answer: IncomingMessage) => {
    rules.filterUpgradeAnswer(answer, link.setCookies)
    settle(link)
    link.timer = setTimeout(() => link.browser.destroy(), refusalMs)
    link.browser.once('finish', () => partFrom(link.browser))
  }

  const open = (link: Link, upstream: Socket) => {
    if (link.isOver || link.browser.destroyed) return void upstream.destroy()
    clearTimeout(link.timer)
    link.openedAt = performance.now()
    link.tunnel = openTunnel(link.browser, upstream)
    forgetHandshake(link)
    events.webSocketOpened(factsOf(link))
  }

  const end = (link: Link, code: number, reason: string) => {
    if (link.tunnel) return link.tunnel.end(code, reason)
    const isSessionOver = code === closeCodes.sessionEnded
    if (isSessionOver && link.session) link.setCookies = parts.sessions.clearEnded(link.session.sid)
    return refuse(link, isSessionOver ? new SessionExpired() : new ShuttingDown())
  }

  /** It is no handshake any more. */
  const settle = (link: Link) => {
    link.isOver = true
    clearTimeout(link.timer)
  }

  const release = (link: Link) => {
    settle(link)
    links.remove(link)
    link.upstreamRequest?.destroy()
    if (link.session) {
      const { sid } = link.session
      const others = (perSession.get(sid) ?? 1) - 1
      if (others > 0) perSession.set(sid, others)
      else perSession.delete(sid)
    }
    if (!link.tunnel) return
    const durationMs = Math.round(performance.now() - link.openedAt)
    events.webSocketClosed({ ...factsOf(link), reason: link.tunnel.reason(), durationMs })
  }

  const tick = () => {
    for (const { tunnel } of links.all()) tunnel?.tick()
  }
  const timer = setInterval(tick, parts.tickMs).unref()

  const begin = (request: IncomingMessage, browser: Socket): Link => {
    const link: Link = {
      place: 0,
      request,
      browser,
      kind: 'upgrade',
      setCookies: [],
      waitsFor: 'database',
      timer: undefined,
      session: undefined,
      upstreamRequest: undefined,
      isOver: false,
      tunnel: undefined,
      openedAt: 0,
      matched: ({ timeoutMs }) => {
        const elapsedMs = Math.floor(performance.now() - request.facts.arrivedAt)
        const late = () => refuse(link, lateFor[link.waitsFor]())
        link.timer = setTimeout(late, timeoutMs - elapsedMs)
      },
      found: (session) => {
        if (link.isOver) return // gone while it was looked for: nobody would count it down
        const others = perSession.get(session.sid) ?? 0
        if (others >= parts.socketsPerSession) throw new TooManySockets()
        perSession.set(session.sid, others + 1)
        link.session = session
      },
      sessionEnded: (reason) => end(link, closeCodes.sessionEnded, reason),
    }
    links.add(link)
    byRequest.set(request, link)
    browser.once('close', () => release(link))
    return link
  }

  const relay = async (request: IncomingMessage, duplex: Duplex, head: Buffer) => {
    // Node gives the request's own socket: a net.Socket, or a TLSSocket, which is one.
    const browser = duplex as Socket
    // First of all: a reset during what follows would otherwise end the process. `close` does the rest.
    browser.on('error', () => {})
    if (browser.destroyed) return
    const isOverloaded = links.count() >= parts.socketLimit
    const link = begin(request, browser)
    try {
      if (isClosing) throw new ShuttingDown()
      if (isOverloaded) throw new Overloaded()
      const admitted = await admission.admit(link)
      if (link.isOver || browser.destroyed) return
      request.headers = rules.forUpstream(request, 'upgrade', admitted)
      request.url = admitted.target
      hops.get(admitted.upstream)?.upgrade(request, browser, head)
    } catch (error) {
      refuse(link, error)
      if (!(error instanceof Refusal)) throw error
    }
  }

  return {
    relay,
    open: links,
    close: async () => {
      isClosing = true
      const all = links.all()
      const batch = Math.max(20, Math.ceil(all.length / farewellBatches))
      await Promise.all(
        all.map(async (link, index) => {
          const gone = link.browser.destroyed
            ? undefined
            : new Promise<void>((resolve) => void link.browser.once('close', () => resolve()))
          const afterMs = Math.floor(index / batch) * farewellEveryMs
          setTimeout(() => end(link, closeCodes.goingAway, 'going away'), afterMs)
          await gone
        }),
      )
    },
    [Symbol.dispose]: () => {
      clearInterval(timer)
      for (const { browser } of links.all()) browser.destroy()
    },
  }
}

const factsOf = ({ request: { facts } }: Link): WebSocketFacts => ({
  requestId: facts.requestId,
  sessionLabel: facts.sessionLabel,
})

/** The library keeps the request as long as the socket lives: cookies, the token and all, thousands of times. */
function forgetHandshake(link: Link): void {
  link.upstreamRequest = undefined
  link.request.headers = {}
  link.request.rawHeaders = []
}
