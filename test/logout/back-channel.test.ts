import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startGate, startGateProcesses, type World } from '../support/gate.ts'
import { startScriptedProvider, type ScriptedProvider } from '../support/scripted-provider.ts'

const form = (fields: string) => ({
  method: 'POST',
  body: fields,
  headers: {
    'content-type': 'application/x-www-form-urlencoded',
    'content-length': String(fields.length),
  },
})
const post = (world: World, token: string, via?: string) =>
  world.browser().fetch('/auth/backchannel-logout', {
    ...form(`logout_token=${token}`),
    ...(via !== undefined && { via }),
  })
const alive = async (world: World) => (await world.database.query('SELECT sid FROM session')).length

async function loggedIn(world: World, provider: ScriptedProvider, subject: string, sid: string) {
  provider.subject = subject
  provider.sid = sid
  const browser = world.browser()
  await browser.login()
  return browser
}

const now = () => Math.floor(Date.now() / 1000)

test('a logout token that fails any check ends nothing (Back-Channel Logout 1.0 §2.6) [T81,T82,T83,T84,T85,T86,T87,T93,T96]', async (t) => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  await loggedIn(world, provider, 'ada', 'one')
  const wrong: [string, Promise<string>][] = [
    ['another issuer', provider.logoutToken({ iss: 'https://evil.example' })],
    ['another audience', provider.logoutToken({ aud: 'another' })],
    ['no audience', provider.logoutToken({ aud: undefined })],
    ['expired', provider.logoutToken({ iat: now() - 300, exp: now() - 60 })],
    ['no exp', provider.logoutToken({ exp: undefined })],
    ['no iat', provider.logoutToken({ iat: undefined })],
    [
      'old, though it says that it lives for ever',
      provider.logoutToken({ iat: now() - 3600, exp: now() + 360_000 }),
    ],
    ['no jti', provider.logoutToken({ jti: undefined })],
    ['a jti that is no text', provider.logoutToken({ jti: 5 })],
    ['no events', provider.logoutToken({ events: undefined })],
    ['another event', provider.logoutToken({ events: { 'urn:other': {} } })],
    [
      'an event that is no object',
      provider.logoutToken({
        events: { 'http://schemas.openid.net/event/backchannel-logout': true },
      }),
    ],
    ['a nonce', provider.logoutToken({ nonce: 'n' })],
    ['neither sub nor sid', provider.logoutToken({ sid: undefined })],
    ['a sid that is no text', provider.logoutToken({ sid: { $ne: '' } })],
    ['no typ', provider.logoutToken({}, { typ: undefined })],
    ['the typ of an ID token', provider.logoutToken({}, { typ: 'JWT' })],
    ['the typ of an access token', provider.logoutToken({}, { typ: 'at+jwt' })],
    ['alg none', provider.logoutToken({}, { alg: 'none' })],
    ['HS256 with the client’s secret', provider.logoutToken({}, { alg: 'HS256' })],
    ['a foreign key', provider.logoutToken({}, {}, true)],
    ['an unknown key id', provider.logoutToken({}, { kid: 'unknown' })],
    ['garbage', Promise.resolve('a.b.c')],
    ['nothing', Promise.resolve('')],
  ]
  for (const [what, token] of wrong) {
    await t.test(what, async () => {
      const answer = await post(world, await token)
      assert.equal(answer.status, 400)
      assert.equal(answer.json<{ error: string }>().error, 'invalid_request')
      assert.equal(answer.headers['cache-control'], 'no-store')
      assert.equal(await alive(world), 1)
    })
  }
  const good = await provider.logoutToken()
  await t.test('doubled', async () => {
    assert.equal(
      (
        await world
          .browser()
          .fetch('/auth/backchannel-logout', form(`logout_token=${good}&logout_token=${good}`))
      ).status,
      400,
    )
  })
  await t.test('as JSON, by GET, in the query', async () => {
    const body = JSON.stringify({ logout_token: good })
    const asJson = {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json', 'content-length': String(body.length) },
    }
    assert.equal((await world.browser().fetch('/auth/backchannel-logout', asJson)).status, 400)
    assert.equal(
      (await world.browser().fetch(`/auth/backchannel-logout?logout_token=${good}`)).status,
      404,
    )
    assert.equal(
      (
        await world
          .browser()
          .fetch(`/auth/backchannel-logout?logout_token=${good}`, { method: 'POST' })
      ).status,
      400,
    )
  })
  assert.equal(await alive(world), 1)
  assert.equal((await post(world, good)).status, 200) // and it was good indeed
  assert.equal(await alive(world), 0)
})

test('a huge body is refused before it is read (hardening) [T97]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const answer = await world
    .browser()
    .fetch('/auth/backchannel-logout', form(`logout_token=${'x'.repeat(200_000)}`))
    .catch(() => ({ status: 400 }))
  assert.equal(answer.status, 400)
})

test('sid ends one session, sub all of that person; a later one and other people stay (§2.4) [T53,T89,T90,T91,R10]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const first = await loggedIn(world, provider, 'ada', 'one')
  const second = await loggedIn(world, provider, 'ada', 'two')
  const third = await loggedIn(world, provider, 'ada', 'three')
  const grace = await loggedIn(world, provider, 'grace', 'four')

  assert.equal(
    (await post(world, await provider.logoutToken({ sid: 'one', sub: 'ada' }))).status,
    200,
  )
  assert.equal((await first.fetch('/auth/me')).status, 401)
  assert.equal((await second.fetch('/auth/me')).status, 200)
  assert.equal(
    (await post(world, await provider.logoutToken({ sid: 'one', sub: 'ada' }))).status,
    200,
  ) // already logged out

  const early = await provider.logoutToken({ sid: undefined, sub: 'ada', iat: now() - 30 })
  assert.equal((await post(world, early)).status, 200)
  assert.equal((await third.fetch('/auth/me')).status, 200) // it began later than that was said

  assert.equal(
    (await post(world, await provider.logoutToken({ sid: undefined, sub: 'ada' }))).status,
    200,
  )
  assert.equal((await second.fetch('/auth/me')).status, 401)
  assert.equal((await third.fetch('/auth/me')).status, 401)
  assert.equal((await grace.fetch('/auth/me')).status, 200)
})

test('a logout token is carried out once, in whichever process it arrives [T88]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGateProcesses(2, { provider })
  const urls = world.processes.map(({ url }) => url)
  const token = await provider.logoutToken({ sid: undefined, sub: 'ada' })
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, at) => post(world, token, urls[at % 2])),
  )
  assert.equal(answers.filter(({ status }) => status === 200).length, 1)
  assert.equal(answers.filter(({ status }) => status === 400).length, 9)
})

test('a logout that failed is 400, and works when it is sent again (§2.8) [T94]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  await loggedIn(world, provider, 'ada', 'one')
  const token = await provider.logoutToken({ sid: 'one' })
  await world.database.query('ALTER TABLE session RENAME TO session_away')
  await world.database.query(
    'CREATE VIEW session AS SELECT * FROM session_away WHERE pg_terminate_backend(pg_backend_pid())',
  )
  assert.equal((await post(world, token)).status, 400)
  await world.database.query('DROP VIEW session')
  await world.database.query('ALTER TABLE session_away RENAME TO session')
  assert.equal((await post(world, token)).status, 200)
  assert.equal(await alive(world), 0)
})

test('a switch lets tokens without the type pass, for providers that send none [T87]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider, environment: { OIDC_LOGOUT_TOKEN_TYPE: 'any' } })
  assert.equal((await post(world, await provider.logoutToken({}, { typ: undefined }))).status, 200)
  assert.equal((await post(world, await provider.logoutToken({}, { typ: 'JWT' }))).status, 200)
  assert.equal((await post(world, await provider.logoutToken({}, { typ: 'at+jwt' }))).status, 400)
})

test('a flood of 10,000 unknown key ids causes few requests for keys, and is refused [R9,T130]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const before = provider.requestsTo('/jwks')
  const signed = await provider.logoutToken()
  const [, claims = '', signature = ''] = signed.split('.')
  const statuses = new Set<number>()
  for (let round = 0; round < 100; round += 1) {
    await Promise.all(
      Array.from({ length: 100 }, async (_, at) => {
        const header = { alg: 'RS256', typ: 'logout+jwt', kid: `unknown-${round}-${at}` }
        const first = Buffer.from(JSON.stringify(header)).toString('base64url')
        statuses.add((await post(world, `${first}.${claims}.${signature}`)).status)
      }),
    )
  }
  const asked = provider.requestsTo('/jwks') - before
  assert.ok(asked <= 3, `${asked} requests`)
  // Each is refused for what it is, and from some number on for being one of so many.
  assert.deepEqual([...statuses].sort(), [400, 429])
})
