// WebSockets through the proxy: admitted like a request, invisible while open, and never left behind.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import net from 'node:net'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket, WebSocketServer } from 'ws'
import { until } from '../support/until.ts'
import {
  as,
  fetchRaw,
  names,
  origin,
  row,
  sendRaw,
  startProxy,
  startRawUpstream,
  startUpstream,
} from './world.ts'

const codeOf = (body: string) => (JSON.parse(body) as { code: string }).code

/** An upstream that echoes, and remembers who came. */
async function startEcho(options: ConstructorParameters<typeof WebSocketServer>[0] = {}) {
  const requests: IncomingMessage[] = []
  const upstream = await startUpstream((_request, response) => void response.writeHead(404).end())
  const sockets = new WebSocketServer({ noServer: true, maxPayload: 8 * 1024 * 1024, ...options })
  upstream.server.on('upgrade', (request, socket, head) => {
    requests.push(request)
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      sockets.emit('connection', webSocket, request)
      webSocket.on('error', () => {}) // its close is what counts
      webSocket.on('message', (data, isBinary) => webSocket.send(data, { binary: isBinary }))
    })
  })
  return Object.assign(upstream, { requests, sockets })
}

const connect = (port: number, name = 'alice', path = '/api/ws', options = {}) => {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, {
    origin,
    headers: as(name),
    ...options,
  })
  socket.on('error', () => {}) // told by `close` as well
  return socket
}
const open = async (...args: Parameters<typeof connect>) => {
  const socket = connect(...args)
  await once(socket, 'open')
  return socket
}
const closeOf = async (socket: WebSocket) => {
  const [code, reason] = (await once(socket, 'close')) as [number, Buffer]
  return `${code} ${reason.toString()}`.trim()
}
const handshake = (more = '', target = '/api/ws') =>
  `GET ${target} HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n${more}\r\n`
const fromUs = `Origin: ${origin}\r\nCookie: ${as('alice').cookie}\r\n`

test('the token is attached here and the cookie stays; sub-protocol, query and rewrite pass (contract 5)', async () => {
  await using upstream = await startEcho()
  await using world = await startProxy({
    upstreams: [row(upstream.url, { path: '/api/ai/ws', rewrite: '/ws' })],
  })
  const socket = new WebSocket(`ws://127.0.0.1:${world.port}/api/ai/ws/x?y=1`, ['chat'], {
    origin,
    headers: { Cookie: `${as('alice').cookie}; theme=dark`, Authorization: 'Bearer evil' },
  })
  await once(socket, 'open')
  assert.equal(socket.protocol, 'chat')
  const [request] = upstream.requests
  assert.equal(request?.url, '/ws/x?y=1')
  assert.equal(request?.headers.authorization, 'Bearer token-of-alice')
  assert.equal(request?.headers.cookie, 'theme=dark')
  socket.close(1000, 'bye')
  assert.equal(await closeOf(socket), '1000 bye')
  await until('both ends are released', () => upstream.connections.size === 0)
  assert.deepEqual(world.opened.length, 1)
  await until('the end is told', () => world.closed.length === 1)
  assert.equal(world.closed[0]?.sessionLabel, 'label-alice')
})

test('big, fragmented and compressed messages pass both ways at once', async () => {
  await using upstream = await startEcho({ perMessageDeflate: true })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const socket = await open(world.port, 'alice', '/api/ws', { perMessageDeflate: true })
  assert.match(socket.extensions, /permessage-deflate/)
  const messages = Array.from({ length: 12 }, (_, index) =>
    Buffer.alloc(index % 3 === 0 ? 1024 * 1024 : index * 100, index),
  )
  const echoed: Buffer[] = []
  socket.on('message', (data: Buffer) => echoed.push(data))
  for (const message of messages) {
    const half = Math.floor(message.length / 2)
    socket.send(message.subarray(0, half), { fin: false, binary: true })
    socket.send(message.subarray(half), { fin: true, binary: true })
  }
  await until('all came back', () => echoed.length === messages.length)
  for (const [index, message] of messages.entries()) assert.ok(echoed[index]?.equals(message))
  socket.close()
  await closeOf(socket)
})

test('a refused handshake is a plain answer, and the upstream never sees it (contract 5)', async () => {
  await using upstream = await startEcho()
  await using world = await startProxy({
    upstreams: [
      row(upstream.url),
      row(upstream.url, { path: '/plain', websocket: false }),
      row('http://127.0.0.1:1', { path: '/gone' }),
    ],
  })
  world.people.end('bob')
  const cases: [string, string, number, string][] = [
    ['nobody', handshake(`Origin: ${origin}\r\n`), 401, 'unauthenticated'],
    ['ended', handshake(`Origin: ${origin}\r\nCookie: sid=bob\r\n`), 401, 'session_expired'],
    ['no origin', handshake(`Cookie: sid=alice\r\n`), 403, 'cross_site'],
    ['opaque origin', handshake(`Origin: null\r\nCookie: sid=alice\r\n`), 403, 'cross_site'],
    [
      'elsewhere',
      handshake(`Origin: ${origin}.evil.test\r\nCookie: sid=alice\r\n`),
      403,
      'cross_site',
    ],
    ['no WebSocket', handshake(fromUs, '/plain'), 404, 'not_found'],
    ['nobody’s path', handshake(fromUs, '/apix'), 404, 'not_found'],
    ['evil path', handshake(fromUs, '/api/../x'), 400, 'bad_request'],
    ['evil path', handshake(fromUs, '//host/api'), 400, 'bad_request'],
    ['a body', handshake(`${fromUs}Content-Length: 5\r\n`), 400, 'bad_request'],
    ['a POST', handshake(fromUs).replace('GET', 'POST'), 400, 'bad_request'],
    ['upstream gone', handshake(fromUs, '/gone'), 502, 'upstream_unreachable'],
  ]
  for (const [what, bytes, status, code] of cases) {
    const answer = await sendRaw(world.port, bytes)
    assert.deepEqual([answer.status, codeOf(answer.body)], [status, code], what)
    assert.match(answer.head, /Connection: close/)
    assert.equal(answer.end, 'closed', what)
    if (what === 'ended') assert.match(answer.head, new RegExp(`Set-Cookie: ${names.session}=;`))
  }
  assert.equal(upstream.requests.length, 0)
  await until('nothing is left', () => world.proxy.counts().sockets === 0)
  assert.equal(world.refused.length, cases.length)
  assert.ok(world.refused.every(({ kind }) => kind === 'upgrade'))
  assert.equal(world.opened.length, 0)
})

test('an upgrade to something else is no upgrade, and answered as a request (RFC 9110 §7.8)', async () => {
  await using upstream = await startUpstream(
    (request, response) => void response.end(request.headers.upgrade ?? 'plain'),
  )
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const { status, body } = await fetchRaw(`${world.url}/api/x`, {
    headers: Object.assign(as('alice'), {
      Connection: 'Upgrade, HTTP2-Settings',
      Upgrade: 'h2c',
      'HTTP2-Settings': 'AAMAAABk',
    }),
  })
  assert.deepEqual([status, body], [200, 'plain'])
})

test('what an upstream says to a handshake passes as it is, but for our cookies (RFC 10017 §6.1.3.2)', async () => {
  let answer = ''
  await using upstream = await startRawUpstream((socket) => {
    socket.once('data', () => {
      socket.write(answer)
      if (!answer.startsWith('HTTP/1.1 101')) socket.end()
    })
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const cookies =
    'Set-Cookie: sid=evil\r\nSet-Cookie: theirs=1\r\nSet-Cookie: LOGIN-1=evil; Path=/\r\n'
  answer = `HTTP/1.1 418 Teapot\r\nX-Own: yes\r\nTransfer-Encoding: chunked\r\n${cookies}\r\n3\r\nnot\r\n2\r\nus\r\n0\r\n\r\n`
  const refused = await sendRaw(world.port, handshake(fromUs))
  assert.match(refused.head, /^HTTP\/1\.1 418 Teapot\r\n/)
  assert.match(refused.head, /x-own: yes/i)
  assert.match(refused.head, /set-cookie: theirs=1/i)
  assert.doesNotMatch(refused.head, /evil/)
  assert.match(refused.body, /not/)
  answer = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade, X-Hop\r\nX-Hop: 1\r\nSec-WebSocket-Accept: x\r\n${cookies}\r\n`
  const accepted = await sendRaw(world.port, handshake(fromUs), 100)
  assert.equal(accepted.status, 101)
  assert.match(accepted.head, /set-cookie: theirs=1/i)
  assert.match(accepted.head, /upgrade: websocket/i)
  assert.doesNotMatch(accepted.head, /evil|x-hop/i)
  await until('nothing is left', () => world.proxy.counts().sockets === 0)
  await until('nothing is left there', () => upstream.connections.size === 0)
})

test('an upstream that does not answer a handshake is 504 in time, and is left (contract 5)', async () => {
  await using upstream = await startRawUpstream((socket) => void socket.resume())
  await using world = await startProxy({ upstreams: [row(upstream.url, { timeoutMs: 100 })] })
  const from = performance.now()
  const answer = await sendRaw(world.port, handshake(fromUs))
  assert.deepEqual([answer.status, codeOf(answer.body)], [504, 'upstream_timeout'])
  assert.ok(performance.now() - from < 2000)
  await until('it is left', () => upstream.connections.size === 0)
  await until('nothing is left', () => world.proxy.counts().sockets === 0)
})

test('after a request through the proxy an upgrade is still ours alone to decide', async () => {
  await using upstream = await startEcho()
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  await fetchRaw(`${world.url}/api/x`, { headers: as('alice') })
  assert.equal((await sendRaw(world.port, handshake())).status, 403)
  assert.equal(upstream.requests.length, 0)
})

test('200 resets in the middle of the handshake leave nothing behind [T113]', async () => {
  await using upstream = await startEcho()
  const waits: (() => void)[] = []
  await using world = await startProxy({
    upstreams: [row(upstream.url)],
    webSocketsPerSession: 500,
    fresh: async () => {
      await new Promise<void>((resolve) => {
        waits.push(resolve)
        setTimeout(resolve, 20) // the fault: a token that takes a moment, in which some leave
      })
      return { kind: 'fresh', accessToken: 'x', expiresAt: new Date() }
    },
  })
  await Promise.all(
    Array.from({ length: 200 }, async (_, index) => {
      const socket = net.connect(world.port, '127.0.0.1')
      socket.on('error', () => {}) // it resets itself
      await once(socket, 'connect')
      socket.write(handshake(fromUs))
      // Some before the token is there, some while the upstream is asked, some just after.
      setTimeout(() => socket.resetAndDestroy(), 5 + (index % 40))
      await once(socket, 'close')
    }),
  )
  assert.ok(waits.length > 0, 'some were under way')
  await until('no socket is left', () => world.proxy.counts().sockets === 0)
  await until('no upstream is left', () => upstream.connections.size === 0)
  assert.equal((await open(world.port)).readyState, WebSocket.OPEN)
})

test('too many sockets of one session, and of all, are refused before the upgrade (contract 5) [T110]', async () => {
  await using upstream = await startEcho()
  await using world = await startProxy({
    upstreams: [row(upstream.url)],
    webSocketsPerSession: 2,
    limits: { requests: 10, webSockets: 3 },
  })
  const first = await open(world.port)
  await open(world.port)
  const third = await sendRaw(world.port, handshake(fromUs))
  assert.deepEqual([third.status, codeOf(third.body)], [429, 'rate_limited'])
  assert.match(third.head, /Retry-After: 10/)
  await open(world.port, 'bob')
  const fourth = await sendRaw(world.port, handshake(fromUs.replace('alice', 'bob')))
  assert.deepEqual([fourth.status, codeOf(fourth.body)], [503, 'overloaded'])
  assert.equal(upstream.requests.length, 3)
  first.terminate()
  await until('its place is free', () => world.proxy.counts().sockets === 2)
  const again = await open(world.port)
  assert.equal(again.readyState, WebSocket.OPEN)
})

test('an end of either side is the end of the other, with its code or without, and is logged [T112]', async () => {
  await using upstream = await startEcho()
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const serverSide = () => [...upstream.sockets.clients].at(-1)

  const closedThere = await open(world.port)
  serverSide()?.close(4000, 'from there')
  assert.equal(await closeOf(closedThere), '4000 from there')

  const cutThere = await open(world.port)
  serverSide()?.terminate()
  assert.equal(await closeOf(cutThere), '1006')

  const cutHere = await open(world.port)
  const there = serverSide()
  cutHere.terminate()
  if (there) await closeOf(there)

  await until('nothing is left', () => world.proxy.counts().sockets === 0)
  await until('nothing is left there', () => upstream.connections.size === 0)
  await until('each end is told', () => world.closed.length === 3)
  assert.deepEqual(world.closed.map(({ reason }) => reason).sort(), [
    'browser',
    'upstream',
    'upstream',
  ])
})

test('a browser that only half closes is released (ASVS 4.4)', async () => {
  await using upstream = await startRawUpstream((socket) => {
    socket.on('data', () => {
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
      )
    })
    socket.on('end', () => {}) // never closes its side
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const socket = net.connect({ port: world.port, host: '127.0.0.1', allowHalfOpen: true })
  socket.write(handshake(fromUs))
  await once(socket, 'data')
  socket.end()
  await until('it is given up', () => world.proxy.counts().sockets === 0)
  await until('there, too', () => upstream.connections.size === 0)
  socket.destroy()
})

test('a browser that is sent nothing is pinged, and one that does not answer is let go [T111]', async () => {
  await using upstream = await startEcho()
  await using world = await startProxy({ upstreams: [row(upstream.url)], tickMs: 4 })
  const alive = await open(world.port)
  const silent = await open(world.port, 'bob', '/api/ws', { autoPong: false })
  await Promise.all([once(alive, 'ping'), closeOf(silent)])
  await once(alive, 'ping')
  assert.equal(alive.readyState, WebSocket.OPEN)
  await until('it is told', () => world.closed.length === 1)
  assert.equal(world.closed[0]?.reason, 'silent')
  alive.send('still here')
  const [echo] = (await once(alive, 'message')) as [Buffer]
  assert.equal(echo.toString(), 'still here')
})

test('who leaves while the session is looked for keeps no place of its sockets [T110]', async () => {
  await using upstream = await startEcho()
  await using world = await startProxy({ upstreams: [row(upstream.url)], webSocketsPerSession: 2 })
  const { find } = world.people.sessions
  const looked = Promise.withResolvers<void>()
  let looking = 0
  world.people.sessions.find = async (header) => {
    looking += 1
    await looked.promise
    return find(header)
  }
  const leaving = Array.from({ length: 5 }, () => net.connect(world.port, '127.0.0.1'))
  for (const socket of leaving) socket.write(handshake(fromUs))
  await until('all are looked for', () => looking === leaving.length)
  for (const socket of leaving) socket.resetAndDestroy()
  await until('all have left', () => world.proxy.counts().sockets === 0)
  looked.resolve()
  assert.equal((await open(world.port)).readyState, WebSocket.OPEN)
  assert.equal((await open(world.port)).readyState, WebSocket.OPEN)
})

test('nobody writes into an upstream’s refusal, and one that does not end is left', async () => {
  const rests: (() => void)[] = []
  await using upstream = await startRawUpstream((socket) => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\nfirst')
      rests.push(() => socket.write('-last'))
    })
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const refused = sendRaw(world.port, handshake(fromUs))
  await until('its refusal has begun', () => rests.length === 1)
  world.people.end('alice')
  rests[0]?.()
  assert.deepEqual([(await refused).status, (await refused).body], [403, 'first-last'])

  const bob = `Origin: ${origin}\r\nCookie: ${as('bob').cookie}\r\n`
  const endless = net.connect(world.port, '127.0.0.1')
  endless.write(handshake(bob))
  await until('it has begun, too', () => rests.length === 2)
  await until('it is left', () => world.proxy.counts().sockets === 0, 15_000)
  await until('so is its upstream', () => upstream.connections.size === 0)
  endless.destroy()
})

test('a browser whose upstream does not read is not taken for silent [T111]', async () => {
  await using upstream = await startRawUpstream((socket) => {
    socket.once('data', () => {
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n',
      )
      socket.pause()
    })
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)], tickMs: 2 })
  const browser = net.connect(world.port, '127.0.0.1')
  browser.write(handshake(fromUs))
  await once(browser, 'data')
  let pings = 0
  browser.on('data', () => {
    pings += 1
  })
  // As much as the upstream's buffers take and more, so that what follows waits.
  const frame = Buffer.alloc(65_550)
  frame.set([0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0])
  for (let sent = 0; sent < 200; sent += 1) browser.write(frame)
  await until('it is not read any more', () => browser.writableLength > 0)
  const { bytesWritten } = browser
  // A hundred times 25 ticks without a word: a browser that is silent would be gone.
  await delay(500)
  assert.equal(world.proxy.counts().sockets, 1)
  assert.ok(bytesWritten > 0 && pings < 3)
  browser.destroy()
})
