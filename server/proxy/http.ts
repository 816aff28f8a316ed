// The relay of requests and their answers, on http-proxy-middleware: what is decided about an exchange,
// and said of it. What an exchange is, and the picture of its life, is in exchange.ts.
import http, {
  STATUS_CODES,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import https from 'node:https'
import { createProxyMiddleware, type Plugin, type RequestHandler } from 'http-proxy-middleware'
import {
  answerTo,
  NotFound,
  Overloaded,
  Refusal,
  SessionExpired,
  ShuttingDown,
  toRefusal,
  UpstreamUnreachable,
} from '../errors.ts'
import type { CrossSiteRule } from '../protection/cross-site.ts'
import type { LiveSession } from '../sessions/session.ts'
import type { Sessions } from '../sessions/sessions.ts'
import type { Watched } from '../sessions/watch.ts'
import type { Upstream } from '../upstream-table.ts'
import { lateFor, type Admission, type Admitted } from './admission.ts'
import { canHaveTrailers, passBody, passInformation, resetWhenCut } from './answer.ts'
import { carry, exchangeOf, isRepeatable, release, stopTimer, type Exchange } from './exchange.ts'
import type { HeaderRules } from './headers.ts'
import { createOpenList, type Listed, type OpenList } from './open-list.ts'
import { originOf, type UpstreamTable } from './upstreams.ts'

export interface HttpRelayParts {
  upstreams: readonly Upstream[]
  table: UpstreamTable
  admission: Admission
  rules: HeaderRules
  crossSite: Pick<CrossSiteRule, 'isPreflight' | 'corsHeaders' | 'preflightHeaders'>
  events: {
    refused: (request: IncomingMessage, refusal: Refusal, kind: 'http' | 'upgrade') => void
  }
  sessions: Pick<Sessions, 'clearEnded'>
  /** How many requests may be under way at once; the next one is refused. */
  requestLimit: number
}

export interface HttpRelay extends Disposable {
  /** Answers the request, whatever happens. Rejects, after it has answered 500, with what is a bug. */
  relay: (request: IncomingMessage, response: ServerResponse) => Promise<void>
  open: Pick<OpenList<Listed & Watched>, 'count' | 'all'>
  /** Cuts event streams, which would never end by themselves, and lets none begin. */
  endStreams: () => void
}

/** Node's own servers close an idle connection after 5 s: ours must be gone before that (RFC 9112 §9.5). */
const idleConnectionMs = 4000

export function createHttpRelay(parts: HttpRelayParts): HttpRelay {
  const { table, admission, rules, crossSite, events } = parts
  const exchanges = createOpenList<Exchange>()
  let isClosing = false

  function createHop(upstream: Upstream) {
    // A limit of the agent's would queue what comes next behind open streams, without end or time-out;
    // and one of what it keeps would have each burst open its connections anew.
    const limits = { maxSockets: Infinity, maxFreeSockets: Infinity }
    const options = { keepAlive: true, ...limits, timeout: idleConnectionMs }
    const isTls = upstream.target.protocol === 'https:'
    const agent = isTls ? new https.Agent(options) : new http.Agent(options)
    const middleware: RequestHandler = createProxyMiddleware({
      target: originOf(upstream.target),
      agent,
      selfHandleResponse: true,
      ejectPlugins: true, // they build log lines for each request
      plugins: [listen],
    })
    return { agent, middleware }
  }

  const listen: Plugin = (server) => {
    server.on('proxyReq', (upstreamRequest, request) => {
      const exchange = exchangeOf(request)
      if (!exchange || exchange.isOver) return void upstreamRequest.destroy()
      exchange.upstreamRequest = upstreamRequest
      // An upload takes as long as it takes: time runs while nothing of it is taken.
      if (exchange.hasBody) request.on('data', () => void exchange.timer?.refresh())
      upstreamRequest.on('information', (information) => passInformation(exchange, information))
      // Nobody asked for another protocol; without a listener Node drops it without a word.
      upstreamRequest.on('upgrade', (_answer, socket) => {
        socket.destroy()
        refuse(exchange, new UpstreamUnreachable())
      })
    })
    server.on('proxyRes', (answer, request) => {
      const exchange = exchangeOf(request)
      if (exchange && !exchange.isOver) receive(exchange, answer)
      else answer.destroy()
    })
    server.on('error', (error, request) => {
      const exchange = request && exchangeOf(request)
      if (exchange) upstreamFailed(exchange, error)
    })
  }

  const hops = new Map(parts.upstreams.map((upstream) => [upstream, createHop(upstream)]))

  /** Sends it, as it stands in the exchange. Called again for a repetition. */
  const ask = (exchange: Exchange, { upstream, target }: Admitted) => {
    const { request, response } = exchange
    request.url = target
    // The library pipes every request; for one without a body that is 5 % of the gate's time (measured).
    if (!exchange.hasBody) request.pipe = endInsteadOfPiping
    void hops.get(upstream)?.middleware(request, response)
  }

  const refuse = (exchange: Exchange, error: unknown) => {
    if (exchange.isOver) return
    const { request, response } = exchange
    release(exchange)
    exchange.upstreamRequest?.destroy()
    events.refused(request, toRefusal(error), 'http')
    const { status, headers, body } = answerTo(error, request.facts.requestId)
    const text = JSON.stringify(body)
    response
      // With the phrase: a bad one of the upstream's may be there from an answer that could not be written.
      .writeHead(status, STATUS_CODES[status] ?? '', {
        ...headers,
        ...exchange.cors,
        'X-Request-ID': request.facts.requestId,
        'Content-Length': Buffer.byteLength(text),
        ...(exchange.setCookies.length > 0 && { 'Set-Cookie': [...exchange.setCookies] }),
      })
      .end(text)
  }

  const upstreamFailed = (exchange: Exchange, error: Error) => {
    const { response, upstreamRequest, admitted } = exchange
    if (exchange.isOver) return
    if (response.headersSent) return void response.destroy()
    // RFC 9112 §9.3.1: the connection was closed while we took it from the pool; nothing was done.
    const isStale = upstreamRequest?.reusedSocket === true && isReset(error)
    if (isStale && admitted && isRepeatable(exchange) && !exchange.hasRepeated) {
      exchange.hasRepeated = true
      return ask(exchange, admitted)
    }
    return refuse(exchange, new UpstreamUnreachable({ cause: error }))
  }

  const receive = (exchange: Exchange, answer: IncomingMessage) => {
    // Not for another protocol, or Node had told us so: it promises one and is the end of nothing.
    if (answer.statusCode === 101) return refuse(exchange, new UpstreamUnreachable())
    if (answer.statusCode === 401 && saysInvalidToken(answer)) {
      const { session, admitted } = exchange
      if (session && admitted && isRepeatable(exchange) && !exchange.hasRenewed) {
        exchange.hasRenewed = true
        return void renew(exchange, answer, session, admitted)
      }
    }
    return pass(exchange, answer)
  }

  /** RFC 6750 §3.1: the token was revoked or has expired, against what we know: once more with another. */
  const renew = async (
    exchange: Exchange,
    answer: IncomingMessage,
    session: LiveSession,
    admitted: Admitted,
  ) => {
    exchange.waitsFor = 'provider'
    let token: string | undefined
    try {
      token = await admission.replaceToken(exchange, session, admitted.accessToken ?? '')
    } catch (error) {
      refuse(exchange, error)
      if (!(error instanceof Refusal)) throw error
      return
    }
    if (exchange.isOver) return
    exchange.waitsFor = 'upstream'
    if (token === undefined) return pass(exchange, answer)
    // The library takes the end of an answer for the end of the exchange; whatever this one still does, it
    // is dropped.
    for (const dropped of [answer, exchange.upstreamRequest]) {
      dropped?.removeAllListeners('close').removeAllListeners('error')
      dropped?.on('error', () => {})
    }
    answer.resume()
    exchange.request.headers.authorization = `Bearer ${token}`
    return ask(exchange, admitted)
  }

  const pass = (exchange: Exchange, answer: IncomingMessage) => {
    const { request, response } = exchange
    const status = answer.statusCode ?? 502
    stopTimer(exchange)
    exchange.isEventStream =
      answer.headers['content-type']?.startsWith('text/event-stream') ?? false
    if (exchange.isEventStream && isClosing) return refuse(exchange, new ShuttingDown())
    const headers = rules.forBrowser(answer, {
      requestId: request.facts.requestId,
      onSession: exchange.session !== undefined,
      withTrailers: canHaveTrailers(exchange, answer),
      cors: exchange.cors,
      setCookies: exchange.setCookies,
    })
    try {
      response.writeHead(status, answer.statusMessage, headers)
    } catch (error) {
      // Whatever Node refuses to write of a head, it is the upstream's fault.
      answer.removeAllListeners('close')
      return refuse(exchange, new UpstreamUnreachable({ cause: error }))
    }
    if (!response.useChunkedEncodingByDefault) resetWhenCut(response)
    return passBody(answer, response)
  }

  const sessionEnded = (exchange: Exchange) => {
    if (exchange.session) exchange.setCookies = parts.sessions.clearEnded(exchange.session.sid)
    if (!exchange.response.headersSent) return refuse(exchange, new SessionExpired())
    return void exchange.response.destroy() // which ends the upstream's request, too
  }

  const timedOut = (exchange: Exchange) => refuse(exchange, lateFor[exchange.waitsFor]())

  const begin = (request: IncomingMessage, response: ServerResponse): Exchange => {
    const exchange: Exchange = {
      place: 0,
      request,
      response,
      kind: 'http',
      cors: crossSite.corsHeaders(request),
      hasBody: hasBody(request.headers),
      setCookies: [],
      waitsFor: 'database',
      timer: undefined,
      session: undefined,
      admitted: undefined,
      upstreamRequest: undefined,
      isEventStream: false,
      hasRepeated: false,
      hasRenewed: false,
      isOver: false,
      matched: ({ timeoutMs }) => {
        const elapsedMs = Math.floor(performance.now() - request.facts.arrivedAt)
        exchange.timer = setTimeout(timedOut, timeoutMs - elapsedMs, exchange)
      },
      found: (session) => {
        exchange.session = session
      },
      sessionEnded: () => sessionEnded(exchange),
    }
    exchanges.add(exchange)
    carry(request, exchange)
    response.on('close', () => {
      exchanges.remove(exchange)
      release(exchange)
    })
    return exchange
  }

  const relay = async (request: IncomingMessage, response: ServerResponse) => {
    const isOverloaded = exchanges.count() >= parts.requestLimit
    const exchange = begin(request, response)
    try {
      if (isOverloaded) throw new Overloaded()
      if (crossSite.isPreflight(request)) return answerPreflight(exchange)
      const admitted = await admission.admit(exchange)
      // Whoever left while we looked has closed everything that would have ended the upstream's request.
      if (exchange.isOver || response.destroyed) return
      exchange.admitted = admitted
      // Changed here and not in `proxyReq`, which is skipped for some requests, and too late for others.
      request.headers = rules.forUpstream(request, 'http', admitted)
      ask(exchange, admitted)
    } catch (error) {
      refuse(exchange, error)
      if (!(error instanceof Refusal)) throw error
    }
  }

  const answerPreflight = ({ request, response }: Exchange) => {
    if (!table.match(request.url ?? '')) throw new NotFound()
    const headers = crossSite.preflightHeaders(request)
    response.writeHead(204, { 'X-Request-ID': request.facts.requestId, ...headers }).end()
  }

  return {
    relay,
    open: exchanges,
    endStreams: () => {
      isClosing = true
      for (const { isEventStream, response } of exchanges.all())
        if (isEventStream) response.destroy()
    },
    [Symbol.dispose]: () => {
      for (const { response } of exchanges.all()) response.destroy()
      for (const { agent } of hops.values()) agent.destroy()
    },
  }
}

function isReset(error: Error): boolean {
  return 'code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
}

function hasBody(headers: IncomingHttpHeaders): boolean {
  return (headers['content-length'] ?? '0') !== '0' || headers['transfer-encoding'] !== undefined
}

function saysInvalidToken({ headers }: IncomingMessage): boolean {
  return headers['www-authenticate']?.includes('invalid_token') ?? false
}

/** Stands in for `pipe` where there is nothing to pipe. */
function endInsteadOfPiping<Destination extends NodeJS.WritableStream>(
  destination: Destination,
): Destination {
  destination.end()
  return destination
}
