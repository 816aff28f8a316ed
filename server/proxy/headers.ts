// Which headers pass, in both directions: the tables first, then the few rules that need more than a
// name. Pure but for reading the message; the relays call it once for each.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { csrfHeader } from '../../shared/contract.ts'
import type { CookieNames } from '../sessions/cookie.ts'
import type { Upstream } from '../upstream-table.ts'

/** RFC 9110 §7.6.1, and what older software took for one of these. Framing is each hop's own. */
const hopByHop = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]

/** What a client may not say of itself: each is set anew below, or is nobody's business upstream. */
const notFromClients = [
  'authorization',
  'cookie',
  'forwarded',
  'host',
  'x-real-ip',
  'x-request-id',
  csrfHeader.toLowerCase(),
]
const forwardedPrefix = 'x-forwarded-'

const droppedFromRequests = new Set([
  ...hopByHop,
  ...notFromClients,
  'expect', // answered by this server (RFC 9110 §10.1.1)
  'http2-settings',
  'trailer', // the trailers of a request end here
])

const framedByNode = new Set(['POST', 'PUT', 'PATCH'])

/** An upstream that takes another spelling for the same header must not be told these in one. */
const spoofable = new Set([...notFromClients, 'content-length', 'transfer-encoding'])

/** CORS is decided by `FRONTEND_ORIGINS` alone (contract section 4). */
const droppedFromAnswers = new Set([
  ...hopByHop,
  'access-control-allow-credentials',
  'access-control-allow-headers',
  'access-control-allow-methods',
  'access-control-allow-origin',
  'access-control-max-age',
  'trailer', // kept where trailers can follow
  'x-request-id', // ours is the one in the log
])

/** `Connection` can't name these: without them a message would end elsewhere, or be kept by a cache. */
const notNominable = new Set(['content-length', 'cache-control', 'set-cookie'])

export interface UpstreamCall {
  readonly upstream: Upstream
  readonly accessToken: string | undefined
  /** An API client's own credentials, passed as they are (`bearer`). */
  readonly ownAuthorization: string | undefined
}

export interface AnswerCircumstances {
  requestId: string
  /** It rode on a session: no cache keeps the answer unless the upstream allows it. */
  onSession: boolean
  /** Whether trailers can follow the body. */
  withTrailers: boolean
  cors: Readonly<Record<string, string>>
  /** `Set-Cookie` lines of ours. */
  setCookies: readonly string[]
}

export interface HeaderRules {
  /** What the upstream gets. Names in lower case; for an upgrade with `Connection` and `Upgrade`. */
  forUpstream: (
    request: IncomingMessage,
    kind: 'http' | 'upgrade',
    call: UpstreamCall,
  ) => IncomingHttpHeaders
  /** Names and values in turn, spelled and ordered as the upstream wrote them. */
  forBrowser: (answer: IncomingMessage, circumstances: AnswerCircumstances) => string[]
  /** Changes what the upstream said to an upgrade, accepted or refused, in place: the library writes it. */
  filterUpgradeAnswer: (answer: IncomingMessage, setCookies: readonly string[]) => void
}

export function createHeaderRules({ cookieNames }: { cookieNames: CookieNames }): HeaderRules {
  const ourCookies = new Set([cookieNames.session, cookieNames.csrf].map((name) => lower(name)))
  const loginPrefix = lower(cookieNames.loginPrefix)
  const isOurs = (cookieName: string) => {
    const name = lower(cookieName.trim())
    return ourCookies.has(name) || name.startsWith(loginPrefix)
  }

  /** The cookie header without ours; the others byte for byte. */
  const otherCookies = (header: string): string | undefined => {
    let others: string | undefined
    for (let start = 0; start < header.length;) {
      let end = header.indexOf(';', start)
      if (end === -1) end = header.length
      const equals = header.indexOf('=', start)
      const name = header.slice(start, equals === -1 || equals > end ? end : equals)
      if (!isOurs(name)) {
        const pair = header.slice(start, end).trim()
        if (pair !== '') others = others === undefined ? pair : `${others}; ${pair}`
      }
      start = end + 1
    }
    return others
  }

  const setsOurs = (line: string) => {
    // RFC 6265bis §5.6: without a name the value is what comes back, and may look like one of ours.
    const setCookie = line.replace(/^[\s=]+/, '')
    const end = setCookie.search(/[=;]/)
    return isOurs(end === -1 ? setCookie : setCookie.slice(0, end))
  }

  return {
    forUpstream: (request, kind, { upstream, accessToken, ownAuthorization }) => {
      const { headers: incoming, socket, facts } = request
      const headers: IncomingHttpHeaders = { host: upstream.target.host }
      const nominated = nominatedBy(incoming.connection)
      for (const name in incoming) {
        if (droppedFromRequests.has(name) || name.startsWith(forwardedPrefix)) continue
        if (nominated?.has(name) || isLookAlike(name)) continue
        headers[name] = incoming[name]
      }
      // Node frames by itself what usually has a body, and keeps the connection; the chunks of a GET would
      // reach the upstream unframed.
      if (incoming['transfer-encoding'] !== undefined && !framedByNode.has(request.method ?? ''))
        headers['transfer-encoding'] = 'chunked'
      if (kind === 'upgrade') {
        headers.connection = 'Upgrade'
        headers.upgrade = 'websocket'
      }

      const cookies = incoming.cookie === undefined ? undefined : otherCookies(incoming.cookie)
      if (cookies !== undefined) headers.cookie = cookies
      if (accessToken !== undefined) headers.authorization = `Bearer ${accessToken}`
      else if (ownAuthorization !== undefined) headers.authorization = ownAuthorization

      // Only a proxy of ours is believed; whoever else comes is the first in the row.
      const told = facts.fromTrustedProxy ? incoming : undefined
      const peer = (socket.remoteAddress ?? '').replace('::ffff:', '')
      const before = told?.['x-forwarded-for']
      headers['x-forwarded-for'] = before === undefined ? peer : `${String(before)}, ${peer}`
      headers['x-forwarded-host'] = told?.['x-forwarded-host'] ?? incoming.host ?? ''
      headers['x-forwarded-proto'] =
        told?.['x-forwarded-proto'] ?? ('encrypted' in socket ? 'https' : 'http')
      headers['x-real-ip'] = facts.ip
      headers['x-request-id'] = facts.requestId
      return headers
    },

    forBrowser: (answer, { requestId, onSession, withTrailers, cors, setCookies }) => {
      const raw = answer.rawHeaders
      const nominated = nominatedBy(answer.headers.connection)
      const headers: string[] = ['X-Request-ID', requestId]
      let hasCacheControl = false
      for (let at = 0; at < raw.length; at += 2) {
        const name = raw[at] ?? ''
        const value = raw[at + 1] ?? ''
        const known = lower(name)
        if (droppedFromAnswers.has(known) && !(withTrailers && known === 'trailer')) continue
        if (nominated?.has(known)) continue
        if (known === 'set-cookie' && setsOurs(value)) continue
        if (known === 'cache-control') hasCacheControl = true
        headers.push(name, value)
      }
      if (onSession && !hasCacheControl) headers.push('Cache-Control', 'no-store')
      for (const line of setCookies) headers.push('Set-Cookie', line)
      for (const name in cors) headers.push(name, cors[name] ?? '')
      return headers
    },

    filterUpgradeAnswer: ({ headers, statusCode }, setCookies) => {
      const isUpgraded = statusCode === 101
      for (const name of nominatedBy(headers.connection) ?? []) {
        if (name !== 'upgrade') delete headers[name]
      }
      for (const name of droppedFromAnswers) {
        // The library frames a refusal's body by it.
        if (name === 'transfer-encoding' && !isUpgraded) continue
        delete headers[name]
      }
      if (isUpgraded) {
        headers.connection = 'Upgrade'
        headers.upgrade = 'websocket'
      }
      const others = headers['set-cookie']?.filter((line) => !setsOurs(line)) ?? []
      const all = [...others, ...setCookies]
      if (all.length > 0) headers['set-cookie'] = all
      else delete headers['set-cookie']
    },
  }
}

const lower = (text: string) => text.toLowerCase()

/** RFC 9110 §7.6.1: named in `Connection`, so not ours to pass on. Usually it names nothing. */
function nominatedBy(connection: string | undefined): Set<string> | undefined {
  if (connection === undefined || connection === 'keep-alive' || connection === 'close')
    return undefined
  const names = connection.split(',').map((name) => lower(name.trim()))
  return new Set(names.filter((name) => !notNominable.has(name)))
}

/** CGI, WSGI and their like read `X_Forwarded_For`, and some `X.Forwarded.For`, as the header that it looks like (CVE-2025-64484). */
function isLookAlike(name: string): boolean {
  for (let at = 0; at < name.length; at += 1) {
    const code = name.charCodeAt(at)
    const isUsual =
      (code >= 0x61 && code <= 0x7a) || code === 0x2d || (code >= 0x30 && code <= 0x39)
    if (isUsual) continue
    const read = name.replace(/[^a-z0-9]/g, '-')
    return spoofable.has(read) || read.startsWith(forwardedPrefix)
  }
  return false
}
