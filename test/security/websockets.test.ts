// WebSockets through the whole gate: how many, how long, and what is left of those that went wrong.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import type { WebSocket } from 'ws'
import { sendRaw } from '../proxy/world.ts'
import { HandshakeRefused, type Browser } from '../support/browser.ts'
import { startGate, type World } from '../support/gate.ts'
import { startScriptedProvider } from '../support/scripted-provider.ts'
import { until } from '../support/until.ts'
import { startUpstream } from '../support/upstream.ts'

test('a session has so many sockets and no more; a slow reader holds its upstream back (ASVS 4.4) [T110]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider, environment: { WEBSOCKETS_PER_SESSION: '2' } })
  const [ada, grace] = [world.browser(), world.browser()]
  await ada.login()
  await grace.login()
  const first = await ada.webSocket('/api/ws')
  const second = await ada.webSocket('/api/ws')
  await assert.rejects(ada.webSocket('/api/ws'), { status: 429 })
  const hers = await grace.webSocket('/api/ws')
  hers.close()
  assert.equal(world.upstream.seen.length, 3)
  first.close()
  await until('its place is free', async () => {
    const socket = await openIfAPlaceIsFree(ada)
    socket?.close()
    return socket
  })

  let there: WebSocket | undefined
  world.upstream.onSocket((socket) => {
    there = socket
  })
  second.close()
  await once(second, 'close')
  const slow = await until('a place is free', () => openIfAPlaceIsFree(ada))
  await until('it is there', () => there)
  slow.pause()
  const message = Buffer.alloc(1024 * 1024)
  for (let count = 0; count < 64; count += 1) there?.send(message)
  let most = there?.bufferedAmount ?? 0
  let sameSince = performance.now()
  // The gate and the kernel take some; the rest waits at the upstream for as long as nobody reads.
  await until('what waits there stays the same for a second', () => {
    const waiting = there?.bufferedAmount ?? 0
    if (waiting !== most) sameSince = performance.now()
    most = waiting
    return performance.now() - sameSince > 1000
  })
  assert.ok(most > 32 * 1024 * 1024, `${most} bytes wait where they came from`)
  let received = 0
  slow.on('message', () => {
    received += 1
  })
  slow.resume()
  await until('all of it arrives', () => received === 64, 20_000)
  slow.close()
})

test('a socket that opens and one that closes are a log line each, with reason and duration, and no payload [T112]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  await browser.login()
  const socket = await browser.webSocket('/api/ws?secret=1')
  socket.send('a payload that is nobody’s business')
  await once(socket, 'message')
  socket.close(1000)
  const closed = await until('it is logged', () =>
    world.log.find(({ event }) => event === 'websocket_closed'),
  )
  const opened = world.log.find(({ event }) => event === 'websocket_opened')
  assert.match(String(closed['reason']), /^(browser|upstream)$/) // whoever let go first
  assert.ok(typeof closed['durationMs'] === 'number' && closed['durationMs'] >= 0)
  assert.ok(opened?.['requestId'] === closed['requestId'] && closed['requestId'])
  assert.match(String(closed['sessionLabel']), /^[\w-]{16}$/)
  assert.doesNotMatch(JSON.stringify(world.log), /payload|secret=1/)
})

test('an upgrade that is not for a WebSocket here is refused, its connection closed, and nothing is left (RFC 6455 §4.2.1) [T106,T113]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({
    provider,
    environment: {
      UPSTREAMS: JSON.stringify([
        { path: '/api', target: 'http://127.0.0.1:1' },
        { path: '/plain', target: 'http://127.0.0.1:1', websocket: false },
      ]),
    },
  })
  const browser = world.browser()
  await browser.login()
  const handshake = (target: string, changes: Record<string, string | undefined> = {}) => {
    const headers = {
      Host: `localhost:${world.port}`,
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      Origin: world.appUrl,
      Cookie: browser.cookieHeader(),
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
      ...changes,
    }
    const lines = Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [`${name}: ${value}\r\n`],
    )
    return sendRaw(world.port, `GET ${target} HTTP/1.1\r\n${lines.join('')}\r\n`, 150)
  }
  for (const [target, changes, status] of [
    ['/auth/me', {}, 404],
    ['/auth/events', {}, 404],
    ['/', {}, 404],
    ['/healthz', {}, 404],
    ['/nothing', {}, 404],
    ['/apix', {}, 404],
    ['/plain/ws', {}, 404],
    ['/api/../x', {}, 400],
    ['/api/ws', { Cookie: undefined }, 401],
    ['/api/ws', { Cookie: 'sid=s%3Aforged.x' }, 401],
    ['/api/ws', { Origin: undefined }, 403],
    ['/api/ws', { Origin: 'https://evil.example' }, 403],
    ['/api/ws', {}, 502],
  ] as const) {
    const answer = await handshake(target, changes)
    assert.equal(answer.status, status, `${target} ${JSON.stringify(changes)}: ${answer.head}`)
    assert.equal(answer.end, 'closed', target)
  }
  // Not an upgrade to WebSocket at all: an ordinary request.
  const plain = await handshake('/auth/me', { Upgrade: 'h2c' })
  assert.equal(plain.status, 200)
  assert.equal((await browser.fetch('/auth/me')).status, 200)
})

test('after 25 s without a word a socket is pinged and an event stream says something, for routers that cut at 55 s (contract 3, 5) [T111]', async () => {
  await using provider = await startScriptedProvider()
  await using upstream = await startUpstream()
  const row = { path: '/api', target: upstream.url, timeoutMs: 60_000 }
  await using world = await startGate({
    ...{ provider, upstream },
    environment: { UPSTREAMS: JSON.stringify([row]) },
  })
  const browser = world.browser()
  await browser.login()
  const leaving = await openQueuedStream(world, browser)
  await leaving.logout() // its stream is ended before it could begin, and must not be written to any more
  const socket = await browser.webSocket('/api/ws')
  const events = await browser.open('/auth/events')
  const startedAt = performance.now()
  let streamed = ''
  events.on('data', (chunk: Buffer) => {
    if (performance.now() - startedAt > 5000) streamed += chunk.toString()
  })
  let pings = 0
  socket.on('ping', () => {
    pings += 1
  })
  await until('both were heard of', () => pings > 0 && streamed.includes(':'), 32_000)
  assert.ok(performance.now() - startedAt > 20_000)
  socket.close()
  events.destroy()
})

/** A browser whose event stream waits behind somebody else's request on its connection, which is not answered. */
async function openQueuedStream(world: World, other: Browser): Promise<Browser> {
  world.upstream.answer((request, response) => void (request.url !== '/api/wait' && response.end()))
  const browser = world.browser()
  await browser.login()
  const get = (path: string, { cookieHeader }: Browser) =>
    `GET ${path} HTTP/1.1\r\nHost: x\r\nCookie: ${cookieHeader()}\r\n\r\n`
  const socket = connect(world.port, '127.0.0.1')
  socket.write(get('/api/wait', other) + get('/auth/events', browser))
  await until('both are under way', () =>
    world.upstream.seen.some(({ url }) => url === '/api/wait'),
  )
  assert.equal((await browser.fetch('/auth/me')).status, 200) // by now the stream is there, too
  return browser
}

async function openIfAPlaceIsFree(browser: Browser): Promise<WebSocket | undefined> {
  try {
    return await browser.webSocket('/api/ws')
  } catch (error) {
    if (error instanceof HandshakeRefused && error.status === 429) return undefined
    throw error
  }
}
