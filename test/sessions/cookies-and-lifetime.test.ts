import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import type { Me } from '../../shared/contract.ts'
import { createClock } from '../support/clock.ts'
import { createDatabase } from '../support/database.ts'
import { sessionSecret, startGate } from '../support/gate.ts'
import { startScriptedProvider } from '../support/scripted-provider.ts'
import { until } from '../support/until.ts'

const clears = (lines: string[]) =>
  lines.filter((line) => /^(sid|csrf)=;.*Max-Age=0/.test(line)).length === 2

test('a thousand visitors without a login cause no session row and no session cookie (contract 2)', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider, environment: { LOG_LEVEL: 'warn' } })
  for (let round = 0; round < 10; round += 1) {
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, at) =>
        world.browser().fetch(['/', '/auth/me', '/auth/login', '/api/x'][at % 4] ?? '/'),
      ),
    )
    for (const { setCookies } of answers)
      assert.ok(setCookies.every((line) => line.startsWith('login-')))
  }
  for (const table of ['session', 'token', 'security_event']) {
    assert.deepEqual(await world.database.query(`SELECT * FROM ${table}`), [])
  }
})

test('each login gives a new id of 256 random bits, and ends the session before it (ASVS 7.2.3, 7.2.4) [T46,T48,R6]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  const ids = new Set<string>()
  let old = ''
  for (let round = 0; round < 3; round += 1) {
    await browser.login()
    const value = decodeURIComponent(browser.cookies.get('sid')?.value ?? '')
    assert.match(value, /^s:[A-Za-z0-9_-]{43}\./)
    ids.add(value)
    if (old !== '') {
      const replay = await world.browser().fetch('/auth/me', { headers: { cookie: `sid=${old}` } })
      assert.equal(replay.status, 401)
      assert.deepEqual(replay.setCookies, []) // it may come late, and would clear the new one
    }
    old = value
    assert.equal((await world.database.query('SELECT sid FROM session')).length, 1)
  }
  assert.equal(ids.size, 3)
})

test('an unknown, forged, doubled, huge or garbled session cookie is cleared, and never an error or a session (contract 2) [T47,R8]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  await browser.login()
  const good = browser.cookies.get('sid')?.value ?? ''
  const sign = (id: string, secret: string) =>
    `s:${id}.${createHmac('sha256', secret).update(id).digest('base64').replace(/=+$/, '')}`
  const id = 'A'.repeat(43)
  const bad = [
    `sid=${sign(id, sessionSecret)}`, // well signed, and nobody's
    `sid=${sign(id, 'another-secret-0123456789abcdefghijkl')}`,
    `sid=${good.slice(0, -2)}xx`,
    `sid=${good}; sid=${good}`,
    `sid=${good}; sid=evil`,
    `sid=${'x'.repeat(8000)}`,
    'sid=%E0%A4%A',
    'sid=s%3A',
    'sid=',
    'sid="quoted"',
    `sid=${good}\u00ff`,
  ]
  for (const cookie of bad) {
    for (const path of ['/auth/me', '/api/x', '/auth/sessions']) {
      const answer = await world.browser().fetch(path, { headers: { cookie } })
      assert.equal(answer.status, 401, `${path} with ${cookie.slice(0, 80)}`)
      assert.ok(
        clears(answer.setCookies),
        `${path} with ${cookie.slice(0, 80)}: ${answer.setCookies.join()}`,
      )
    }
    assert.equal(
      (await world.browser().fetch('/', { headers: { cookie, accept: 'text/html' } })).status,
      200,
    )
  }
  assert.equal((await browser.fetch('/auth/me')).status, 200)
  assert.deepEqual(world.upstream.seen, [])
  // "there was one" is told apart from "there is none"
  const expired = await world.browser().fetch('/api/x', { headers: { cookie: bad[0] ?? '' } })
  assert.equal(expired.json<{ code: string }>().code, 'session_expired')
  const unknown = await world.browser().fetch('/api/x', { headers: { cookie: bad[1] ?? '' } })
  assert.equal(unknown.json<{ code: string }>().code, 'unauthenticated')
})

test('cookies carry their attributes, stay small, and are not on proxied answers (RFC 10017 §6.1.3.2) [T10,T61,T62,T66]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  const begun = await browser.fetch('/auth/login')
  assert.match(
    begun.setCookies[0] ?? '',
    /^login-[A-Za-z0-9_-]{16}=[A-Za-z0-9_-]+; Max-Age=600; Path=\/; HttpOnly; SameSite=Lax$/,
  )
  const answer = await fetch(begun.headers.location ?? '', { redirect: 'manual' })
  const done = await browser.fetch(
    (answer.headers.get('location') ?? '').slice(world.appUrl.length),
  )
  const [cleared = '', sid = '', csrf = ''] = done.setCookies
  assert.match(cleared, /^login-[A-Za-z0-9_-]{16}=; Max-Age=0; Path=\/; HttpOnly; SameSite=Lax$/)
  assert.match(sid, /^sid=[^;]+; Max-Age=86400; Path=\/; HttpOnly; SameSite=Strict$/)
  assert.match(csrf, /^csrf=[^;]+; Max-Age=86400; Path=\/; SameSite=Strict$/)
  for (const line of [...begun.setCookies, ...done.setCookies]) assert.ok(line.length < 4096)
  assert.deepEqual((await browser.fetch('/api/x')).setCookies, [])
  assert.deepEqual((await browser.fetch('/auth/me')).setCookies, [])
})

test('with https every cookie is Secure and has its prefix, whatever the request looks like [T10,T66,T73]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({
    provider,
    environment: { APP_URL: 'https://app.example', TRUST_PROXY: '0' },
  })
  const begun = await world.browser().fetch('/auth/login')
  assert.match(
    begun.setCookies[0] ?? '',
    /^__Host-Http-login-[^;]+; Max-Age=600; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
  )
  assert.equal(
    new URL(begun.headers.location ?? '').searchParams.get('redirect_uri'),
    'https://app.example/auth/callback',
  )
  const dead = await world.browser().fetch('/auth/me', { headers: { cookie: '__Host-Http-sid=x' } })
  assert.deepEqual(dead.setCookies, [
    '__Host-Http-sid=; Max-Age=0; Path=/; HttpOnly; Secure; SameSite=Strict',
    '__Host-csrf=; Max-Age=0; Path=/; Secure; SameSite=Strict',
  ])
  assert.match(
    String(dead.headers['strict-transport-security']),
    /^max-age=31536000; includeSubDomains$/,
  )
})

test('five logins at most are in progress; the oldest makes room (contract 2)', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  for (let times = 0; times < 8; times += 1) await browser.fetch(`/auth/login?returnTo=/${times}`)
  assert.equal([...browser.cookies.keys()].filter((name) => name.startsWith('login-')).length, 5)
})

test('a login in progress is over after ten minutes', async () => {
  const clock = createClock()
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider, clock })
  const browser = world.browser()
  const begun = await browser.fetch('/auth/login')
  const answer = await fetch(begun.headers.location ?? '', { redirect: 'manual' })
  clock.advance(601)
  const late = await browser.fetch(
    (answer.headers.get('location') ?? '').slice(world.appUrl.length),
  )
  assert.equal(late.headers.location, '/login?error=invalid_state')
})

test('the idle timeout ends a session that nobody uses (ASVS 7.3.1) [T49,T65]', async () => {
  const clock = createClock()
  await using provider = await startScriptedProvider({ token: { expires_in: 100_000 } })
  await using world = await startGate({ provider, clock })
  const browser = world.browser()
  await browser.login()
  clock.advance(3599)
  assert.equal((await browser.fetch('/auth/me')).status, 200)
  clock.advance(2)
  const ended = await browser.fetch('/auth/me')
  assert.equal(ended.status, 401)
  assert.ok(clears(ended.setCookies))
  assert.deepEqual(await world.database.query('SELECT sid FROM session'), [])
})

test('the absolute timeout ends a session that is used all the time (ASVS 7.3.2) [T50]', async () => {
  const clock = createClock()
  await using provider = await startScriptedProvider({ token: { expires_in: 1_000_000 } })
  await using world = await startGate({ provider, clock })
  const browser = world.browser()
  await browser.login()
  const { session } = (await browser.fetch('/auth/me')).json<Me>()
  assert.equal((Date.parse(session.expiresAt) - Date.parse(session.createdAt)) / 1000, 86_400)
  for (let quarters = 0; quarters < 95; quarters += 1) {
    clock.advance(900)
    assert.equal((await browser.fetch('/api/x')).status, 200, `after ${quarters / 4} hours`)
  }
  clock.advance(899)
  assert.equal((await browser.fetch('/api/x')).status, 200)
  clock.advance(2)
  assert.equal((await browser.fetch('/api/x')).status, 401)
})

test('requests, handshakes and a refresh are activity; polls, events and what a socket carries are not (contract 2) [T51]', async () => {
  const clock = createClock()
  await using provider = await startScriptedProvider({ token: { expires_in: 1_000_000 } })
  await using world = await startGate({ provider, clock })
  const browser = world.browser()
  await browser.login()
  const idleEnd = async () =>
    Date.parse((await browser.fetch('/auth/me')).json<Me>().session.idleExpiresAt)
  const active: Record<string, () => Promise<unknown>> = {
    'a proxied request': () => browser.fetch('/api/x'),
    'a handshake': () => browser.webSocket('/api/ws'),
    'a refresh': () => browser.fetch('/auth/refresh', { method: 'POST' }),
  }
  for (const [what, act] of Object.entries(active)) {
    const before = await idleEnd()
    clock.advance(600)
    await act()
    assert.ok((await idleEnd()) - before > 590_000, what)
  }
  const socket = await browser.webSocket('/api/ws')
  const before = await idleEnd()
  clock.advance(600)
  await browser.fetch('/auth/me')
  await browser.fetch('/auth/sessions')
  socket.send('still here')
  const events = await browser.open('/auth/events')
  assert.equal(await idleEnd(), before)
  events.destroy()
})

test('activity is written at most once a minute for a session, and never lost', async () => {
  const clock = createClock()
  await using provider = await startScriptedProvider({ token: { expires_in: 100_000 } })
  await using world = await startGate({ provider, clock })
  const browser = world.browser()
  await browser.login()
  const written = async () => {
    const [row] = await world.database.query<{ at: Date }>('SELECT last_seen_at AS at FROM session')
    return row?.at.getTime() ?? 0
  }
  const atLogin = await written()
  await Promise.all(Array.from({ length: 100 }, () => browser.fetch('/api/x')))
  assert.equal(await written(), atLogin)
  clock.advance(61)
  await browser.fetch('/api/x')
  await until(
    'the first after a minute is written',
    async () => (await written()) - atLogin > 60_000,
  )
})

test('who was seen last is written within the next gap, at the end of a process, and when the database is back', async () => {
  await using provider = await startScriptedProvider()
  await using database = await createDatabase()
  const written = async () => {
    const [row] = await database.query<{ at: Date }>('SELECT last_seen_at AS at FROM session')
    return row?.at.getTime() ?? 0
  }
  const environment = { SESSION_IDLE_TIMEOUT: '8' } // so the gap is 2 s
  const browser = await (async () => {
    await using world = await startGate({ provider, database, environment })
    const first = world.browser()
    await first.login()
    const atLogin = await written()
    await first.fetch('/api/x')
    assert.equal(await written(), atLogin)
    await until('it is written without another request', async () => (await written()) > atLogin)

    await database.query(
      `CREATE FUNCTION fail() RETURNS trigger AS $$ BEGIN RAISE 'away' USING ERRCODE = '57P03'; END $$ LANGUAGE plpgsql`,
    )
    await database.query('CREATE TRIGGER fail BEFORE UPDATE ON session EXECUTE FUNCTION fail()')
    await until('the next gap is over', async () => {
      await first.fetch('/api/x')
      return world.log.some(({ msg }) => msg.startsWith('activity of sessions was not written'))
    })
    await database.query('DROP TRIGGER fail ON session')
    const before = await written()
    await until('it is written in the next round', async () => (await written()) > before)
    await first.fetch('/api/x')
    return { first, before: await written() }
  })()
  assert.ok((await written()) > browser.before)
})

test('the time zone of the database makes no difference', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  await browser.login()
  await world.database.query(
    `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_database(), 'Asia/Tokyo'); END $$`,
  )
  await world.database.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
  )
  await until('it is back', async () => (await browser.fetch('/auth/me')).status === 200)
  assert.equal(
    (await browser.fetch('/auth/sessions')).json<{ sessions: unknown[] }>().sessions.length,
    1,
  )
})
