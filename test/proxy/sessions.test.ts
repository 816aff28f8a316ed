// The session that a request rides on: its token and no other's, renewed when refused, and its end.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http, { type IncomingMessage } from 'node:http'
import type net from 'node:net'
import { test } from 'node:test'
import { DatabaseUnavailable } from '../../server/errors.ts'
import type { TokenOutcome } from '../../server/tokens/tokens.ts'
import { until } from '../support/until.ts'
import { as, fetchRaw, row, startProxy, startRawUpstream, startUpstream } from './world.ts'

const codeOf = (body: string) => (JSON.parse(body) as { code: string }).code
const fresh = (accessToken: string): TokenOutcome => ({
  kind: 'fresh',
  accessToken,
  expiresAt: new Date(Date.now() + 60_000),
})

test('3,000 interleaved requests of two people and nobody each carry their own token', async () => {
  await using upstream = await startUpstream((request, response) => {
    const { authorization = 'none', cookie = 'none' } = request.headers
    response.end(`${authorization} ${cookie}`)
  })
  await using world = await startProxy({ upstreams: [row(upstream.url, { auth: 'optional' })] })
  const agent = new http.Agent({ keepAlive: true, maxSockets: 30 })
  const expected = {
    alice: 'Bearer token-of-alice none',
    bob: 'Bearer token-of-bob none',
    nobody: 'none none',
  }
  const ask = async (name: keyof typeof expected) => {
    const headers = name === 'nobody' ? {} : as(name)
    const request = http.get(`${world.url}/api/x`, { headers, agent })
    const [answer] = (await once(request, 'response')) as [IncomingMessage]
    let body = ''
    for await (const chunk of answer) body += String(chunk)
    assert.equal(body, expected[name])
  }
  const names = ['alice', 'nobody', 'bob', 'bob', 'nobody', 'alice'] as const
  await Promise.all(
    Array.from({ length: 30 }, async (_, lane) => {
      for (let turn = 0; turn < 100; turn += 1) await ask(names[(turn * 7 + lane) % 6] ?? 'alice')
    }),
  )
  agent.destroy()
  assert.equal(world.people.state.seen, 2000)
})

test('a token that the upstream refuses is renewed once, and the request sent once more (RFC 6750 §3.1)', async () => {
  const tokens: (string | undefined)[] = []
  await using upstream = await startUpstream(async (request, response) => {
    tokens.push(request.headers.authorization)
    for await (const _ of request);
    if (request.headers.authorization === 'Bearer new') return void response.end('welcome')
    response.writeHead(401, {
      'WWW-Authenticate': 'Bearer error="invalid_token"',
      'X-Upstream': 'said no',
    })
    response.end('a long explanation '.repeat(1000))
    return undefined
  })
  const rejected: (string | undefined)[] = []
  let next: TokenOutcome = fresh('new')
  await using world = await startProxy({
    upstreams: [row(upstream.url)],
    fresh: async (_session, options) => {
      if (options?.rejected === undefined) return fresh('old')
      rejected.push(options.rejected)
      return next
    },
  })
  const ask = (method = 'GET', body?: string) =>
    fetchRaw(`${world.url}/api/x`, {
      method,
      ...(body !== undefined && { body }),
      headers: Object.assign(as('alice'), {
        'X-CSRF-Token': world.csrf.tokenFor({ id: 'alice' }),
      }),
    })

  const renewed = await ask()
  assert.deepEqual([renewed.status, renewed.body], [200, 'welcome'])
  assert.deepEqual(tokens, ['Bearer old', 'Bearer new'])
  assert.deepEqual(rejected, ['old'])

  tokens.length = 0
  next = fresh('also refused')
  assert.equal((await ask()).status, 401)
  assert.equal(tokens.length, 2, 'never a loop')

  for (const outcome of [fresh('old'), { kind: 'unavailable', retryAfterSeconds: 5 } as const]) {
    tokens.length = 0
    next = outcome
    const { status, headers, body } = await ask()
    assert.deepEqual([status, headers['x-upstream'], body.length], [401, 'said no', 19_000])
    assert.equal(tokens.length, 1)
  }

  rejected.length = 0
  assert.equal((await ask('POST', 'body')).status, 401, 'a body can not be sent twice')
  assert.deepEqual(rejected, [])

  next = { kind: 'ended' }
  world.people.end('bob')
  const ended = await ask()
  assert.deepEqual([ended.status, codeOf(ended.body)], [401, 'session_expired'])
})

test('a provider or a database that is away is 503, and the cookie stays (contract 6)', async () => {
  await using upstream = await startUpstream((_request, response) => void response.end())
  let outcome: () => TokenOutcome = () => ({ kind: 'unavailable', retryAfterSeconds: 7 })
  await using world = await startProxy({
    upstreams: [row(upstream.url)],
    fresh: async () => outcome(),
  })
  const ask = () => fetchRaw(`${world.url}/api/x`, { headers: as('alice') })
  const provider = await ask()
  assert.deepEqual(
    [provider.status, codeOf(provider.body), provider.headers['retry-after']],
    [503, 'provider_unavailable', '7'],
  )
  outcome = () => {
    throw new DatabaseUnavailable()
  }
  const database = await ask()
  assert.deepEqual([database.status, codeOf(database.body)], [503, 'database_unavailable'])
  assert.equal(database.headers['set-cookie'], undefined)
})

test('a bug is answered 500 without a word of it, and handed on', async () => {
  await using upstream = await startUpstream((_request, response) => void response.end())
  const bug = new Error('a secret that no browser may see')
  await using world = await startProxy({
    upstreams: [row(upstream.url)],
    fresh: () => Promise.reject(bug),
  })
  const { status, body } = await fetchRaw(`${world.url}/api/x`, { headers: as('alice') })
  assert.deepEqual([status, codeOf(body)], [500, 'internal'])
  assert.doesNotMatch(body, /secret/)
  assert.deepEqual(world.bugs.splice(0), [bug])
})

test('the end of a session cuts its streams and refuses its requests, and nobody else’s', async () => {
  await using upstream = await startUpstream((request, response) => {
    if (request.url === '/api/stream') response.write('event: one\n\n')
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const open = async (path: string, name: string) => {
    const request = http.get(world.url + path, { headers: as(name), agent: false })
    const [answer] = (await once(request, 'response')) as [IncomingMessage]
    return answer
  }
  const hers = await open('/api/stream', 'alice')
  const his = await open('/api/stream', 'bob')
  const waiting = open('/api/slow', 'alice')
  await until('three are under way', () => upstream.connections.size === 3)

  world.people.end('alice')
  hers.resume()
  await assert.rejects(once(hers, 'end'), { code: 'ECONNRESET' })
  assert.equal((await waiting).statusCode, 401)
  await until('the upstream is left', () => upstream.connections.size === 1)
  assert.equal(his.destroyed, false)
  his.destroy()
})

test('an end that nobody told is found by asking, and expiry by the clock (contract 2)', async () => {
  await using upstream = await startUpstream((_request, response) => void response.write('x'))
  let nowMs = Date.now()
  await using world = await startProxy({
    upstreams: [row(upstream.url)],
    clock: { now: () => new Date(nowMs) },
    tickMs: 10,
  })
  const stream = async (name: string) => {
    const request = http.get(`${world.url}/api/x`, { headers: as(name), agent: false })
    const [answer] = (await once(request, 'response')) as [IncomingMessage]
    answer.on('error', () => {}) // cut is what is waited for
    answer.resume()
    return answer
  }
  const unheard = await stream('alice')
  world.people.state.endedUnheard.set(world.people.session('alice').sid, 'revoked')
  await until('the end is found', () => unheard.destroyed)

  const lasting = await stream('bob')
  nowMs += 2 * 3_600_000 // idle as far as this process knows, but the database says otherwise
  const { asked } = world.people.state
  await until('the database is asked', () => world.people.state.asked > asked)
  assert.equal(lasting.destroyed, false)
  nowMs += 86_400_000 // absolute
  await until('the absolute end has come', () => lasting.destroyed)
  await until('nothing is left', () => world.proxy.counts().requests === 0)
})

test('at shutdown event streams end, and what can finish does', async () => {
  let finish: (() => void) | undefined
  await using upstream = await startUpstream((request, response) => {
    if (request.url === '/api/slow') finish = () => response.end('finished')
    else response.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders()
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const request = http.get(`${world.url}/api/stream`, { headers: as('alice'), agent: false })
  const [events] = (await once(request, 'response')) as [IncomingMessage]
  events.on('error', () => {}) // cut is what is waited for
  const slow = fetchRaw(`${world.url}/api/slow`, { headers: as('alice') })
  await until('both are under way', () => finish !== undefined)
  await world.proxy.closeSockets()
  events.resume()
  await until('the stream is over', () => events.destroyed)
  finish?.()
  assert.equal((await slow).body, 'finished')
})

test('a refused answer that breaks while its request is sent once more spoils nothing', async () => {
  let first: net.Socket | undefined
  await using upstream = await startRawUpstream((socket) => {
    socket.once('data', () => {
      if (first) {
        first.resetAndDestroy()
        setTimeout(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'), 20) // after the reset
        return
      }
      first = socket
      socket.write(
        'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer error="invalid_token"\r\nContent-Length: 9\r\n\r\nhalf',
      )
    })
  })
  await using world = await startProxy({
    upstreams: [row(upstream.url)],
    fresh: async (_session, { rejected } = {}) => ({
      kind: 'fresh',
      accessToken: rejected === undefined ? 'one' : 'two',
      expiresAt: new Date(),
    }),
  })
  const { status, body } = await fetchRaw(`${world.url}/api/x`, { headers: as('alice') })
  assert.deepEqual([status, body], [200, 'ok'])
})

test('at shutdown no event stream begins any more', async () => {
  let begin: (() => void) | undefined
  await using upstream = await startUpstream((_request, response) => {
    begin = () => response.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders()
  })
  await using world = await startProxy({ upstreams: [row(upstream.url)] })
  const late = fetchRaw(`${world.url}/api/stream`, { headers: as('alice') })
  await until('it is under way', () => begin !== undefined)
  await world.proxy.closeSockets()
  begin?.()
  assert.equal((await late).status, 503)
})
