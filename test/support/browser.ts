// A browser as far as cookies and origins go: a jar for each host that keeps Strict and Lax apart, the
// headers by which Chromium says where a request comes from, and people who can log in.
import { once } from 'node:events'
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { parseSetCookie, type SetCookie } from 'cookie'
import { WebSocket } from 'ws'

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  /** Raw `Set-Cookie` lines. */
  setCookies: string[]
  text: string
  json: <Body>() => Body
  url: string
}

export interface RequestOptions {
  method?: string
  headers?: Record<string, string>
  body?: string | Buffer
  /** Where the request goes, when that is not the origin: another process of the same gate. */
  via?: string
}

export interface Browser {
  /** As a page of the origin would `fetch`: same-origin, with the csrf header for unsafe methods unless told otherwise. */
  fetch: (path: string, options?: RequestOptions) => Promise<Answer>
  /** As an address that is typed in or followed: redirects are followed, across sites too. */
  navigate: (url: string) => Promise<Answer>
  /** The whole way through the provider's form. Gives the answer of the last page. */
  login: (person?: string, returnTo?: string) => Promise<Answer>
  logout: () => Promise<Answer>
  /** Opens a WebSocket with the cookies and the origin of the page; rejects with the answer's status when refused. */
  webSocket: (
    path: string,
    options?: { via?: string; headers?: Record<string, string> },
  ) => Promise<WebSocket>
  /** An event stream: the answer as it comes. */
  open: (path: string, options?: RequestOptions) => Promise<IncomingMessage>
  cookies: Map<string, SetCookie>
  cookieHeader: () => string
  origin: string
  /** Every answer of the origin that was read, redirects included, oldest first. */
  answers: Answer[]
}

export class HandshakeRefused extends Error {
  override readonly name = 'HandshakeRefused'
  readonly status: number
  readonly body: string

  constructor(status: number, body: string) {
    super(`the handshake was refused with ${status}`)
    this.status = status
    this.body = body
  }
}

const csrfCookies = ['csrf', '__Host-csrf']

export function createBrowser(origin: string): Browser {
  const jars = new Map<string, Map<string, SetCookie>>()
  const jarOf = (url: URL) => {
    const jar = jars.get(url.hostname) ?? new Map<string, SetCookie>()
    jars.set(url.hostname, jar)
    return jar
  }
  const cookies = jarOf(new URL(origin))
  const answers: Answer[] = []

  const keep = (url: URL, lines: string[]) => {
    for (const line of lines) {
      const cookie = parseSetCookie(line)
      // RFC 6265bis §4.1.3: a browser ignores a cookie that does not keep what its name promises.
      if (/^__(Host|Secure)-/i.test(cookie.name) && !cookie.secure) continue
      if (/^__Host-/i.test(cookie.name) && (cookie.path !== '/' || cookie.domain !== undefined))
        continue
      const isGone =
        cookie.maxAge === 0 ||
        (cookie.expires !== undefined && cookie.expires.getTime() <= Date.now())
      if (isGone || cookie.value === undefined || cookie.value === '')
        jarOf(url).delete(cookie.name)
      else jarOf(url).set(cookie.name, cookie)
    }
  }
  const cookieHeader = (url: URL, crossSite: boolean) =>
    [...jarOf(url).values()]
      .filter(
        ({ sameSite }) =>
          !crossSite || sameSite === 'lax' || sameSite === 'none' || sameSite === undefined,
      )
      .map(({ name, value }) => `${name}=${value}`)
      .join('; ')

  const send = async (
    url: URL,
    options: RequestOptions,
    crossSite: boolean,
  ): Promise<IncomingMessage> => {
    const cookie = cookieHeader(url, crossSite)
    const target = options.via === undefined ? url : new URL(options.via)
    const outgoing = httpRequest({
      hostname: target.hostname,
      port: target.port,
      path: url.pathname + url.search,
      method: options.method ?? 'GET',
      headers: { host: url.host, ...(cookie !== '' && { cookie }), ...options.headers },
      agent: false,
    })
    outgoing.end(options.body)
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage] // as Node's types have it
    outgoing.on('error', () => undefined) // from here on the answer tells
    keep(url, answer.headers['set-cookie'] ?? [])
    return answer
  }

  const read = async (url: URL, answer: IncomingMessage): Promise<Answer> => {
    const chunks: Buffer[] = []
    for await (const chunk of answer) chunks.push(Buffer.from(chunk))
    const text = Buffer.concat(chunks).toString('utf8')
    const whole: Answer = {
      status: answer.statusCode ?? 0,
      headers: answer.headers,
      setCookies: answer.headers['set-cookie'] ?? [],
      text,
      json: <Body>() => JSON.parse(text) as Body, // the test says what it expects
      url: url.href,
    }
    if (url.origin === origin) answers.push(whole)
    return whole
  }

  const fetchHeaders = (options: RequestOptions): Record<string, string> => {
    const method = options.method ?? 'GET'
    const isUnsafe = !['GET', 'HEAD'].includes(method)
    const csrf = csrfCookies.flatMap((name) => cookies.get(name)?.value ?? [])[0]
    return {
      'sec-fetch-site': 'same-origin',
      'sec-fetch-mode': 'cors',
      ...(isUnsafe && { origin }),
      ...(isUnsafe && csrf !== undefined && { 'x-csrf-token': csrf }),
      ...(options.body !== undefined && {
        'content-length': String(Buffer.byteLength(options.body)),
      }),
      ...options.headers,
    }
  }

  const open: Browser['open'] = (path, options = {}) =>
    send(new URL(path, origin), { ...options, headers: fetchHeaders(options) }, false)

  /** Follows redirects. Once another site is on the way, the chain stays cross-site. */
  const follow = async (
    start: URL,
    first: RequestOptions,
    startedElsewhere: boolean,
  ): Promise<Answer> => {
    let url = start
    let options = first
    let crossSite = startedElsewhere
    for (let hops = 0; hops < 20; hops += 1) {
      const site = crossSite ? 'cross-site' : 'none'
      const headers = {
        accept: 'text/html',
        'sec-fetch-mode': 'navigate',
        'sec-fetch-site': site,
        ...options.headers,
      }
      const answer = await read(url, await send(url, { ...options, headers }, crossSite))
      const { location } = answer.headers
      if (answer.status < 300 || answer.status > 399 || location === undefined) return answer
      const next = new URL(location, url)
      crossSite ||= next.hostname !== url.hostname
      url = next
      options = {}
    }
    throw new Error(`redirected for ever, last to ${url.href}`)
  }

  const submit = (page: Answer, fields: Record<string, string>) => {
    const action = /<form[^>]* action="([^"]+)"/.exec(page.text)?.[1]
    if (action === undefined) throw new Error(`no form on ${page.url}: ${page.text.slice(0, 300)}`)
    const body = new URLSearchParams(fields).toString()
    const headers = {
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': String(body.length),
    }
    // The form's own site sends it; its answer then leads to ours, from elsewhere.
    return follow(new URL(action, page.url), { method: 'POST', body, headers }, false)
  }

  return {
    origin,
    cookies,
    answers,
    cookieHeader: () => cookieHeader(new URL(origin), false),
    open,
    fetch: async (path, options = {}) => read(new URL(path, origin), await open(path, options)),
    navigate: (url) => follow(new URL(url, origin), {}, false),
    login: async (person = 'ada', returnTo = '/') => {
      const page = await follow(
        new URL(`/auth/login?returnTo=${encodeURIComponent(returnTo)}`, origin),
        {},
        false,
      )
      if (page.url.startsWith(origin)) return page
      return submit(page, { login: person, password: 'gatehouse' })
    },
    logout: async () =>
      read(new URL('/auth/logout', origin), await open('/auth/logout', { method: 'POST' })),
    webSocket: async (path, { via, headers } = {}) => {
      const url = new URL(path, origin)
      const target = new URL(via ?? origin)
      const socket = new WebSocket(`ws://${target.host}${url.pathname}${url.search}`, {
        headers: { host: url.host, origin, cookie: cookieHeader(url, false), ...headers },
      })
      const refused = Promise.withResolvers<never>()
      socket.once('unexpected-response', (_request, answer) => {
        read(url, answer).then(
          ({ status, text }) => refused.reject(new HandshakeRefused(status, text)),
          refused.reject,
        )
      })
      await Promise.race([once(socket, 'open'), refused.promise])
      return socket
    },
  }
}
