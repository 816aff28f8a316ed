// A WebSocket obeys its session: it is closed with 4401 between two frames, in whatever state it is.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { until } from '../support/until.ts'
import { as, origin, row, startProxy, startRawUpstream, startUpstream } from './world.ts'

async function startFlood(size: number, options: { fragments?: number } = {}) {
  const upstream = await startUpstream((_request, response) => void response.writeHead(404).end())
  const sockets = new WebSocketServer({ server: upstream.server, perMessageDeflate: false })
  const block = Buffer.alloc(size, 7)
  sockets.on('connection', (socket) => {
    socket.on('error', () => {}) // its close is what counts
    const send = () => {
      if (socket.readyState !== WebSocket.OPEN) return
      const { fragments = 1 } = options
      for (let part = 1; part <= fragments; part += 1)
        socket.send(block, { fin: part === fragments }, part === fragments ? send : undefined)
    }
    if (size > 0) send()
  })
  return Object.assign(upstream, { sockets })
}

const connect = async (port: number, name = 'alice') => {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/api/ws`, { origin, headers: as(name) })
  const errors: Error[] = []
  socket.on('error', (error) => errors.push(error))
  await once(socket, 'open')
  return { socket, errors }
}
const closeOf = async (socket: WebSocket) => {
  const [code, reason] = (await once(socket, 'close')) as [number, Buffer]
  return `${code} ${reason.toString()}`.trim()
}

test('a quiet socket is closed with 4401 as soon as it ends (contract 5)', async () => {
  await using upstream = await startFlood(0)
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const { socket } = await connect(world.port)
  const other = await connect(world.port, 'bob')
  const from = performance.now()
  world.people.end('alice', 'backchannel_logout')
  assert.equal(await closeOf(socket), '4401 backchannel_logout')
  assert.ok(performance.now() - from < 1000)
  await until('the upstream is released', () => upstream.sockets.clients.size === 1)
  assert.equal(other.socket.readyState, WebSocket.OPEN)
  await until('it is told', () => world.closed.length === 1)
  assert.equal(world.closed[0]?.reason, 'backchannel_logout')
})

for (const [what, size, options] of [
  ['1 MB frames', 1024 * 1024, {}],
  ['fragments of 100 KB', 100_000, { fragments: 7 }],
  ['small frames', 120, {}],
] as const) {
  test(`the end comes between two frames while ${what} stream: 4401, never 1002 or 1006 (RFC 6455 §5.4)`, async () => {
    await using upstream = await startFlood(size, options)
    await using world = await startProxy({ upstreams: [row(upstream.url)] })
    for (let turn = 0; turn < 5; turn += 1) {
      await using round = await startProxy({ upstreams: [row(upstream.url)] })
      const { socket, errors } = await connect(round.port)
      let messages = 0
      socket.on('message', (data: Buffer) => {
        messages += 1
        assert.equal(data.length, size * ('fragments' in options ? options.fragments : 1))
      })
      await until('messages flow', () => messages > turn)
      const closed = closeOf(socket)
      round.people.end('alice')
      assert.equal(await closed, '4401 logout')
      assert.deepEqual(errors, [])
      await until('nothing is left', () => round.proxy.counts().sockets === 0)
    }
    await until('nothing is left there', () => upstream.sockets.clients.size === 0)
    assert.equal(world.proxy.counts().sockets, 0)
  })
}

test('a frame that does not end is cut within a second, and nothing is left', async () => {
  await using upstream = await startRawUpstream((socket) => {
    socket.once('data', () => {
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
      )
      socket.write(Buffer.of(0x82, 126, 0x10, 0x00, 1, 2, 3)) // 4096 bytes are announced
    })
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const socket = net.connect(world.port, '127.0.0.1')
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  socket.on('error', () => {}) // it may be reset
  socket.write(
    `GET /api/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: ${origin}\r\nCookie: ${as('alice').cookie}\r\n\r\n`,
  )
  await until('the frame has begun', () => Buffer.concat(chunks).includes(Buffer.of(1, 2, 3)))
  const from = performance.now()
  world.people.end('alice')
  await once(socket, 'close')
  const took = performance.now() - from
  assert.ok(took > 900 && took < 3000, `took ${took} ms`)
  assert.ok(!Buffer.concat(chunks).includes(Buffer.from('logout')), 'nothing in the middle of it')
  await until('nothing is left', () => upstream.connections.size === 0)
})

test('after the upstream’s own close frame nothing more is said (RFC 6455 §5.5.1)', async () => {
  await using upstream = await startRawUpstream((socket) => {
    socket.once('data', () => {
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
      )
      socket.write(Buffer.of(0x88, 2, 0x03, 0xe8)) // 1000, and the connection stays open
    })
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const socket = net.connect(world.port, '127.0.0.1')
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  socket.write(
    `GET /api/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: ${origin}\r\nCookie: ${as('alice').cookie}\r\n\r\n`,
  )
  await until('it is closed there', () => Buffer.concat(chunks).includes(Buffer.of(0x88, 2)))
  world.people.end('alice')
  await once(socket, 'close')
  const [, frames = ''] = Buffer.concat(chunks).toString('latin1').split('\r\n\r\n')
  assert.deepEqual(Buffer.from(frames, 'latin1'), Buffer.of(0x88, 2, 0x03, 0xe8))
})

test('a session that ends during the handshake ends the handshake', async () => {
  let asked = 0
  await using upstream = await startRawUpstream((socket) => {
    socket.once('data', () => (asked += 1))
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const socket = new WebSocket(`ws://127.0.0.1:${world.port}/api/ws`, {
    origin,
    headers: as('alice'),
  })
  const refused = once(socket, 'unexpected-response')
  await until('the upstream is asked', () => asked === 1)
  world.people.end('alice')
  const [, answer] = (await refused) as [unknown, { statusCode: number }]
  assert.equal(answer.statusCode, 401)
  socket.on('error', () => {}) // the handshake is given up
  socket.terminate()
  await until('nothing is left', () => upstream.connections.size === 0)
})

test('idle and absolute expiry close it by the clock, without a message (contract 5)', async () => {
  await using upstream = await startFlood(0)
  for (const [what, laterMs] of [
    ['idle', 3_600_000],
    ['absolute', 86_400_000],
  ] as const) {
    let nowMs = Date.now()
    await using world = await startProxy({
      upstreams: [row(upstream.url)],
      clock: { now: () => new Date(nowMs) },
      tickMs: 5,
    })
    if (what === 'idle')
      world.people.state.endedUnheard.set(world.people.session('alice').sid, 'expired')
    else world.people.state.idleMs = 200_000_000
    const { socket } = await connect(world.port)
    const closed = closeOf(socket)
    nowMs += laterMs
    assert.equal(await closed, '4401 expired', what)
  }
})

test('a logout of 100 sockets leaves none, here or there', async () => {
  await using upstream = await startFlood(0)
  await using world = await startProxy({
    upstreams: [row(upstream.url)],
    webSocketsPerSession: 200,
  })
  const all = await Promise.all(Array.from({ length: 100 }, () => connect(world.port)))
  const closes = all.map(({ socket }) => closeOf(socket))
  world.people.end('alice', 'revoked')
  assert.deepEqual(new Set(await Promise.all(closes)), new Set(['4401 revoked']))
  await until('none here', () => world.proxy.counts().sockets === 0)
  await until('none there', () => upstream.connections.size === 0)
})

test('at shutdown each is told 1001, a few at a time, and no new one comes in (contract 5)', async () => {
  await using upstream = await startFlood(0)
  await using world = await startProxy({
    upstreams: [row(upstream.url)],
    webSocketsPerSession: 200,
  })
  const all = await Promise.all(Array.from({ length: 60 }, () => connect(world.port)))
  const times: number[] = []
  const closes = all.map(async ({ socket }) => {
    const close = await closeOf(socket)
    times.push(performance.now())
    return close
  })
  const closing = world.proxy.closeSockets()
  const late = new WebSocket(`ws://127.0.0.1:${world.port}/api/ws`, { origin, headers: as('bob') })
  const [, answer] = (await once(late, 'unexpected-response')) as [unknown, { statusCode: number }]
  assert.equal(answer.statusCode, 503)
  late.on('error', () => {}) // the handshake is given up
  late.terminate()
  assert.deepEqual(new Set(await Promise.all(closes)), new Set(['1001 going away']))
  await closing
  assert.ok(Math.max(...times) - Math.min(...times) > 150, 'not all at once')
  assert.equal(world.proxy.counts().sockets, 0)
})
