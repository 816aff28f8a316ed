// What the proxy answers itself: in time, in the form of the contract, and nothing of it upstream.
import assert from 'node:assert/strict'
import http from 'node:http'
import net from 'node:net'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { until } from '../support/until.ts'
import {
  as,
  fetchRaw,
  listen,
  names,
  origin,
  row,
  sendRaw,
  startProxy,
  startRawUpstream,
  startUpstream,
} from './world.ts'

const codeOf = (body: string) => (JSON.parse(body) as { code: string }).code
const cookie = as('alice').cookie
const quiet = 150 // ms without a byte: the server is not going to say more

test('an upstream that is not there is 502, at once (contract 6)', async () => {
  const server = net.createServer()
  const { port } = await listen(server)
  server.close()
  await using world = await startProxy({ upstreams: [row(`http://127.0.0.1:${port}`)] })
  const { status, body, headers } = await fetchRaw(`${world.url}/api/x`, { headers: as('alice') })
  assert.deepEqual([status, codeOf(body)], [502, 'upstream_unreachable'])
  assert.match(String(headers['x-request-id']), /^[\w-]{36}$/)
  assert.doesNotMatch(body, /127\.0\.0\.1|ECONN|\bat\b/)
})

test('an upstream that answers garbage is 502 (contract 6)', async () => {
  for (const garbage of [
    'GARBAGE\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx',
    'HTTP/1.1 200 OK\r\nX-Bad\u0001: x\r\n\r\n',
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
    'HTTP/1.1 101 Switching Protocols\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n',
    'HTTP/1.1 400 bad \u001b[0m input\r\nContent-Length: 0\r\n\r\n', // a phrase that Node takes and does not write
    '',
  ]) {
    await using upstream = await startRawUpstream((socket) => {
      socket.once('data', () => socket.end(garbage))
    })
    await using world = await startProxy({ upstreams: [row(upstream.url)] })
    const { status } = await fetchRaw(`${world.url}/api/x`, { headers: as('alice') })
    assert.equal(status, 502, garbage)
  }
})

test('a silent upstream is 504 in time, and is left; one that pauses later is not (contract 5)', async () => {
  await using upstream = await startUpstream((request, response) => {
    if (request.url === '/api/pause') {
      response.write('one ')
      setTimeout(() => response.end('two'), 900)
    }
  })
  await using world = await startProxy({ upstreams: [row(upstream.url, { timeoutMs: 600 })] })
  const from = performance.now()
  const { status, body } = await fetchRaw(`${world.url}/api/x`, { headers: as('alice') })
  const took = performance.now() - from
  assert.deepEqual([status, codeOf(body)], [504, 'upstream_timeout'])
  assert.ok(took > 590 && took < 2000, `took ${took} ms`)
  await until('the silent one is left', () => upstream.connections.size === 0)
  assert.equal((await fetchRaw(`${world.url}/api/pause`, { headers: as('alice') })).body, 'one two')
})

test('an upstream that never takes the connection is 504 in time', async () => {
  // Backlog of one, and nobody accepts: later connections wait for their handshake.
  await using upstream = await startRawUpstream((socket) => socket.pause())
  await using world = await startProxy({ upstreams: [row(upstream.url, { timeoutMs: 100 })] })
  assert.equal((await fetchRaw(`${world.url}/api/x`, { headers: as('alice') })).status, 504)
})

test('an upload may take longer than that, unless nobody takes it (contract 5)', async () => {
  await using upstream = await startUpstream(async (request, response) => {
    if (request.url === '/api/deaf') return
    let length = 0
    for await (const chunk of request) length += (chunk as Buffer).length
    response.end(String(length))
  })
  await using world = await startProxy({ upstreams: [row(upstream.url, { timeoutMs: 900 })] })
  const upload = (path: string, block: Buffer) => {
    const request = http.request(world.url + path, {
      method: 'POST',
      agent: false,
      headers: Object.assign(as('alice'), {
        'X-CSRF-Token': world.csrf.tokenFor({ id: 'alice' }),
      }),
    })
    request.on('error', () => {}) // it is answered before it is read
    let blocks = 0
    const timer = setInterval(() => {
      blocks += 1
      if (blocks < 8) return void request.write(block)
      clearInterval(timer)
      return void request.end()
    }, 160)
    return new Promise<http.IncomingMessage>((resolve) => void request.once('response', resolve))
  }
  const answer = await upload('/api/slow', Buffer.alloc(10))
  assert.equal(answer.statusCode, 200)
  let length = ''
  for await (const chunk of answer) length += String(chunk)
  assert.equal(length, '70')
  const deaf = await upload('/api/deaf', Buffer.alloc(4 * 1024 * 1024))
  assert.equal(deaf.statusCode, 504)
  deaf.destroy()
})

test('the time for a token is part of the time, and its refusal says who was slow (contract 5)', async () => {
  let asked = 0
  await using upstream = await startUpstream(() => void (asked += 1))
  let delayMs = 700
  await using world = await startProxy({
    upstreams: [row(upstream.url, { timeoutMs: 1000 })],
    fresh: async () => {
      await delay(delayMs) // the fault: a provider that is slow
      return { kind: 'fresh', accessToken: 'x', expiresAt: new Date() }
    },
  })
  const from = performance.now()
  const slowUpstream = await fetchRaw(`${world.url}/api/x`, { headers: as('alice') })
  assert.equal(codeOf(slowUpstream.body), 'upstream_timeout')
  assert.ok(performance.now() - from < 1600, 'not 700 ms and then 1000 more')
  delayMs = 2500
  const slowProvider = await fetchRaw(`${world.url}/api/x`, { headers: as('alice') })
  assert.deepEqual(
    [slowProvider.status, codeOf(slowProvider.body), slowProvider.headers['retry-after']],
    [503, 'provider_unavailable', '5'],
  )
  assert.equal(asked, 1)
})

test('above the limit the next request is refused at once, not queued (contract 6)', async () => {
  await using upstream = await startUpstream((request, response) => {
    if (request.url === '/api/quick') response.end()
  })
  await using world = await startProxy({
    upstreams: [row(upstream.url)],
    limits: { requests: 3, webSockets: 3 },
  })
  const held = Array.from({ length: 3 }, () => {
    const request = http.get(`${world.url}/api/x`, { headers: as('alice'), agent: false })
    request.on('error', () => {}) // cut below
    return request
  })
  await until('three are under way', () => upstream.connections.size === 3)
  const { status, body, headers } = await fetchRaw(`${world.url}/api/quick`, { headers: as('bob') })
  assert.deepEqual([status, codeOf(body), headers['retry-after']], [503, 'overloaded', '2'])
  for (const request of held) request.destroy()
  await until('they are over', () => world.proxy.counts().requests === 0)
  assert.equal((await fetchRaw(`${world.url}/api/quick`, { headers: as('bob') })).status, 200)
})

test('who has no session gets 401, and a dead cookie is taken away (contract 2, 6)', async () => {
  let asked = 0
  await using upstream = await startUpstream((_request, response) => {
    asked += 1
    response.end('public')
  })
  await using world = await startProxy({
    upstreams: [
      row(upstream.url),
      row(upstream.url, { path: '/maybe', auth: 'optional' }),
      row(upstream.url, { path: '/open', auth: 'none' }),
    ],
  })
  const none = await fetchRaw(`${world.url}/api/x`)
  assert.deepEqual([none.status, codeOf(none.body)], [401, 'unauthenticated'])
  assert.equal(none.headers['set-cookie'], undefined)
  const unknown = await fetchRaw(`${world.url}/api/x`, { headers: as('nobody') })
  assert.deepEqual([unknown.status, codeOf(unknown.body)], [401, 'unauthenticated'])
  assert.match(String(unknown.headers['set-cookie']), /^sid=;/)
  world.people.end('alice')
  const ended = await fetchRaw(`${world.url}/api/x`, { headers: as('alice') })
  assert.deepEqual([ended.status, codeOf(ended.body)], [401, 'session_expired'])
  assert.equal(asked, 0)
  const maybe = await fetchRaw(`${world.url}/maybe/x`, { headers: as('alice') })
  assert.deepEqual([maybe.status, maybe.body], [200, 'public'])
  assert.match(String(maybe.headers['set-cookie']), /^sid=;/)
  const finds = world.people.state.finds
  const open = await fetchRaw(`${world.url}/open/x`, { headers: as('bob') })
  assert.deepEqual([open.status, open.headers['set-cookie']], [200, undefined])
  assert.equal(world.people.state.finds, finds, 'nobody is looked up for an open upstream')
  assert.deepEqual(
    world.refused.map(({ code }) => code),
    ['unauthenticated', 'unauthenticated', 'session_expired'],
  )
})

test('what comes from elsewhere, or unproven, never reaches an upstream (contract 4)', async () => {
  let asked = 0
  await using upstream = await startUpstream((_request, response) => {
    asked += 1
    response.end()
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const send = (method: string, headers: Record<string, string>) =>
    fetchRaw(`${world.url}/api/x`, { method, headers: Object.assign(as('alice'), headers) })
  const evil = await send('GET', { Origin: 'https://evil.test' })
  assert.deepEqual([evil.status, codeOf(evil.body)], [403, 'cross_site'])
  assert.equal(codeOf((await send('POST', {})).body), 'csrf_failed')
  assert.equal(codeOf((await send('DELETE', { 'X-CSRF-Token': 'x' })).body), 'csrf_failed')
  assert.equal(asked, 0)
  const token = world.csrf.tokenFor({ id: 'alice' })
  assert.equal((await send('POST', { 'X-CSRF-Token': token, Origin: origin })).status, 200)
})

test('a preflight is answered here and never passed on (contract 4)', async () => {
  let asked = 0
  await using upstream = await startUpstream((_request, response) => {
    asked += 1
    response.setHeader('Access-Control-Allow-Origin', '*').end()
  })
  const frontend = 'https://www.test'
  await using world = await startProxy({
    upstreams: [row(upstream.url, { auth: 'optional' })],
    frontendOrigins: [frontend],
  })
  const ask = (from: string) =>
    fetchRaw(`${world.url}/api/x`, {
      method: 'OPTIONS',
      headers: { Origin: from, 'Access-Control-Request-Method': 'PUT' },
    })
  const known = await ask(frontend)
  assert.equal(known.status, 204)
  assert.equal(known.headers['access-control-allow-origin'], frontend)
  assert.equal(known.headers['access-control-allow-credentials'], 'true')
  assert.equal((await ask('https://evil.test')).headers['access-control-allow-origin'], undefined)
  assert.equal(asked, 0)
  const read = (from: string) => fetchRaw(`${world.url}/api/x`, { headers: { Origin: from } })
  assert.equal((await read(frontend)).headers['access-control-allow-origin'], frontend)
  assert.equal((await read('https://evil.test')).headers['access-control-allow-origin'], undefined)
})

test('methods that an upstream does not list, and TRACE anywhere, are 405 (ASVS 13.4.4)', async () => {
  await using upstream = await startUpstream((_request, response) => void response.end())
  await using world = await startProxy({
    upstreams: [
      row(upstream.url, { methods: ['GET', 'HEAD'] }),
      row(upstream.url, { path: '/all' }),
    ],
  })
  const refused = await fetchRaw(`${world.url}/api/x`, { method: 'PUT', headers: as('alice') })
  assert.deepEqual([refused.status, refused.headers.allow], [405, 'GET, HEAD'])
  assert.equal((await fetchRaw(`${world.url}/api/x`, { headers: as('alice') })).status, 200)
  const trace = await sendRaw(world.port, `TRACE /all HTTP/1.1\r\nHost: x\r\n\r\n`, quiet)
  assert.equal(trace.status, 405)
  const connect = await sendRaw(world.port, `CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n`, quiet)
  assert.notEqual(connect.status, 200)
})

test('every evil path ends in 400, and no upstream hears of it (RFC 10017 §6.1.3.6)', async () => {
  let asked = 0
  await using upstream = await startUpstream((_request, response) => {
    asked += 1
    response.end()
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const targets =
    '/api/../x /api/%2e%2e/x /x/../api //host/api http://evil.test/api /api/%252e%252e/x /api/a%5cb ' +
    '/api\\..\\x /api/..;/x /api/x#y * /api/%00'
  for (const target of targets.split(' ')) {
    const { status, body } = await sendRaw(
      world.port,
      `GET ${target} HTTP/1.1\r\nHost: app.test\r\nCookie: ${cookie}\r\n\r\n`,
      quiet,
    )
    assert.equal(status, 400, target)
    assert.doesNotMatch(body, /the client/, target)
  }
  const other = await sendRaw(world.port, `GET /API/x HTTP/1.1\r\nHost: x\r\n\r\n`, quiet)
  assert.deepEqual([other.status, other.body], [404, other.body])
  assert.match(other.body, /the client/, '/API is not ours')
  assert.equal(asked, 0)
})

test('a host is chosen by the table alone, not by what a request says (CVE-2026-55602)', async () => {
  let host: string | undefined
  await using upstream = await startUpstream((request, response) => {
    host = request.headers.host
    response.end()
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const headers = Object.assign(as('alice'), {
    Host: 'evil.test',
    'X-Forwarded-Host': 'evil.test',
    'X-Original-URL': '/admin',
  })
  assert.equal((await fetchRaw(`${world.url}/api/@evil.test`, { headers })).status, 200)
  assert.equal(host, `127.0.0.1:${upstream.port}`)
})

test('a message with two ends is refused, and smuggles nothing (RFC 9112 §6.3)', async () => {
  const paths: string[] = []
  await using upstream = await startUpstream(async (request, response) => {
    paths.push(request.url ?? '')
    request.resume()
    response.end()
  })
  await using world = await startProxy({ upstreams: [row(upstream.url, { auth: 'none' })] })
  const smuggled = 'GET /api/smuggled HTTP/1.1\r\nHost: x\r\n\r\n'
  const head = (lines: string) => `POST /api/first HTTP/1.1\r\nHost: x\r\n${lines}\r\n`
  const chunk = `0\r\n\r\n${smuggled}`
  for (const bytes of [
    head(`Content-Length: 5\r\nTransfer-Encoding: chunked\r\n`) + chunk,
    head(`Content-Length: 0\r\nContent-Length: ${smuggled.length}\r\n`) + smuggled,
    head(`Content-Length: 0, ${smuggled.length}\r\n`) + smuggled,
    head(`Content-Length: +0\r\n`) + smuggled,
    head(`Transfer-Encoding: xchunked\r\n`) + chunk,
    head(`Transfer-Encoding: gzip, chunked\r\n`) + '0\r\n\r\n',
    head(`Transfer-Encoding: identity\r\nContent-Length: 0\r\n`) + smuggled,
    head(`Transfer-Encoding : chunked\r\n`) + chunk,
    head(`X: y\r\n folded: z\r\n`),
    head(`X: y\nContent-Length: 0\r\n`),
    head(`X: a\rContent-Length: 0\r\n`),
    `POST /api/first HTTP/1.1\nHost: x\n\n`,
    head(`Transfer-Encoding: chunked\r\n`) + `0;x=\n\r\n${smuggled}`,
    head(`Transfer-Encoding: chunked\r\n`) + `5 \r\nhello\r\n${chunk}`,
    `GET /api/first HTTP/1.1\r\nHost: x\r\nHost: y\r\nContent-Length: -1\r\n\r\n`,
  ]) {
    const before = paths.length
    const { status } = await sendRaw(world.port, bytes, quiet)
    assert.ok(status === 400, `${status} for ${JSON.stringify(bytes)}`)
    assert.ok(!paths.slice(before).includes('/api/smuggled'), JSON.stringify(bytes))
  }
})

test('the body of a GET is framed on its way, and never the next request (CVE-2026-55603)', async () => {
  const seen: string[] = []
  await using upstream = await startUpstream(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    seen.push(`${request.method} ${request.url} ${body.length}`)
    response.end()
  })
  await using world = await startProxy({ upstreams: [row(upstream.url, { auth: 'none' })] })
  const inner = 'GET /api/smuggled HTTP/1.1\r\nHost: x\r\n\r\n'
  const size = inner.length.toString(16)
  for (const method of ['GET', 'DELETE', 'OPTIONS']) {
    for (const nominated of ['', 'Connection: Content-Length, Transfer-Encoding\r\n']) {
      const head = `${method} /api/x HTTP/1.1\r\nHost: x\r\n${nominated}`
      for (const message of [
        `${head}Content-Length: ${inner.length}\r\n\r\n${inner}`,
        `${head}Transfer-Encoding: chunked\r\n\r\n${size}\r\n${inner}\r\n0\r\n\r\n`,
      ]) {
        const { status } = await sendRaw(world.port, message, 60)
        assert.equal(status, 200)
        assert.equal(seen.at(-1), `${method} /api/x ${inner.length}`)
      }
    }
  }
  assert.equal(seen.length, 12)
})

test('an API client brings its own token where the table allows it (contract 5)', async () => {
  let seen: string | undefined
  await using upstream = await startUpstream((request, response) => {
    seen = request.headers.authorization
    response.end()
  })
  await using world = await startProxy({
    upstreams: [row(upstream.url, { bearer: true }), row(upstream.url, { path: '/strict' })],
  })
  const own = { Authorization: 'Bearer own' }
  const post = await fetchRaw(`${world.url}/api/x`, { method: 'POST', headers: own })
  assert.deepEqual([post.status, seen], [200, 'Bearer own'])
  assert.equal((await fetchRaw(`${world.url}/strict`, { headers: own })).status, 401)
  const basic = await fetchRaw(`${world.url}/api/x`, { headers: { Authorization: 'Basic x' } })
  assert.equal(basic.status, 401)
  // With a session it is the session that counts, and its proof is needed.
  const both = Object.assign(as('alice'), own)
  assert.equal(
    (await fetchRaw(`${world.url}/api/x`, { method: 'POST', headers: both })).status,
    403,
  )
  assert.equal((await fetchRaw(`${world.url}/api/x`, { headers: both })).status, 200)
  assert.equal(seen, 'Bearer token-of-alice')
  assert.equal(names.session, 'sid')
})

test('another version of HTTP is 400, and its answers end nobody’s (RFC 9112 §2.3)', async () => {
  await using upstream = await startUpstream((_request, response) => {
    response.writeHead(200, { Trailer: 'X-Sum' })
    response.addTrailers({ 'X-Sum': 'abc' })
    response.end('body')
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const ask = (version: string) =>
    sendRaw(world.port, `GET /api/x HTTP/${version}\r\nHost: x\r\nCookie: ${cookie}\r\n\r\n`, quiet)
  for (const version of ['0.9', '2.0']) assert.equal((await ask(version)).status, 400, version)
  for (const version of ['1.0', '1.1']) assert.equal((await ask(version)).status, 200, version)
})
