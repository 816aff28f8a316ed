// The header rules of the proxy, both directions: examples for people, properties for all the others.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import http, { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import fc from 'fast-check'
import { createHeaderRules } from '../../server/proxy/headers.ts'
import type { Upstream } from '../../server/upstream-table.ts'

const cookieNames = {
  session: '__Host-Http-sid',
  csrf: '__Host-csrf',
  loginPrefix: '__Host-Http-login-',
}
const rules = createHeaderRules({ cookieNames })
const upstream: Upstream = {
  path: '/api',
  target: new URL('http://api.test:8080/base'),
  rewrite: undefined,
  websocket: true,
  auth: 'required',
  bearer: false,
  timeoutMs: 25_000,
  methods: undefined,
}

/** A message with these headers, as Node's parser would have made it. */
function message(pairs: readonly (readonly [string, string])[], fromTrustedProxy = false) {
  const request = new IncomingMessage(new Socket())
  request.facts = {
    requestId: 'the-request-id-of-the-gate',
    ip: '192.0.2.7',
    fromTrustedProxy,
    arrivedAt: 0,
    sessionLabel: undefined,
  }
  const headers: Record<string, string | string[]> = {}
  for (const [name, value] of pairs) {
    request.rawHeaders.push(name, value)
    const known = name.toLowerCase()
    if (known === 'set-cookie') headers[known] = [headers[known] ?? [], value].flat()
    else headers[known] = value
  }
  request.headers = headers
  return request
}

const toUpstream = (
  headers: Record<string, string>,
  call: { accessToken?: string; ownAuthorization?: string } = { accessToken: 'our-token' },
  fromTrustedProxy = false,
) =>
  rules.forUpstream(message(Object.entries(headers), fromTrustedProxy), 'http', {
    upstream,
    accessToken: call.accessToken,
    ownAuthorization: call.ownAuthorization,
  })

const toBrowser = (
  pairs: readonly (readonly [string, string])[],
  changes: Partial<Parameters<typeof rules.forBrowser>[1]> = {},
) => {
  const raw = rules.forBrowser(message(pairs), {
    requestId: 'the-request-id-of-the-gate',
    onSession: true,
    withTrailers: false,
    cors: {},
    setCookies: [],
    ...changes,
  })
  const found: [string, string][] = []
  for (let at = 0; at < raw.length; at += 2) found.push([raw[at] ?? '', raw[at + 1] ?? ''])
  return found
}
const namesOf = (pairs: readonly (readonly [string, string])[]) => pairs.map(([name]) => name)

test('hop-by-hop headers end here, those that Connection names included (RFC 9110 §7.6.1)', () => {
  const headers = toUpstream({
    Connection: 'keep-alive, X-Hop, authorization, Content-Length, X-Request-ID',
    'X-Hop': '1',
    'Keep-Alive': 'timeout=5',
    TE: 'trailers',
    Trailer: 'x',
    Upgrade: 'h2c',
    'HTTP2-Settings': 'x',
    'Proxy-Authorization': 'Basic x',
    'Proxy-Connection': 'keep-alive',
    Expect: '100-continue',
    'Content-Length': '5',
    Accept: '*/*',
  })
  assert.deepEqual(Object.keys(headers).sort(), [
    'accept',
    'authorization',
    'content-length',
    'host',
    'x-forwarded-for',
    'x-forwarded-host',
    'x-forwarded-proto',
    'x-real-ip',
    'x-request-id',
  ])
  assert.equal(headers.authorization, 'Bearer our-token')
})

test('the token takes the place of what the client sent as Authorization (RFC 10017 §6.1.1)', () => {
  const sent = { Authorization: 'Bearer theirs' }
  assert.equal(toUpstream(sent).authorization, 'Bearer our-token')
  assert.equal(toUpstream(sent, {}).authorization, undefined)
  assert.equal(
    toUpstream(sent, { ownAuthorization: 'Bearer theirs' }).authorization,
    'Bearer theirs',
  )
})

test('our cookies stay here and others pass byte for byte (RFC 10017 §6.1.1)', () => {
  const cookieOf = (cookie: string) => toUpstream({ Cookie: cookie }).cookie
  assert.equal(cookieOf('__Host-Http-sid=x'), undefined)
  assert.equal(cookieOf('a=1; __Host-Http-sid=x; b="2 3"; __Host-csrf=y; c'), 'a=1; b="2 3"; c')
  assert.equal(cookieOf('__Host-Http-login-abc=x;a==;__HOST-http-SID=z'), 'a==')
  assert.equal(cookieOf(' __Host-Http-sid =x; ; sid=theirs'), 'sid=theirs')
})

test('who called is said anew, and only a trusted proxy is believed (RFC 9700 §4.13)', () => {
  const sent = {
    Host: 'app.test',
    Forwarded: 'for=evil',
    'X-Forwarded-For': '203.0.113.9',
    'X-Forwarded-Host': 'evil.test',
    'X-Forwarded-Proto': 'https',
    'X-Forwarded-User': 'root',
    'X-Real-IP': 'evil',
    'X-Request-ID': 'evil',
  }
  const known = toUpstream(sent)
  assert.equal(known['x-forwarded-for'], '')
  assert.equal(known['x-forwarded-host'], 'app.test')
  assert.equal(known['x-forwarded-proto'], 'http')
  assert.equal(known['x-real-ip'], '192.0.2.7')
  assert.equal(known['x-request-id'], 'the-request-id-of-the-gate')
  assert.equal(known.host, 'api.test:8080')
  assert.equal(known['forwarded'], undefined)
  assert.equal(known['x-forwarded-user'], undefined)

  const behindProxy = toUpstream(sent, {}, true)
  assert.equal(behindProxy['x-forwarded-for'], '203.0.113.9, ')
  assert.equal(behindProxy['x-forwarded-host'], 'evil.test')
  assert.equal(behindProxy['x-forwarded-proto'], 'https')
  assert.equal(behindProxy['x-forwarded-user'], undefined)
})

test('a header that only looks like one of ours is dropped (CVE-2025-64484)', () => {
  const headers = toUpstream({
    x_forwarded_for: 'evil',
    'X-Forwarded_User': 'evil',
    X_REAL_IP: 'evil',
    'x.request.id': 'evil',
    Content_Length: '5',
    X_Custom: 'kept',
  })
  assert.deepEqual(
    Object.keys(headers).filter((name) => /[_.]/.test(name)),
    ['x_custom'],
  )
})

test('an upgrade keeps exactly the two headers that make it one (RFC 6455 §4.1)', () => {
  const request = message([
    ['Connection', 'keep-alive, Upgrade, X-Hop'],
    ['Upgrade', 'WebSocket'],
    ['X-Hop', '1'],
    ['Sec-WebSocket-Key', 'abc'],
    ['Sec-WebSocket-Protocol', 'chat'],
  ])
  const call = { upstream, accessToken: 'our-token', ownAuthorization: undefined }
  const headers = rules.forUpstream(request, 'upgrade', call)
  assert.equal(headers.connection, 'Upgrade')
  assert.equal(headers.upgrade, 'websocket')
  assert.equal(headers['sec-websocket-protocol'], 'chat')
  assert.equal(headers['x-hop'], undefined)
})

test('an upstream cannot set our cookies, whatever it adds to them (RFC 10017 §6.1.3.2)', () => {
  const lines = [
    '__Host-Http-sid=evil; Path=/',
    '__HOST-HTTP-SID=evil; Domain=app.test',
    ' __Host-csrf = evil',
    '__Host-Http-login-1=evil',
    '__Host-csrf',
    'theirs=1; Path=/api',
    'sid=theirs',
  ]
  const passed = toBrowser(lines.map((line) => ['Set-Cookie', line] as const))
  assert.deepEqual(
    passed.filter(([name]) => name === 'Set-Cookie').map(([, value]) => value),
    ['theirs=1; Path=/api', 'sid=theirs'],
  )
  const answer = message(lines.map((line) => ['Set-Cookie', line] as const))
  answer.statusCode = 101
  rules.filterUpgradeAnswer(answer, ['sid=; Max-Age=0'])
  assert.deepEqual(answer.headers['set-cookie'], [
    'theirs=1; Path=/api',
    'sid=theirs',
    'sid=; Max-Age=0',
  ])
})

test('an answer passes in its own spelling and order, without what is each hop’s own', () => {
  const passed = toBrowser([
    ['X-Second', '2'],
    ['Connection', 'X-Hop, Cache-Control'],
    ['X-Hop', '1'],
    ['Transfer-Encoding', 'chunked'],
    ['Keep-Alive', 'timeout=5'],
    ['Proxy-Authenticate', 'Basic'],
    ['Cache-Control', 'max-age=5'],
    ['x-first', '1'],
    ['Vary', 'Accept'],
    ['vary', 'Origin'],
    ['Trailer', 'X-Sum'],
    ['X-Request-ID', 'theirs'],
  ])
  assert.deepEqual(passed, [
    ['X-Request-ID', 'the-request-id-of-the-gate'],
    ['X-Second', '2'],
    ['Cache-Control', 'max-age=5'],
    ['x-first', '1'],
    ['Vary', 'Accept'],
    ['vary', 'Origin'],
  ])
  assert.ok(namesOf(toBrowser([['Trailer', 'X-Sum']], { withTrailers: true })).includes('Trailer'))
})

test('no cache keeps what rode on a session, unless the upstream said so (ASVS 14.3.2)', () => {
  const caches = (pairs: [string, string][], onSession: boolean) =>
    toBrowser(pairs, { onSession }).filter(([name]) => name.toLowerCase() === 'cache-control')
  assert.deepEqual(caches([], true), [['Cache-Control', 'no-store']])
  assert.deepEqual(caches([], false), [])
  assert.deepEqual(caches([['cache-control', 'public']], true), [['cache-control', 'public']])
})

test('CORS is ours to decide (contract 4)', () => {
  const theirs: [string, string][] = [
    ['Access-Control-Allow-Origin', '*'],
    ['access-control-allow-credentials', 'true'],
    ['Access-Control-Expose-Headers', 'X-Total'],
  ]
  assert.deepEqual(namesOf(toBrowser(theirs, { onSession: false })), [
    'X-Request-ID',
    'Access-Control-Expose-Headers',
  ])
  const cors = { 'Access-Control-Allow-Origin': 'https://www.test' }
  assert.ok(
    toBrowser(theirs, { cors }).some(
      ([name, value]) => name === 'Access-Control-Allow-Origin' && value === 'https://www.test',
    ),
  )
})

const token = fc.string({
  unit: fc.constantFrom(...'abcdefxyzABCXYZ019-_.!~^'.split('')),
  minLength: 1,
  maxLength: 14,
})
const name = fc.oneof(
  token,
  fc.constantFrom(
    ...'Authorization aUTHORIZATION Cookie X-Forwarded-For X_Forwarded_For x.forwarded-host'.split(
      ' ',
    ),
    ...'Host X-Real_IP TE Upgrade Transfer-Encoding Expect X-CSRF-Token x_csrf_token Connection'.split(
      ' ',
    ),
  ),
)
const value = fc.string({ unit: fc.constantFrom(...'abc123 ,;=-_/"'.split('')), maxLength: 20 })

test('nothing that a client sends is believed in any spelling', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value)), (pairs) => {
      const secret = 'said-by-the-client'
      const spoofed = pairs.map(([spelled, text]): [string, string] => [
        spelled,
        `${secret}${text}`,
      ])
      const headers = rules.forUpstream(message(spoofed), 'http', {
        upstream,
        accessToken: 'our-token',
        ownAuthorization: undefined,
      })
      for (const [known, text] of Object.entries(headers)) {
        const read = known.replace(/[^a-z0-9]/g, '-')
        http.validateHeaderName(known)
        const isOurs =
          /^(x-forwarded-.*|x-real-ip|x-request-id|authorization|forwarded|host)$/.test(read) &&
          known !== 'x-forwarded-host' // is the client's Host, which it may choose
        if (isOurs) assert.ok(!String(text).includes(secret), `${known}: ${String(text)}`)
        assert.doesNotMatch(known, /^(connection|te|upgrade|expect|keep-alive|proxy-.*)$/)
        assert.notEqual(read, 'x-csrf-token')
      }
    }),
    { numRuns: 2000 },
  )
})

test('no cookie of ours gets out among others, and no other is lost', () => {
  const cookieName = fc.oneof(
    fc.constantFrom('__Host-Http-sid', '__host-csrf', '__Host-Http-login-x', 'sid', 'a'),
    token,
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(cookieName, token)), (cookies) => {
      const header = cookies.map(([key, text]) => `${key}=${text}`).join('; ')
      const isOurs = (key: string) => /^__host-(http-sid|csrf)$|^__host-http-login-/i.test(key)
      const others = cookies.filter(([key]) => !isOurs(key))
      assert.equal(
        toUpstream({ Cookie: header }).cookie ?? '',
        others.map(([key, text]) => `${key}=${text}`).join('; '),
      )
    }),
    { numRuns: 1000 },
  )
})
