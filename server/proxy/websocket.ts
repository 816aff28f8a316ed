// The relay of a WebSocket: an upgrade that is admitted like any request, then two sockets that live
// and die together, and the few frames that are ours. The life of one:
//
//   handshake ──101──▶ open ──session over, shutdown──▶ ending ──our close frame──▶ closed
//       │               │                                  └── no boundary in time ──▶ closed
//       └── refused     └── either side goes ──▶ closed
import { STATUS_CODES, type ClientRequest, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createProxyMiddleware, type Plugin, type RequestHandler } from 'http-proxy-middleware'
import { closeCodes } from '../../shared/contract.ts'
import {
  answerTo,
  Overloaded,
  Refusal,
  SessionExpired,
  ShuttingDown,
  TooManySockets,
  toRefusal,
  UpstreamUnreachable,
} from '../errors.ts'
import type { LiveSession, SessionIdHash } from '../sessions/session.ts'
import type { Upstream } from '../upstream-table.ts'
import { lateFor, type Admission, type Knock } from './admission.ts'
import { closeFrame, createFrameTracker, pingFrame, type FrameTracker } from './frames.ts'
import type { HeaderRules } from './headers.ts'
import { createOpenList, type Listed, type OpenList } from './open-list.ts'
import type { Watched } from './session-watch.ts'
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
  crossSite: { corsHeaders: (request: IncomingMessage) => Record<string, string> }
  events: WebSocketEvents
  clearCookies: readonly string[]
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
  state: 'handshake' | 'open' | 'ending' | 'closed'
  timer: NodeJS.Timeout | undefined
  session: LiveSession | undefined
  upstreamRequest: ClientRequest | undefined
  upstream: Socket | undefined
  readonly frames: FrameTracker
  openedAt: number
  /** Why it closes, for the log. */
  reason: string
  /** What is to be said at the next boundary. */
  farewell: Buffer | undefined
  /** Since something was last sent to the browser. */
  quietTicks: number
  /** How many bytes had come from the browser when it was last pinged; -1 when it was not. */
  readAtPing: number
}

const pingAfterTicks = 25 // Heroku's router cuts what was silent for 55 s
const boundaryMs = 1000 // a frame that has not ended by then is cut
const partingMs = 3000 // for what is still on its way, and the other side's answer
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
      if (!link || link.state !== 'handshake') return void upstreamRequest.destroy()
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
      if (link) upstreamFailed(link, error)
    })
  }

  const hops = new Map(parts.upstreams.map((upstream) => [upstream, createHop(upstream)]))

  const refuse = (link: Link, error: unknown) => {
    if (link.state !== 'handshake') return
    link.reason = toRefusal(error).code
    settle(link)
    link.upstreamRequest?.destroy()
    events.refused(link.request, toRefusal(error), 'upgrade')
    const { status, headers, body } = answerTo(error, link.request.facts.requestId)
    const text = JSON.stringify(body)
    const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`, 'Connection: close']
    const all = { ...headers, ...crossSite.corsHeaders(link.request) }
    for (const [name, value] of Object.entries(all)) lines.push(`${name}: ${String(value)}`)
    for (const line of link.setCookies) lines.push(`Set-Cookie: ${line}`)
    lines.push(`X-Request-ID: ${link.request.facts.requestId}`)
    lines.push(`Content-Length: ${Buffer.byteLength(text)}`, '', text)
    part(link)
    link.browser.end(lines.join('\r\n'))
  }

  /** The upstream's own refusal passes as it is; the library writes it. */
  const refusedUpstream = (link: Link, answer: IncomingMessage) => {
    rules.filterUpgradeAnswer(answer, link.setCookies)
    clearTimeout(link.timer)
    link.reason = 'refused by the upstream'
    link.browser.once('finish', () => part(link))
  }

  const upstreamFailed = (link: Link, error: Error) => {
    if (link.state === 'handshake') return refuse(link, new UpstreamUnreachable({ cause: error }))
    return undefined // open: the sockets' own `close` follows
  }

  const open = (link: Link, upstream: Socket) => {
    const { browser } = link
    clearTimeout(link.timer)
    link.upstream = upstream
    upstream.once('close', () => {
      link.reason ||= 'upstream'
      browser.end()
      part(link)
    })
    if (link.state !== 'handshake' || browser.destroyed) return void upstream.destroy()
    link.state = 'open'
    link.openedAt = performance.now()
    forgetHandshake(link)
    events.webSocketOpened(factsOf(link))
    // From here on we copy ourselves what goes to the browser, to know where its frames end.
    upstream.unpipe(browser)
    upstream.on('data', (chunk: Buffer) => toBrowser(link, upstream, chunk))
    upstream.once('end', () => {
      link.reason ||= 'upstream'
      browser.end()
      part(link)
    })
    browser.on('drain', () => upstream.resume())
    browser.once('end', () => {
      link.reason ||= whoClosed(link)
      part(link)
    })
    upstream.resume()
  }

  const toBrowser = (link: Link, upstream: Socket, chunk: Buffer) => {
    const { frames, browser } = link
    if (link.state === 'closed') return // what it had buffered still comes after its end
    link.quietTicks = 0
    let at = 0
    while (at < chunk.length) {
      at = frames.advance(chunk, at)
      if (link.state === 'ending' && frames.atBoundary()) {
        browser.write(chunk.subarray(0, at))
        return sayFarewell(link)
      }
    }
    if (!browser.write(chunk) && link.state === 'open') upstream.pause()
  }

  /** Ends an open link with a close frame, as soon as the frame under way has ended. */
  const end = (link: Link, code: number, reason: string) => {
    link.reason ||= reason
    if (link.state === 'handshake') {
      const isOver = code === closeCodes.sessionEnded
      if (isOver) link.setCookies = parts.clearCookies
      return refuse(link, isOver ? new SessionExpired() : new ShuttingDown())
    }
    if (link.state !== 'open') return undefined
    const { browser, upstream, frames } = link
    link.state = 'ending'
    link.farewell = closeFrame(code, reason)
    // Nothing that a session's owner says after its end reaches the upstream.
    if (upstream) browser.unpipe(upstream)
    browser.resume()
    if (frames.atBoundary()) return sayFarewell(link)
    link.timer = setTimeout(() => browser.destroy(), boundaryMs)
    upstream?.resume()
    return undefined
  }

  const sayFarewell = (link: Link) => {
    link.state = 'closed'
    clearTimeout(link.timer)
    if (link.farewell && !link.frames.isClosing()) link.browser.end(link.farewell)
    else link.browser.end()
    link.upstream?.destroy()
    part(link)
  }

  /** Gives both sides a moment to close, and no more: a peer that is gone never does. */
  const part = (link: Link) => {
    const { browser } = link
    if (browser.destroyed) return
    browser.resume() // unread bytes would make a reset of our close, and what we said might be lost
    if (browser.writableFinished && link.state === 'closed' && !link.upstream) browser.destroy()
    clearTimeout(link.timer)
    link.timer = setTimeout(() => browser.destroy(), partingMs)
  }

  /** It is no handshake any more. */
  const settle = (link: Link) => {
    link.state = 'closed'
    clearTimeout(link.timer)
  }

  const release = (link: Link) => {
    const wasOpen = link.openedAt > 0
    settle(link)
    links.remove(link)
    link.upstreamRequest?.destroy()
    link.upstream?.destroy() // a socket that was destroyed does not end its pipes
    if (link.session) {
      const { sid } = link.session
      const others = (perSession.get(sid) ?? 1) - 1
      if (others > 0) perSession.set(sid, others)
      else perSession.delete(sid)
    }
    if (!wasOpen) return
    const durationMs = Math.round(performance.now() - link.openedAt)
    events.webSocketClosed({ ...factsOf(link), reason: link.reason || whoClosed(link), durationMs })
  }

  const tick = () => {
    for (const link of links.all()) {
      if (link.state !== 'open') continue
      link.quietTicks += 1
      // A browser that reads slowly is not silent, and is looked after by TCP.
      if (link.quietTicks < pingAfterTicks || link.browser.writableLength > 0) continue
      if (link.readAtPing === link.browser.bytesRead) {
        link.reason ||= 'silent'
        link.browser.destroy()
      } else if (link.frames.atBoundary() && !link.frames.isClosing()) {
        link.browser.write(pingFrame)
        link.quietTicks = 0
        link.readAtPing = link.browser.bytesRead
      }
    }
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
      state: 'handshake',
      timer: undefined,
      session: undefined,
      upstreamRequest: undefined,
      upstream: undefined,
      frames: createFrameTracker(),
      openedAt: 0,
      reason: '',
      farewell: undefined,
      quietTicks: 0,
      readAtPing: -1,
      matched: ({ timeoutMs }) => {
        const elapsedMs = Math.floor(performance.now() - request.facts.arrivedAt)
        const late = () => refuse(link, lateFor[link.waitsFor]())
        link.timer = setTimeout(late, timeoutMs - elapsedMs)
      },
      found: (session) => {
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
      if (link.state !== 'handshake' || browser.destroyed) return
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

/** When the browser's end is the first to be seen: it may only answer the upstream's close frame. */
const whoClosed = ({ frames }: Link) => (frames.isClosing() ? 'upstream' : 'browser')
