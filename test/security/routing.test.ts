// The whole gate on raw sockets: what no client library would send.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sendRaw } from '../proxy/world.ts'
import { startGate, type World } from '../support/gate.ts'
import { startScriptedProvider } from '../support/scripted-provider.ts'
import { startUpstream } from '../support/upstream.ts'

const quietMs = 150 // without a byte: it is not going to say more

/** One request line on a connection of its own, with the cookies of somebody who is logged in. */
const ask = (world: World, cookie: string, target: string, more = '', method = 'GET') =>
  sendRaw(
    world.port,
    `${method} ${target} HTTP/1.1\r\nHost: localhost:${world.port}\r\nCookie: ${cookie}\r\n${more}\r\n`,
    quietMs,
  )

test('no form of target, path or Host chooses another destination or leaves a prefix (RFC 10017 §6.1.3.6) [T15,T16,R3,R12]', async () => {
  await using provider = await startScriptedProvider()
  await using open = await startUpstream()
  await using closed = await startUpstream()
  await using world = await startGate({
    provider,
    environment: {
      UPSTREAMS: JSON.stringify([
        { path: '/api', target: closed.url },
        { path: '/public', target: `${open.url}/base`, rewrite: '', auth: 'none' },
      ]),
    },
  })
  const browser = world.browser()
  await browser.login()
  const cookie = browser.cookieHeader()
  const other = open.url.slice('http:'.length)
  for (const target of [
    '/public/../api/x',
    '/public/%2e%2e/api/x',
    '/public/.%2e/api/x',
    '/public/%252e%252e/api/x',
    '/public/..%2fapi/x',
    '/public/..%5capi/x',
    '/public/..;/api/x',
    '/public\\..\\api/x',
    '/public/%00',
    '/public/x#/api/x',
    '//localhost/api/x',
    other + '/x',
    `${open.url}/x`,
    `http:${open.url.slice(5)}/api/x`,
    '@evil.example/api',
    '*',
  ]) {
    const { status } = await ask(world, cookie, target)
    assert.ok([400, 404].includes(status), `${target}: ${status}`)
  }
  assert.deepEqual([...open.seen, ...closed.seen], [])

  // What only looks evil stays where it belongs.
  for (const [target, arrives] of [
    ['/public/@evil.example', '/base/@evil.example'],
    ['/public/a%2fb', '/base/a%2fb'],
    ['/public/x?/../../api', '/base/x?/../../api'],
    ['/public/http://evil.example/', '/base/http://evil.example/'],
  ] as const) {
    const { status } = await ask(
      world,
      cookie,
      target,
      'X-Forwarded-Host: evil.example\r\nX-Original-URL: /api/x\r\nX-Rewrite-URL: /api/x\r\n',
    )
    assert.equal(status, 200, target)
    assert.equal(open.seen.at(-1)?.url, arrives)
    assert.equal(open.seen.at(-1)?.headers.authorization, undefined)
  }
  const evilHost = await sendRaw(
    world.port,
    `GET /api/x HTTP/1.1\r\nHost: ${new URL(open.url).host}\r\nCookie: ${cookie}\r\n\r\n`,
    quietMs,
  )
  assert.equal(evilHost.status, 200)
  assert.equal(closed.seen.at(-1)?.headers.host, new URL(closed.url).host)
})

test('no path, header or User-Agent is a way round the login (oauth2-proxy GHSA-5hvv-m4w4-gf6v) [R1,R2]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  for (const headers of [
    { 'user-agent': 'GoogleHC/1.0' },
    { 'user-agent': 'kube-probe/1.30' },
    { 'user-agent': 'ELB-HealthChecker/2.0' },
    { 'x-forwarded-uri': '/healthz' },
    { 'x-original-url': '/healthz' },
    { 'x-forwarded-user': 'ada', 'x-forwarded-email': 'ada@example.com' },
    { 'x-forwarded-method': 'OPTIONS', 'x-http-method-override': 'OPTIONS' },
    { authorization: 'Bearer anything' },
    { authorization: 'Basic YWRhOmdhdGVob3VzZQ==' },
  ]) {
    for (const path of ['/api/x', '/api/healthz', '/api/x?/healthz', '/api/x/../../healthz']) {
      const { status } = await world.browser().fetch(path, { headers })
      assert.ok([401, 404].includes(status) || path.includes('..'), `${path}: ${status}`)
    }
  }
  assert.deepEqual(world.upstream.seen, [])
})

test('only the methods of the table, and no TRACE or CONNECT anywhere (ASVS 13.4.4) [T17,T117]', async () => {
  await using provider = await startScriptedProvider()
  await using upstream = await startUpstream()
  await using world = await startGate({
    provider,
    environment: {
      UPSTREAMS: JSON.stringify([
        { path: '/api', target: upstream.url, methods: ['GET', 'POST'] },
        { path: '/all', target: upstream.url },
      ]),
    },
  })
  const browser = world.browser()
  await browser.login()
  for (const method of ['PUT', 'DELETE', 'PATCH', 'PROPFIND']) {
    const answer = await browser.fetch('/api/x', { method })
    assert.equal(answer.status, 405, method)
    assert.equal(answer.headers.allow, 'GET, POST')
  }
  for (const path of ['/api/x', '/all/x', '/auth/me', '/auth/logout', '/', '/healthz']) {
    const trace = await ask(world, browser.cookieHeader(), path, '', 'TRACE')
    assert.ok([404, 405].includes(trace.status), `${path}: ${trace.status}`)
    assert.doesNotMatch(trace.body, /sid=/)
  }
  const connect = await ask(world, '', new URL(upstream.url).host, '', 'CONNECT')
  assert.notEqual(connect.status, 200)
  assert.deepEqual(upstream.seen, [])
})

test('a request with two ends is refused on every path, and nothing is smuggled (RFC 9112 §6.3) [T115]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  await browser.login()
  const common = `Host: localhost:${world.port}\r\nCookie: ${browser.cookieHeader()}\r\nX-CSRF-Token: ${browser.cookies.get('csrf')?.value}\r\n`
  const smuggled = `GET /api/smuggled HTTP/1.1\r\nHost: x\r\n\r\n`
  for (const path of ['/api/x', '/auth/refresh', '/', '/healthz']) {
    for (const lines of [
      `Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
      `Content-Length: 0\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
      `Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${smuggled}`,
      `Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${smuggled}`,
      `X: y\r\n folded: z\r\n\r\n`,
      `X: y\nContent-Length: 0\r\n\r\n`,
      `X: a\u0000b\r\n\r\n`,
    ]) {
      const bytes = `POST ${path} HTTP/1.1\r\n${common}${lines}`
      const answer = await sendRaw(world.port, bytes, quietMs)
      // 404 from what answers before it reads on: nobody is at these paths for a POST.
      assert.ok([400, 404].includes(answer.status), JSON.stringify([path, lines]))
      assert.doesNotMatch(answer.body, /^HTTP\/1\.1 [^4]/m)
      assert.notEqual(answer.end, 'open') // nothing on this connection is believed any more
    }
  }
  assert.deepEqual(world.upstream.seen, [])
  assert.equal((await browser.fetch('/api/x')).status, 200)
})

test('headers of one hop stay on it, those that Connection names included (RFC 9110 §7.6.1) [T116]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  world.upstream.answer((_request, response) => {
    response
      .writeHead(200, {
        Connection: 'x-hop-down',
        'X-Hop-Down': '1',
        'Keep-Alive': 'timeout=5',
        'Proxy-Authenticate': 'Basic',
        'X-Kept': '1',
      })
      .end('ok')
  })
  const browser = world.browser()
  await browser.login()
  const down = await ask(
    world,
    browser.cookieHeader(),
    '/api/x',
    [
      'Connection: close, X-Hop-Up, Authorization, X-Request-ID',
      'X-Hop-Up: 1',
      'Keep-Alive: timeout=5',
      'TE: trailers',
      'Proxy-Authorization: Basic x',
      'Proxy-Connection: keep-alive',
      'Upgrade: h2c',
      'HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA',
      'X-Kept: 1',
      '',
    ].join('\r\n'),
  )
  const up = world.upstream.seen.at(-1)?.headers ?? {}
  for (const name of [
    'x-hop-up',
    'te',
    'keep-alive',
    'proxy-authorization',
    'proxy-connection',
    'upgrade',
    'cookie',
  ])
    assert.equal(up[name], undefined, name)
  assert.equal(up['x-kept'], '1')
  assert.match(String(up.authorization), /^Bearer access-token-number-/) // nobody can name it away
  assert.doesNotMatch(down.head, /x-hop-down|proxy-authenticate|timeout=5/i)
  assert.match(down.head, /x-kept: 1/i)
})

test('redirects of an upstream pass and are not followed; it cannot set our cookies, on any kind of answer (ASVS 15.3.2) [T118,R11]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  await browser.login()
  const before = browser.cookieHeader()
  const cookies = [
    'sid=evil; Path=/',
    'SID=kept',
    ' sid =evil',
    'csrf=evil',
    'login-x=evil',
    'theme=dark; Path=/api',
  ]
  for (const status of [200, 302, 304, 401, 500]) {
    world.upstream.answer((_request, response) => {
      response.writeHead(status, {
        'Set-Cookie': cookies,
        ...(status === 302 && { Location: 'https://elsewhere.example/x' }),
      })
      response.flushHeaders() // a streamed answer, whose head goes first
      response.end(status === 304 ? undefined : 'x')
    })
    const seen = world.upstream.seen.length
    const answer = await browser.fetch('/api/x')
    assert.equal(answer.status, status)
    assert.ok(answer.setCookies.includes('theme=dark; Path=/api'), String(status))
    assert.ok(!answer.setCookies.some((line) => line.includes('evil')), String(answer.setCookies))
    if (status === 302) assert.equal(answer.headers.location, 'https://elsewhere.example/x')
    assert.equal(world.upstream.seen.length, seen + 1)
  }
  assert.ok(browser.cookieHeader().startsWith(before))
})

test('an evil Origin, Host or path ends in an answer, never in a crash (CVE-2024-21536) [R13]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  for (const bytes of [
    'GET /api/x HTTP/1.1\r\nHost: localhost\r\nOrigin: http://[::1\r\n\r\n',
    'GET /auth/me HTTP/1.1\r\nHost: localhost\r\nCookie: sid=x\r\nOrigin: \u00ff\u00fe\r\n\r\n',
    'GET //%zz HTTP/1.1\r\nHost: %zz\r\n\r\n',
    'GET /%E0%A4%A HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n',
    'GET /auth/%ff HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'GET /auth/login?returnTo=%ff&max_age=x HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'GET /assets/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'DELETE /auth/sessions/%zz HTTP/1.1\r\nHost: localhost\r\n\r\n',
    `GET /${'a/'.repeat(6000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: localhost\r\n${'X: y\r\n'.repeat(3000)}\r\n`,
    'POST /auth/logout HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded; charset=evil\r\nContent-Length: 3\r\n\r\n%zz',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    '\u0016\u0003\u0001\u0002\u0000',
  ]) {
    const { status, body } = await sendRaw(world.port, Buffer.from(bytes, 'latin1'), quietMs)
    const isAnswer = (status >= 200 && status < 500) || status === 505
    assert.ok(isAnswer, `${status} for ${JSON.stringify(bytes.slice(0, 80))}: ${body.slice(0, 99)}`)
  }
  assert.equal((await world.browser().fetch('/healthz')).status, 200)
})
