import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { test } from 'node:test'
import { createClock } from '../support/clock.ts'
import { startGate, sessionSecret } from '../support/gate.ts'
import { startScriptedProvider, type Script } from '../support/scripted-provider.ts'
import { until } from '../support/until.ts'

const answer =
  (
    status: number,
    body: string,
    headers: Record<string, string> = {},
  ): NonNullable<Script['refresh']> =>
  (_request, response) =>
    void response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(body)

const harmless: [string, NonNullable<Script['refresh']>][] = [
  ['429', answer(429, '{"error":"slow_down"}')],
  [
    'invalid_client with a challenge',
    answer(401, '{"error":"invalid_client"}', { 'WWW-Authenticate': 'Basic realm="x"' }),
  ],
  ['invalid_client without one', answer(400, '{"error":"invalid_client"}')],
  ['another error', answer(400, '{"error":"invalid_request"}')],
  ['500 with JSON', answer(500, '{"error":"server_error"}')],
  ['503 with HTML', answer(503, '<h1>down</h1>', { 'Content-Type': 'text/html' })],
  ['200 with HTML', answer(200, '<h1>hello</h1>', { 'Content-Type': 'text/html' })],
  ['a redirect', answer(302, '', { Location: 'https://elsewhere.example' })],
  ['half a JSON', answer(200, '{"access_token":')],
  ['a reset', (request: IncomingMessage) => void request.socket.resetAndDestroy()],
]

test('nothing but invalid_grant ends a session (RFC 6749 §5.2) [T57,T123]', async (t) => {
  for (const [what, refresh] of harmless) {
    await t.test(what, async () => {
      const clock = createClock()
      await using provider = await startScriptedProvider({ token: { expires_in: 600 } })
      await using world = await startGate({
        provider,
        clock,
        environment: { REFRESH_BEFORE: '300' },
      })
      const browser = world.browser()
      await browser.login()
      provider.script.refresh = refresh

      clock.advance(400) // near its end, and still valid: nobody notices
      assert.equal((await browser.fetch('/api/x')).status, 200)

      clock.advance(300) // over
      const refused = await browser.fetch('/api/x')
      assert.equal(refused.status, 503)
      assert.equal(refused.json<{ code: string }>().code, 'provider_unavailable')
      assert.ok(Number(refused.headers['retry-after']) > 0)
      assert.deepEqual(refused.setCookies, [])
      assert.equal((await browser.fetch('/auth/me')).status, 200)

      delete provider.script.refresh
      await until(
        'the provider is asked again, and it goes on',
        async () => (await browser.fetch('/api/x')).status === 200,
        10_000,
      )
    })
  }
})

test('invalid_grant ends the session, and its cookie (RFC 9700 §4.14) [T9,T34]', async () => {
  const clock = createClock()
  await using provider = await startScriptedProvider({
    refresh: answer(400, '{"error":"invalid_grant"}'),
  })
  await using world = await startGate({ provider, clock })
  const browser = world.browser()
  await browser.login()
  clock.advance(200)
  const refused = await browser.fetch('/api/x')
  assert.equal(refused.status, 401)
  assert.equal(refused.json<{ code: string }>().code, 'session_expired')
  assert.equal(browser.cookies.size, 0)
  assert.deepEqual(
    await world.database.query('SELECT sid FROM session UNION SELECT sid FROM token'),
    [],
  )
  assert.equal((await browser.fetch('/auth/me')).status, 401)
})

test('a provider that fails is left alone for a while, however many requests come (contract 5)', async () => {
  const clock = createClock()
  await using provider = await startScriptedProvider({ token: { expires_in: 600 } })
  await using world = await startGate({ provider, clock, environment: { REFRESH_BEFORE: '300' } })
  const browser = world.browser()
  await browser.login()
  let asked = 0
  const failing = answer(500, '{"error":"server_error"}')
  provider.script.refresh = (...call) => {
    asked += 1
    return failing(...call)
  }
  clock.advance(400)
  for (let count = 0; count < 30; count += 1)
    assert.equal((await browser.fetch('/api/x')).status, 200)
  // One at once, one a second later, should the thirty take so long; without the pause it would be 30.
  assert.ok(asked >= 1 && asked <= 3, `it was asked ${asked} times`)
})

test('a refreshed ID token of another person ends the session (OpenID Connect Core §12.2)', async () => {
  const clock = createClock()
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider, clock })
  const browser = world.browser()
  await browser.login()
  provider.subject = 'mallory'
  clock.advance(200)
  assert.equal((await browser.fetch('/api/x')).status, 401)
  assert.deepEqual(await world.database.query('SELECT sid FROM session'), [])
  assert.deepEqual(provider.revoked, ['refresh-token-number-2'])
})

test('what a provider may leave out of an answer is not missed', async (t) => {
  const variants: [string, Record<string, unknown>, Record<string, unknown>][] = [
    ['no new refresh token: the old one goes on', {}, { refresh_token: undefined }],
    ['no new ID token', {}, { id_token: undefined }],
    ['no expires_in', { expires_in: undefined }, { expires_in: undefined }],
  ]
  for (const [what, atLogin, atRefresh] of variants) {
    await t.test(what, async () => {
      const clock = createClock()
      await using provider = await startScriptedProvider({ token: atLogin })
      await using world = await startGate({ provider, clock })
      const browser = world.browser()
      await browser.login()
      provider.script.token = atRefresh
      for (let round = 0; round < 2; round += 1) {
        clock.advance(400)
        assert.equal((await browser.fetch('/api/x')).status, 200)
      }
      assert.equal(provider.requestsTo('/token'), 3)
      if (atRefresh['refresh_token'] === undefined && 'refresh_token' in atRefresh) {
        assert.equal(provider.lastToken.get('refresh_token'), 'refresh-token-number-1')
      }
    })
  }
})

test('without any refresh token the session ends with its access token', async () => {
  const clock = createClock()
  await using provider = await startScriptedProvider({ token: { refresh_token: undefined } })
  await using world = await startGate({ provider, clock })
  const browser = world.browser()
  await browser.login()
  clock.advance(100)
  assert.equal((await browser.fetch('/api/x')).status, 200)
  clock.advance(30)
  assert.equal((await browser.fetch('/api/x')).status, 401)
})

test('an answer that is lost on the way is asked for once more, at once', async () => {
  const clock = createClock()
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider, clock })
  const browser = world.browser()
  await browser.login()
  let times = 0
  provider.script.refresh = (request, response) => {
    times += 1
    if (times === 1) request.socket.resetAndDestroy()
    else
      response
        .writeHead(200, { 'Content-Type': 'application/json' })
        .end('{"access_token":"fresh","token_type":"bearer","expires_in":120}')
  }
  clock.advance(200)
  assert.equal((await browser.fetch('/api/x')).status, 200)
  assert.equal(times, 2)
  assert.equal(world.upstream.seen.at(-1)?.headers.authorization, 'Bearer fresh')
})

test('a logout beats the refresh under way: what comes too late is revoked, not stored [T134]', async () => {
  const clock = createClock()
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider, clock })
  const browser = world.browser()
  await browser.login()
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  let asked = false
  provider.script.refresh = async (_request: IncomingMessage, response: ServerResponse) => {
    asked = true
    await released
    response
      .writeHead(200, { 'Content-Type': 'application/json' })
      .end(
        '{"access_token":"late","token_type":"bearer","expires_in":120,"refresh_token":"late-refresh-token"}',
      )
  }
  clock.advance(200)
  const waiting = browser.fetch('/api/x')
  await until('the provider is asked', () => asked)
  assert.equal((await browser.logout()).status, 200)
  release()
  assert.equal((await waiting).status, 401)
  await until('the late token is revoked', () => provider.revoked.includes('late-refresh-token'))
  assert.deepEqual(await world.database.query('SELECT sid FROM token'), [])
})

test('an upstream’s 401 gets one fresh token and one more try, never a loop (RFC 6750 §3.1) [T121]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  await browser.login()
  const refuse = (request: IncomingMessage, response: ServerResponse) => {
    request.resume()
    response.writeHead(401, { 'WWW-Authenticate': 'Bearer error="invalid_token"' }).end()
  }
  world.upstream.answer((request, response) =>
    request.headers.authorization === 'Bearer access-token-number-1'
      ? refuse(request, response)
      : void response.end('welcome'),
  )
  assert.equal((await browser.fetch('/api/x')).text, 'welcome')
  assert.equal(provider.requestsTo('/token'), 2)

  // One that refuses everything is not asked for ever, and does not wear out the provider.
  world.upstream.answer(refuse)
  for (let times = 0; times < 3; times += 1)
    assert.equal((await browser.fetch('/api/x')).status, 401)
  assert.ok(provider.requestsTo('/token') <= 3)
  // A body is gone once sent.
  const before = world.upstream.seen.length
  assert.equal((await browser.fetch('/api/x', { method: 'POST', body: 'once' })).status, 401)
  assert.equal(world.upstream.seen.length - before, 1)
  assert.equal((await browser.fetch('/auth/me')).status, 200)
})

test('secrets rotate under way: the old one opens, the new one seals, an unknown one ends the session cleanly [T135]', async () => {
  const clock = createClock()
  const newer = 'a-newer-session-secret-of-the-tests-0123456789'
  await using provider = await startScriptedProvider()
  await using first = await startGate({ provider })
  const browser = first.browser()
  await browser.login()
  const sealedWith = async () => {
    const [row] = await first.database.query<{ key: string }>(
      `SELECT encode(substring(sealed FROM 2 FOR 4), 'hex') AS key FROM token`,
    )
    return row?.key
  }
  const oldKey = await sealedWith()
  const { database, upstream } = first
  const follow = async (secret: string, work: (via: string) => Promise<void>) => {
    await using next = await startGate({
      provider,
      database,
      upstream,
      clock,
      environment: { SESSION_SECRET: secret, APP_URL: first.appUrl },
    })
    await work(`http://localhost:${next.port}`)
  }

  await follow(`${newer},${sessionSecret}`, async (via) => {
    assert.equal((await browser.fetch('/api/x', { via })).status, 200)
    assert.equal(await sealedWith(), oldKey)
    clock.advance(200)
    assert.equal((await browser.fetch('/api/x', { via })).status, 200)
    assert.notEqual(await sealedWith(), oldKey)
    // The cookie is signed anew, once
    assert.equal((await browser.fetch('/auth/me', { via })).setCookies.length, 2)
    assert.equal((await browser.fetch('/auth/me', { via })).setCookies.length, 0)
  })
  await follow(newer, async (via) => {
    assert.equal((await browser.fetch('/api/x', { via })).status, 200)
    await database.query(
      `UPDATE token SET sealed = set_byte(sealed, 1, (get_byte(sealed, 1) + 1) % 256)`,
    )
    await database.query(
      `SELECT pg_notify('gatehouse', json_build_object('event', 'refreshed', 'sid', sid)::text) FROM token`,
    )
    const gone = await until('it ends', async () => {
      const { status } = await browser.fetch('/api/x', { via })
      return status === 401 && status
    })
    assert.equal(gone, 401)
    assert.deepEqual(await database.query('SELECT sid FROM session'), [])
  })
})

test('sealed tokens do not open in another person’s row [T136]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const ada = world.browser()
  await ada.login()
  provider.subject = 'grace'
  const grace = world.browser()
  await grace.login()
  await world.database.query(
    `UPDATE token SET sealed = other.sealed FROM token AS other WHERE other.sid <> token.sid`,
  )
  await world.database.query(
    `SELECT pg_notify('gatehouse', json_build_object('event', 'refreshed', 'sid', sid)::text) FROM token`,
  )
  for (const browser of [ada, grace]) {
    await until('neither opens', async () => (await browser.fetch('/api/x')).status === 401)
  }
  assert.deepEqual(world.upstream.seen, [])
})

test('a copy of the database holds no id of a cookie and no token (ASVS 14.2.4) [T63]', async () => {
  await using world = await startGate()
  const browser = world.browser()
  await browser.login()
  await browser.fetch('/api/x')
  const accessToken = (world.upstream.seen.at(-1)?.headers.authorization ?? '').replace(
    'Bearer ',
    '',
  )
  const id =
    /s:([^.]+)\./.exec(decodeURIComponent(browser.cookies.get('sid')?.value ?? ''))?.[1] ?? ''
  assert.ok(accessToken.length > 100 && id.length === 43)

  const tables = await world.database.query<{ name: string }>(
    `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'`,
  )
  assert.ok(tables.length >= 5)
  for (const { name } of tables) {
    const [dump] = await world.database.query<{ text: string }>(
      `SELECT coalesce(string_agg(t::text, E'\\n'), '') AS text FROM "${name}" AS t`,
    )
    const hex = (text: string) => Buffer.from(text).toString('hex')
    for (const secret of [id, accessToken, accessToken.split('.')[2] ?? '-']) {
      assert.ok(
        !dump?.text.includes(secret) && !dump?.text.includes(hex(secret)),
        `${name} holds a secret`,
      )
    }
  }
})

test('a provider that is down makes nobody idle, who asks all the time (contract 2, 5) [T51,T123]', async () => {
  const clock = createClock()
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider, clock })
  const browser = world.browser()
  await browser.login()
  provider.script.refresh = (_request, response) => void response.writeHead(503).end()
  for (let minutes = 0; minutes < 70; minutes += 10) {
    clock.advance(600)
    assert.equal((await browser.fetch('/api/x')).status, 503, `after ${minutes} minutes`)
  }
  delete provider.script.refresh
  await until(
    'the provider is asked again',
    async () => (await browser.fetch('/api/x')).status === 200,
  )
})
