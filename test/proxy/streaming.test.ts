// What passes through the proxy passes as if it were not there: streamed, whole, and ended as it ended.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import http, { type IncomingMessage } from 'node:http'
import net from 'node:net'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { gzipSync } from 'node:zlib'
import { until } from '../support/until.ts'
import { as, fetchRaw, row, sendRaw, startProxy, startRawUpstream, startUpstream } from './world.ts'

const cookie = `Cookie: ${as('alice').cookie}\r\n`
const get = (path: string, more = '') =>
  `GET ${path} HTTP/1.1\r\nHost: app.test\r\n${cookie}${more}\r\n`

test('an event arrives within 50 ms of being written, and so does the head before it', async () => {
  const written: number[] = []
  await using upstream = await startUpstream(async (_request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders()
    written.push(performance.now())
    for (let event = 0; event < 3; event += 1) {
      await delay(60) // events apart, so that one held back would be seen
      written.push(performance.now())
      response.write(`data: ${event}\n\n`)
    }
    response.end()
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const request = http.get(`${world.url}/api/stream`, { headers: as('alice'), agent: false })
  const [answer] = (await once(request, 'response')) as [IncomingMessage]
  const arrived = [performance.now()]
  for await (const chunk of answer) {
    assert.match(String(chunk), /^data: \d\n\n$/)
    arrived.push(performance.now())
  }
  assert.equal(arrived.length, 4)
  for (const [index, at] of arrived.entries()) {
    assert.ok(
      at - (written[index] ?? 0) < 50,
      `event ${index} took ${at - (written[index] ?? 0)} ms`,
    )
  }
})

/** What is really held, without what only waits to be collected. */
function heldBytes(): number {
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
setFlagsFromString('--expose-gc')
const collect: () => void = runInNewContext('gc')

test('64 MB up and down pass whole while memory stays flat', async () => {
  const block = randomBytes(1024 * 1024)
  await using upstream = await startUpstream(async (request, response) => {
    const hash = createHash('sha256')
    let length = 0
    for await (const chunk of request) {
      hash.update(chunk as Buffer)
      length += (chunk as Buffer).length
    }
    response.writeHead(200, { 'X-Length': length, 'X-Sum': hash.digest('hex') })
    for (let sent = 0; sent < 64; sent += 1)
      if (!response.write(block)) await once(response, 'drain')
    response.end()
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const token = world.csrf.tokenFor({ id: 'alice' })
  const request = http.request(`${world.url}/api/up`, {
    method: 'POST',
    headers: { ...as('alice'), 'X-CSRF-Token': token },
    agent: false,
  })
  const before = heldBytes()
  let highest = before
  const watch = setInterval(() => (highest = Math.max(highest, heldBytes())), 30)
  const expected = createHash('sha256')
  for (let sent = 0; sent < 64; sent += 1) {
    expected.update(block)
    if (!request.write(block)) await once(request, 'drain')
  }
  request.end()
  const [answer] = (await once(request, 'response')) as [IncomingMessage]
  assert.equal(answer.headers['x-sum'], expected.digest('hex'))
  let received = 0
  for await (const chunk of answer) received += (chunk as Buffer).length
  clearInterval(watch)
  assert.equal(received, 64 * block.length)
  const grown = Math.round((highest - before) / 1024 / 1024)
  assert.ok(grown < 40, `grew by ${grown} MB`)
})

test('a reader that stops reading stops the upstream, too', async () => {
  let sent = 0
  await using upstream = await startUpstream(async (_request, response) => {
    const block = Buffer.alloc(1024 * 1024)
    const closed = once(response, 'close')
    response.writeHead(200)
    while (!response.destroyed && sent < 500) {
      sent += 1
      if (!response.write(block)) await Promise.race([once(response, 'drain'), closed])
    }
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const request = http.get(`${world.url}/api/big`, { headers: as('alice'), agent: false })
  const [answer] = (await once(request, 'response')) as [IncomingMessage]
  answer.pause()
  let before = -1
  let stood = 0
  await until('the upstream stands still', () => {
    stood = before === sent ? stood + 1 : 0
    before = sent
    return stood > 30
  })
  assert.ok(sent < 60, `${sent} MB were taken from the upstream`)
  request.destroy()
  await until('everything is given back', () => world.proxy.counts().requests === 0)
})

test('a browser that goes away ends the upstream’s request, before and after the first byte', async () => {
  let arrived = 0
  let aborted = 0
  await using upstream = await startUpstream((request, response) => {
    arrived += 1
    response.on('close', () => (aborted += response.writableFinished ? 0 : 1))
    if (request.url === '/api/begun') response.write('x')
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  for (const path of ['/api/silent', '/api/begun']) {
    const before = arrived
    const socket = net.connect(world.port, '127.0.0.1')
    socket.write(get(path))
    await until('the upstream is asked', () => arrived > before)
    socket.destroy()
    await until(`${path} is aborted`, () => aborted === arrived)
  }
  await until('nothing is under way', () => world.proxy.counts().requests === 0)
})

test('whoever leaves during admission leaves nothing behind, and nobody is asked', async () => {
  let asked = 0
  await using upstream = await startUpstream((_request, response) => {
    asked += 1
    response.end()
  })
  const gates: (() => void)[] = []
  await using world = await startProxy({
    upstreams: [row(upstream.url)],
    fresh: async () => {
      await new Promise<void>((resolve) => gates.push(resolve))
      return { kind: 'fresh', accessToken: 'x', expiresAt: new Date() }
    },
  })
  const sockets = Array.from({ length: 12 }, () => net.connect(world.port, '127.0.0.1'))
  for (const socket of sockets) socket.write(get('/api/x'))
  await until('all wait for a token', () => gates.length === 12)
  for (const socket of sockets) socket.resetAndDestroy()
  await until('all have gone', () => world.proxy.counts().requests === 0)
  for (const open of gates) open()
  const last = fetchRaw(`${world.url}/api/x`, { headers: as('alice') })
  await until('one more waits', () => gates.length === 13)
  gates[12]?.()
  assert.equal((await last).status, 200)
  assert.equal(asked, 1)
})

test('an answer that breaks off is cut, never closed as if it were complete (RFC 9112 §8)', async () => {
  const heads = {
    length: 'Content-Length: 10\r\n\r\n12345',
    chunked: 'Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n',
  }
  for (const [kind, rest] of Object.entries(heads)) {
    await using upstream = await startRawUpstream((socket) => {
      socket.once('data', () => {
        socket.write(`HTTP/1.1 200 OK\r\n${rest}`)
        setTimeout(() => socket.destroy(), 30)
      })
    })
    await using world = await startProxy({ upstreams: [row(upstream.url)] })
    const answer = await sendRaw(world.port, get('/api/x'))
    assert.equal(answer.status, 200, kind)
    assert.match(answer.body, /12345/)
    assert.doesNotMatch(answer.body, /\r\n0\r\n/, `${kind}: no last chunk`)
  }
})

test('status, head and body pass as the upstream wrote them', async (context) => {
  const zipped = gzipSync('hello '.repeat(100))
  const answers: Record<string, string | Buffer> = {
    '/api/204': 'HTTP/1.1 204 No Content\r\nETag: "x"\r\n\r\n',
    '/api/304': 'HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nETag: "x"\r\n\r\n',
    '/api/teapot': 'HTTP/1.1 418 Short And Stout\r\nContent-Length: 0\r\n\r\n',
    '/api/range':
      'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/9\r\nContent-Length: 5\r\n\r\n12345',
    '/api/moved':
      'HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/x\r\nContent-Length: 0\r\n\r\n',
    '/api/error': 'HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\noops',
    '/api/closed': 'HTTP/1.0 200 OK\r\n\r\nuntil the end',
    '/api/gzip': Buffer.concat([
      Buffer.from(
        `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${zipped.length}\r\n\r\n`,
      ),
      zipped,
    ]),
  }
  await using upstream = await startRawUpstream((socket) => {
    socket.on('data', (data) => {
      const path = data.toString('latin1').split(' ')[1] ?? ''
      socket.write(answers[path] ?? 'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n')
      if (path === '/api/closed') socket.end()
    })
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const read = (
    path: string,
    options: { method?: string; headers?: Record<string, string> } = {},
  ) => fetchRaw(world.url + path, { ...options, headers: { ...as('alice'), ...options.headers } })

  await context.test('204 and 304 have no body, and 304 keeps its length', async () => {
    assert.equal((await read('/api/204')).headers['transfer-encoding'], undefined)
    const { status, headers, body } = await read('/api/304')
    assert.deepEqual(
      [status, headers['content-length'], headers.etag, body],
      [304, '77', '"x"', ''],
    )
  })
  await context.test('a HEAD keeps the length of what it does not send', async () => {
    const { status, headers, body } = await read('/api/head', { method: 'HEAD' })
    assert.deepEqual([status, headers['content-length'], body], [200, '12', ''])
  })
  await context.test(
    'phrases, ranges, redirects and errors of the upstream are its own',
    async () => {
      assert.equal((await read('/api/teapot')).answer.statusMessage, 'Short And Stout')
      const range = await read('/api/range', { headers: { Range: 'bytes=0-4' } })
      assert.deepEqual(
        [range.status, range.headers['content-range'], range.body],
        [206, 'bytes 0-4/9', '12345'],
      )
      const moved = await read('/api/moved')
      assert.deepEqual([moved.status, moved.headers.location], [302, 'http://elsewhere.test/x'])
      const error = await read('/api/error')
      assert.deepEqual(
        [error.status, error.headers['content-type'], error.body],
        [500, 'text/html', 'oops'],
      )
    },
  )
  await context.test('a body without a length, and a compressed one, arrive whole', async () => {
    assert.equal((await read('/api/closed')).body, 'until the end')
    const { headers } = await read('/api/gzip')
    assert.equal(headers['content-encoding'], 'gzip')
    assert.equal(headers['content-length'], String(zipped.length))
    const raw = await sendRaw(world.port, get('/api/gzip', 'Connection: close\r\n'))
    assert.equal(raw.body, zipped.toString('latin1'))
  })
})

test('trailers follow the body that announced them (RFC 9110 §6.5)', async () => {
  await using upstream = await startUpstream((_request, response) => {
    response.writeHead(200, { Trailer: 'X-Sum' })
    response.write('body')
    response.addTrailers({ 'X-Sum': 'abc' })
    response.end()
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const { answer, headers } = await fetchRaw(`${world.url}/api/x`, { headers: as('alice') })
  assert.equal(headers.trailer, 'X-Sum')
  assert.deepEqual(answer.trailers, { 'x-sum': 'abc' })
})

test('early hints come before the answer (RFC 8297)', async () => {
  await using upstream = await startUpstream((_request, response) => {
    response.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' })
    setTimeout(() => response.end('done'), 20)
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const raw = await sendRaw(world.port, get('/api/x', 'Connection: close\r\n'))
  assert.match(raw.head, /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/style\.css>/i)
  assert.match(raw.body, /^HTTP\/1\.1 200 OK\r\n/)
})

test('Expect: 100-continue is answered here, and the token goes up all the same', async () => {
  let seen: http.IncomingHttpHeaders = {}
  await using upstream = await startUpstream(async (request, response) => {
    seen = request.headers
    let body = ''
    for await (const chunk of request) body += String(chunk)
    response.end(body)
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const request = http.request(`${world.url}/api/x`, {
    method: 'POST',
    agent: false,
    headers: {
      ...as('alice'),
      'X-CSRF-Token': world.csrf.tokenFor({ id: 'alice' }),
      Expect: '100-continue',
      'Content-Length': 4,
    },
  })
  request.flushHeaders()
  await once(request, 'continue')
  request.end('body')
  const [answer] = (await once(request, 'response')) as [IncomingMessage]
  assert.equal(answer.statusCode, 200)
  answer.resume()
  await once(answer, 'end')
  assert.equal(seen.authorization, 'Bearer token-of-alice')
  assert.equal(seen.cookie, undefined)
  assert.equal(seen.expect, undefined)
})

test('300 open streams do not keep the next request waiting', async () => {
  await using upstream = await startUpstream((request, response) => {
    if (request.url === '/api/quick') response.end('quick')
    else response.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders()
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const agent = new http.Agent({ maxSockets: Infinity })
  const streams = await Promise.all(
    Array.from({ length: 300 }, async () => {
      const request = http.get(`${world.url}/api/stream`, { headers: as('alice'), agent })
      request.on('error', () => {}) // cut at the end of the test
      await once(request, 'response')
      return request
    }),
  )
  assert.equal(world.proxy.counts().requests, 300)
  const from = performance.now()
  const quick = await fetchRaw(`${world.url}/api/quick`, { headers: as('alice') })
  assert.equal(quick.body, 'quick')
  assert.ok(performance.now() - from < 2000)
  for (const stream of streams) stream.destroy()
  await until('all are over', () => world.proxy.counts().requests === 0)
  await until('the upstream is left alone', () => upstream.connections.size <= 1)
})

test('a stale connection of the pool costs a retry, not a 502 (RFC 9112 §9.3.1)', async () => {
  // Answers once on a connection, and resets it when it is used again: what an idle time-out looks like.
  await using upstream = await startRawUpstream((socket) => {
    let asked = 0
    socket.on('data', () => {
      asked += 1
      if (asked === 1) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
      else socket.resetAndDestroy()
    })
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  for (let turn = 0; turn < 10; turn += 1) {
    assert.equal((await fetchRaw(`${world.url}/api/x`, { headers: as('alice') })).status, 200)
  }
  assert.equal(upstream.connected(), 10)
  const post = await fetchRaw(`${world.url}/api/x`, {
    method: 'POST',
    body: 'once',
    headers: { ...as('alice'), 'X-CSRF-Token': world.csrf.tokenFor({ id: 'alice' }) },
  })
  assert.equal(post.status, 502, 'what is not idempotent is not sent twice')
})

test('an answer that breaks off is cut for HTTP/1.0 too, where the end of a connection means the end of a body (RFC 9112 §8)', async () => {
  await using upstream = await startRawUpstream((socket) => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n')
      setTimeout(() => socket.destroy(), 20) // once the first part has surely gone out
    })
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const cookie = as('alice').cookie
  const answer = await sendRaw(world.port, `GET /api/x HTTP/1.0\r\nCookie: ${cookie}\r\n\r\n`)
  assert.deepEqual([answer.status, answer.body, answer.end], [200, 'first', 'cut'])
})

test('uploads in chunks keep their connection to the upstream', async () => {
  const seen: [string | undefined, string][] = []
  await using upstream = await startUpstream(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    seen.push([request.headers['transfer-encoding'], body])
    response.end()
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const csrf = `X-CSRF-Token: ${world.csrf.tokenFor({ id: 'alice' })}\r\n`
  for (let turn = 0; turn < 5; turn += 1) {
    const head = get('/api/x', `${csrf}Connection: close\r\nTransfer-Encoding: chunked\r\n`)
    const bytes = `${head.replace('GET', 'POST')}3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n`
    assert.equal((await sendRaw(world.port, bytes)).status, 200)
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 5 }, () => ['chunked', 'onetwo']),
  )
  assert.equal(upstream.connected(), 1)
})
