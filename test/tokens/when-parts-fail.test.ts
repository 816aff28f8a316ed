import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { test } from 'node:test'
import type { LoggedOut } from '../../shared/contract.ts'
import { createClock } from '../support/clock.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { startLink } from '../support/faults.ts'
import { HandshakeRefused } from '../support/browser.ts'
import { startGate, startGateProcesses } from '../support/gate.ts'
import { startScriptedProvider, type Script } from '../support/scripted-provider.ts'
import { until } from '../support/until.ts'

/** Makes every access token of the database expired, in all processes. */
const expire = (database: TestDatabase) =>
  database.query(
    `WITH changed AS (UPDATE token SET access_token_expires_at = now() - interval '1 minute' RETURNING sid)
     SELECT pg_notify('gatehouse', json_build_object('event', 'refreshed', 'sid', sid)::text) FROM changed`,
  )

const json = (response: ServerResponse, status: number, body: object) =>
  void response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body))

/** A provider that thinks about a refresh until it is told to answer. */
function thinking(answer: object, status = 200) {
  const { promise: told, resolve: release } = Promise.withResolvers<void>()
  const state = { asked: 0, release }
  const refresh: NonNullable<Script['refresh']> = async (_request, response) => {
    state.asked += 1
    await told
    json(response, status, answer)
  }
  return Object.assign(state, { refresh })
}

const granted = (name: string) => ({
  access_token: `${name}-access-token`,
  refresh_token: `${name}-refresh-token`,
  token_type: 'bearer',
  expires_in: 120,
})

test('a token endpoint that refuses every connection ends nothing (RFC 6749 §5.2) [T123]', async () => {
  const clock = createClock()
  const link = await startLink(() => 1) // a line to nowhere: only its own port is of use
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider, clock })
  const browser = world.browser()
  await browser.login()
  await link[Symbol.asyncDispose]()
  // The next gate knows another address, where nobody listens any more.
  provider.script.metadata = { token_endpoint: `http://127.0.0.1:${link.port}/token` }
  const { database, upstream } = world
  await using next = await startGate({
    provider,
    database,
    upstream,
    clock,
    environment: { APP_URL: world.appUrl },
  })
  const via = `http://localhost:${next.port}`

  clock.advance(70) // near its end
  assert.equal((await browser.fetch('/api/x', { via })).status, 200)
  clock.advance(130) // over
  for (const method of ['GET', 'POST']) {
    const path = method === 'GET' ? '/api/x' : '/auth/refresh'
    const refused = await browser.fetch(path, { via, method })
    assert.equal(refused.status, 503)
    assert.equal(refused.json<{ code: string }>().code, 'provider_unavailable')
    assert.ok(Number(refused.headers['retry-after']) > 0)
    assert.deepEqual(refused.setCookies, [])
  }
  await assert.rejects(
    browser.webSocket('/api/ws', { via }),
    (error) => error instanceof HandshakeRefused && error.status === 503,
  )
  assert.equal((await browser.fetch('/auth/me', { via })).status, 200)
})

test('a provider that never answers is asked once more after its time, and holds up neither connections nor other sessions [T123]', async () => {
  const clock = createClock()
  await using provider = await startScriptedProvider()
  await using link = await startLink(() => provider.port)
  provider.script.metadata = { token_endpoint: `http://127.0.0.1:${link.port}/token` }
  await using world = await startGate({
    provider,
    clock,
    environment: { DATABASE_POOL_SIZE: '2' },
  })
  const early = Array.from({ length: 6 }, () => world.browser())
  for (const browser of early) await browser.login()
  clock.advance(200)
  const other = world.browser()
  await other.login()

  link.silence()
  const waiting = early.map((browser) => browser.fetch('/api/waiting'))
  await until('all of them hold a lease', async () => {
    const [row] = await world.database.query<{ count: number }>(
      'SELECT count(*)::int AS count FROM token WHERE lease_until > now()',
    )
    return row?.count === early.length
  })
  const startedAt = performance.now()
  for (let at = 0; at < 20; at += 1) assert.equal((await other.fetch('/api/x')).status, 200)
  assert.ok(performance.now() - startedAt < 5000) // half of what the provider is given
  const busy = await world.database.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'gatehouse' AND state <> 'idle'`,
  )
  assert.equal(busy[0]?.count, 0)

  link.restore() // what fell silent is reset, and so lost: it is asked for again
  const answers = await Promise.all(waiting)
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
  assert.deepEqual(
    await world.database.query('SELECT FROM token WHERE lease_until IS NOT NULL'),
    [],
  )
})

test('a token request that is never answered is given up after 10 s, and asked for once more [T123]', async () => {
  const clock = createClock()
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider, clock })
  const browser = world.browser()
  await browser.login()
  let times = 0
  provider.script.refresh = (_request: IncomingMessage, response: ServerResponse) => {
    times += 1
    if (times > 1) json(response, 200, granted('second'))
  }
  clock.advance(200)
  assert.equal((await browser.fetch('/api/x')).status, 200)
  assert.equal(times, 2)
  assert.equal(world.upstream.seen.at(-1)?.headers.authorization, 'Bearer second-access-token')
})

test('new tokens that find the database away are stored when it is back, though their lease is over (RFC 9700 §4.14)', async (t) => {
  const clock = createClock()
  await using provider = await startScriptedProvider()
  await using database = await createDatabase()
  await using link = await startLink(() => Number(new URL(database.url).port))
  const url = new URL(database.url)
  url.port = String(link.port)
  await using world = await startGate({
    provider,
    database,
    clock,
    environment: { DATABASE_URL: url.href },
    expectErrors: true,
  })
  const browser = world.browser()
  await browser.login()
  clock.advance(200)
  const thought = thinking(granted('late'))
  provider.script.refresh = thought.refresh
  const waiting = browser.fetch('/api/x')
  await until('the provider is asked', () => thought.asked === 1)
  link.cut()
  thought.release()
  await until('storing fails', () =>
    world.log.some(({ msg }) => msg.startsWith('new tokens could not be stored yet')),
  )
  const now = performance.now.bind(performance)
  t.mock.method(performance, 'now', () => now() + 31_000)
  await database.query(`UPDATE token SET lease_until = now() - interval '1 second'`)
  link.restore()
  assert.equal((await waiting).status, 200)
  assert.deepEqual(await database.query('SELECT version, lease_until FROM token'), [
    { version: 2, lease_until: null },
  ])
  assert.equal(thought.asked, 1)
})

test('a logout in another process beats the refresh under way, and what comes too late is revoked [T134]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGateProcesses(2, { provider })
  const [first, second] = world.processes
  const browser = world.browser()
  await browser.login()
  const thought = thinking(granted('late'))
  provider.script.refresh = thought.refresh
  await expire(world.database)
  const cookies = new Map(browser.cookies)
  const waiting = browser.fetch('/api/x', { via: first?.url ?? '' })
  await until('the provider is asked', () => thought.asked === 1)
  const csrf = browser.cookies.get('csrf')?.value ?? ''
  const out = await browser.fetch('/auth/logout', {
    method: 'POST',
    via: second?.url ?? '',
    headers: { 'x-csrf-token': csrf },
  })
  assert.equal(out.status, 200)
  thought.release()
  assert.equal((await waiting).status, 401)
  await until('the late token is revoked', () => provider.revoked.includes('late-refresh-token'))
  assert.deepEqual(await world.database.query('SELECT sid FROM token'), [])
  // The cookie of before opens nothing any more, in either process.
  for (const [name, cookie] of cookies) browser.cookies.set(name, cookie)
  assert.equal((await browser.fetch('/api/x', { via: first?.url ?? '' })).status, 401)
})

test('a process that was stopped for longer than its lease neither ends the session nor takes the lease of the next one', async (t) => {
  await using provider = await startScriptedProvider()
  await using first = await startGate({ provider })
  const { database, upstream, appUrl } = first
  await using second = await startGate({
    ...{ provider, database, upstream },
    environment: { APP_URL: appUrl },
  })
  const browser = first.browser()
  await browser.login()
  await expire(database)
  const refused = thinking({ error: 'invalid_grant' }, 400)
  provider.script.refresh = refused.refresh
  const late = browser.fetch('/api/x')
  await until('the first one has asked', () => refused.asked === 1)

  // 31 s in which the first does nothing, and its lease ends.
  const now = performance.now.bind(performance)
  t.mock.method(performance, 'now', () => now() + 31_000)
  await database.query(`UPDATE token SET lease_until = now() - interval '1 second'`)
  const thought = thinking(granted('next'))
  provider.script.refresh = thought.refresh
  const waiting = browser.fetch('/api/x', { via: `http://localhost:${second.port}` })
  await until('the second one has asked', () => thought.asked === 1)
  refused.release()
  assert.equal((await late).status, 503)
  const leases = await database.query('SELECT FROM token WHERE lease_until > now()')
  assert.equal(leases.length, 1)
  thought.release()
  assert.equal((await waiting).status, 200)
  assert.equal((await browser.fetch('/api/x')).status, 200)
})

test('who loses its lease and then hears invalid_grant takes the winner’s token, and ends nothing', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGateProcesses(2, { provider })
  const [first, second] = world.processes
  const browser = world.browser()
  await browser.login()
  await expire(world.database)
  const refused = thinking({ error: 'invalid_grant' }, 400)
  provider.script.refresh = refused.refresh
  const late = browser.fetch('/api/x', { via: first?.url ?? '' })
  await until('the first one has asked', () => refused.asked === 1)
  await world.database.query(`UPDATE token SET lease_until = now() - interval '1 second'`)
  provider.script.refresh = (_request, response) => json(response, 200, granted('next'))
  assert.equal((await browser.fetch('/api/x', { via: second?.url ?? '' })).status, 200)
  refused.release()
  assert.equal((await late).status, 200)
  assert.equal((await browser.fetch('/auth/me', { via: first?.url ?? '' })).status, 200)
})

test('a grant that ended in one process closes the sockets in the other (4401) [T9]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGateProcesses(2, { provider })
  const [first, second] = world.processes
  const browser = world.browser()
  await browser.login()
  const socket = await browser.webSocket('/api/ws', { via: second?.url ?? '' })
  const closed = once(socket, 'close')
  provider.script.refresh = (_request, response) => json(response, 400, { error: 'invalid_grant' })
  await expire(world.database)
  assert.equal((await browser.fetch('/api/x', { via: first?.url ?? '' })).status, 401)
  const [code] = (await closed) as [number] // as ws has it
  assert.equal(code, 4401)
  assert.equal(browser.cookies.has('sid'), false)
})

test('an end of a token that no clock can tell does not cost the session', async (t) => {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const variants: [string, Record<string, unknown>][] = [
    ['an expires_in of 2^63', { expires_in: 2 ** 63 }],
    ['an expires_in of nothing', { expires_in: 0 }],
    ['an expires_in in a string', { expires_in: '120' }],
    [
      'a JWT whose exp is a word',
      { expires_in: undefined, access_token: `${part({ alg: 'none' })}.${part({ exp: 'soon' })}.` },
    ],
    [
      'a JWT whose exp is beyond all time',
      { expires_in: undefined, access_token: `${part({ alg: 'none' })}.${part({ exp: 1e18 })}.` },
    ],
  ]
  for (const [what, token] of variants) {
    await t.test(what, async () => {
      const clock = createClock()
      await using provider = await startScriptedProvider()
      await using world = await startGate({ provider, clock })
      const browser = world.browser()
      await browser.login()
      provider.script.token = token
      clock.advance(200)
      assert.equal((await browser.fetch('/api/x')).status, 200)
      assert.equal((await browser.fetch('/api/x')).status, 200)
      assert.equal((await browser.fetch('/auth/me')).status, 200)
    })
  }
})

test('many requests that an upstream refuses at once force one refresh, and only `invalid_token` does [T121]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  await browser.login()
  world.upstream.answer((request, response) => {
    const isOld = request.headers.authorization === 'Bearer access-token-number-1'
    if (request.url === '/api/plain') response.writeHead(401).end()
    else if (isOld)
      response.writeHead(401, { 'WWW-Authenticate': 'Bearer error="invalid_token"' }).end()
    else response.end('welcome')
  })
  assert.equal((await browser.fetch('/api/plain')).status, 401)
  assert.equal(world.upstream.seen.length, 1)
  assert.equal(provider.requestsTo('/token'), 1)
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, at) => browser.fetch(`/api/${at}`)),
  )
  assert.deepEqual([...new Set(answers.map(({ text }) => text))], ['welcome'])
  assert.equal(provider.requestsTo('/token'), 2)
})

test('no table holds a refresh token, an ID token, or what a refresh brought (ASVS 14.2.4) [T63]', async () => {
  const clock = createClock()
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider, clock })
  const browser = world.browser()
  await browser.login()
  clock.advance(200)
  assert.equal((await browser.fetch('/api/x')).status, 200)
  const tables = await world.database.query<{ name: string }>(
    `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'`,
  )
  const dumps: string[] = []
  for (const { name } of tables) {
    const [dump] = await world.database.query<{ text: string }>(
      `SELECT coalesce(string_agg(t::text, E'\\n'), '') AS text FROM "${name}" AS t`,
    )
    dumps.push(dump?.text ?? '')
  }
  const { logoutUrl } = (await browser.logout()).json<LoggedOut>()
  const idToken = new URL(logoutUrl).searchParams.get('id_token_hint') ?? ''
  assert.ok(idToken.length > 100)
  const secrets = [idToken, idToken.split('.')[2] ?? '-', provider.clientSecret]
  for (const number of [1, 2])
    secrets.push(`access-token-number-${number}`, `refresh-token-number-${number}`)
  const all = dumps.join('\n')
  assert.ok(all.includes('ada')) // it is a dump of what there is
  for (const secret of secrets) {
    for (const encoding of ['utf8', 'hex', 'base64', 'base64url'] as const) {
      assert.ok(!all.includes(Buffer.from(secret).toString(encoding)), `${secret} in ${encoding}`)
    }
  }
})
