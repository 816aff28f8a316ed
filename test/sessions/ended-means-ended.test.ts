import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { test } from 'node:test'
import pg from 'pg'
import type { OwnSessions } from '../../shared/contract.ts'
import { hashSessionId } from '../../server/sessions/session.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { startLink } from '../support/faults.ts'
import { startGate, startGateProcesses } from '../support/gate.ts'
import { startScriptedProvider } from '../support/scripted-provider.ts'
import { until } from '../support/until.ts'

/** The first `ended` event of a stream. */
async function endOf(events: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of events) text += String(chunk)
  return /event: ended\ndata: (.*)\n/.exec(text)?.[1] ?? `no end in ${text}`
}

test('what ends a session in one process ends it in the other within half a second: requests, events, sockets [T95,T108]', async (t) => {
  await using provider = await startScriptedProvider()
  await using world = await startGateProcesses(2, {
    provider,
    environment: { SESSION_IDLE_TIMEOUT: '3600' },
  })
  const [here = world.appUrl, there = world.appUrl] = world.processes.map(({ url }) => url)

  const ways: [string, string, (browser: ReturnType<typeof world.browser>) => Promise<unknown>][] =
    [
      [
        'logout',
        'logout',
        (browser) => browser.fetch('/auth/logout', { method: 'POST', via: here }),
      ],
      [
        'revocation from another device',
        'revoked',
        async () => {
          const other = world.browser()
          await other.login()
          return other.fetch('/auth/sessions', { method: 'DELETE', via: here })
        },
      ],
      [
        'back-channel logout',
        'backchannel_logout',
        async () => {
          const body = `logout_token=${await provider.logoutToken()}`
          const headers = {
            'content-type': 'application/x-www-form-urlencoded',
            'content-length': String(body.length),
          }
          return world
            .browser()
            .fetch('/auth/backchannel-logout', { method: 'POST', via: here, body, headers })
        },
      ],
      [
        'an expiry that the other process finds',
        'expired',
        async (browser) => {
          await world.database.query(`UPDATE session SET expire = now() - interval '1 second'`)
          return browser.fetch('/api/x', { via: here, headers: { cookie: 'other=1' } })
        },
      ],
    ]
  for (const [what, reason, end] of ways) {
    await t.test(what, async () => {
      provider.sid = `provider-session-of-${what}`
      const browser = world.browser()
      await browser.login()
      assert.equal((await browser.fetch('/api/x', { via: there })).status, 200)
      const events = endOf(await browser.open('/auth/events', { via: there }))
      const socket = await browser.webSocket('/api/ws', { via: there })
      const closed = once(socket, 'close')
      const started = performance.now()
      await end(browser)
      const [code, said] = await closed
      assert.equal(code, 4401)
      assert.equal(String(said), reason)
      assert.deepEqual(JSON.parse(await events), { reason })
      if (reason !== 'expired')
        assert.ok(
          performance.now() - started < 1000,
          'well within a second, the ending itself included',
        )
      assert.equal((await browser.fetch('/api/x', { via: there })).status, 401)
    })
  }
})

test('a person who ends this very session from the list takes its refresh token along, as a logout does (RFC 7009)', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  await browser.login()
  const { sessions } = (await browser.fetch('/auth/sessions')).json<OwnSessions>()
  const path = `/auth/sessions/${sessions[0]?.id}`
  assert.equal((await browser.fetch(path, { method: 'DELETE' })).status, 204)
  await until('it is revoked', () => provider.revoked.includes('refresh-token-number-1'))
})

test('a slow request that began before the logout brings nothing back, and is refused (ASVS 7.4.1) [T52,T98]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  await browser.login()
  const saved = browser.cookieHeader()
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  world.upstream.answer((_request, response) => void released.then(() => response.end('late')))
  const slow = browser.fetch('/api/slow')
  await until('the upstream has it', () => world.upstream.seen.length === 1)
  const loggedOut = await browser.logout()
  assert.equal(loggedOut.headers['clear-site-data'], '"cache"')
  assert.equal((await slow).status, 401)
  release()
  const replay = await world.browser().fetch('/auth/me', { headers: { cookie: saved } })
  assert.equal(replay.status, 401)
  assert.deepEqual(await world.database.query('SELECT sid FROM session'), [])
})

test('a logout clears the site’s cache and answers the same with a session, without, and with a broken cookie [T6,T60]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const shape = async (cookie?: string) => {
    const answer = await world.browser().fetch('/auth/logout', {
      method: 'POST',
      ...(cookie !== undefined && { headers: { cookie } }),
    })
    const { success, logoutUrl } = answer.json<{ success: boolean; logoutUrl: string }>()
    return {
      status: answer.status,
      success,
      at: new URL(logoutUrl).pathname,
      cleared: answer.setCookies.length,
      clear: answer.headers['clear-site-data'],
    }
  }
  const browser = world.browser()
  await browser.login()
  const expected = { status: 200, success: true, at: '/end', cleared: 2, clear: '"cache"' }
  assert.deepEqual(await shape(), expected)
  assert.deepEqual(await shape('sid=broken'), expected)
  const answer = await browser.logout()
  assert.equal(answer.status, 200)
  assert.deepEqual(
    new URL(answer.json<{ logoutUrl: string }>().logoutUrl).searchParams.get(
      'post_logout_redirect_uri',
    ),
    `${world.appUrl}/`,
  )
})

test('while the line to the other processes is cut nothing remembered is believed, and it comes back', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGateProcesses(2, { provider })
  const [here = '', there = ''] = world.processes.map(({ url }) => url)
  const browser = world.browser()
  await browser.login()
  for (let round = 0; round < 3; round += 1) {
    assert.equal((await browser.fetch('/api/x', { via: there })).status, 200)
    await world.database.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%' OR query = 'SELECT 1'`,
    )
  }
  await browser.fetch('/auth/logout', { method: 'POST', via: here })
  assert.equal((await browser.fetch('/api/x', { via: there })).status, 401)
})

test('a database that goes away and comes back logs nobody out (ASVS 16.5.2) [T123]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  await browser.login()
  const kill = () =>
    world.database.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'gatehouse'`,
    )
  const answers: { status: number; setCookies: string[] }[] = []
  for (let round = 0; round < 5; round += 1) {
    await kill()
    answers.push(...(await Promise.all(Array.from({ length: 20 }, () => browser.fetch('/api/x')))))
  }
  for (const { status, setCookies } of answers) {
    assert.ok(status === 200 || status === 503, `answered ${status}`)
    assert.deepEqual(setCookies, [])
  }
  await until('it goes on', async () => (await browser.fetch('/api/x')).status === 200)
})

test('who meets somebody else’s deadlock in the database is told to try again, and then succeeds (contract 6)', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const [browser, second, third] = [world.browser(), world.browser(), world.browser()]
  for (const each of [browser, second, third]) await each.login()
  const endOthers = () => browser.fetch('/auth/sessions', { method: 'DELETE' })
  const waiting = () =>
    world.database.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    )

  const own = browser.cookies.get('sid')?.value ?? ''
  const sid = hashSessionId(/s:([^.]+)/.exec(decodeURIComponent(own))?.[1] ?? '')
  const [low, high] = await world.database.query<{ sid: string }>(
    'SELECT sid FROM session WHERE sid <> $1 ORDER BY sid',
    [sid],
  )
  const other = new pg.Client({ connectionString: world.database.url })
  await other.connect()
  const lock = (row: { sid: string } | undefined) =>
    other.query('SELECT FROM session WHERE sid = $1 FOR UPDATE', [row?.sid])
  await other.query(`SET deadlock_timeout = '1min'`) // the gate's statement is the one to give way
  await other.query('BEGIN')
  await lock(high)
  const first = endOthers()
  await until('the gate waits for us', async () => (await waiting()).length === 1)
  const locked = lock(low)
  assert.equal((await first).status, 503)
  await locked
  await other.query('ROLLBACK')
  await other.end()
  assert.deepEqual((await endOthers()).json(), { ended: 2 })
})

test('a person lists the own sessions and ends them, nobody else’s (ASVS 7.5.2) [T53,T55]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const [phone, laptop] = [world.browser(), world.browser()]
  await phone.login()
  await laptop.login()
  provider.subject = 'grace'
  const grace = world.browser()
  await grace.login()

  const own = async (browser: typeof phone) =>
    (await browser.fetch('/auth/sessions')).json<OwnSessions>().sessions
  const sessions = await own(phone)
  assert.equal(sessions.length, 2)
  assert.equal(sessions.filter(({ current }) => current).length, 1)
  const cookie = decodeURIComponent(phone.cookies.get('sid')?.value ?? '')
  for (const { id } of sessions) assert.ok(!cookie.includes(id))

  const foreign = (await own(grace))[0]?.id ?? ''
  for (const id of [foreign, 'x', '00000000-0000-0000-0000-000000000000', `${foreign}'--`, '%00']) {
    assert.ok(
      [400, 404].includes((await phone.fetch(`/auth/sessions/${id}`, { method: 'DELETE' })).status),
      id,
    )
  }
  assert.equal((await grace.fetch('/auth/me')).status, 200)

  const other = sessions.find(({ current }) => !current)?.id ?? ''
  assert.equal((await phone.fetch(`/auth/sessions/${other}`, { method: 'DELETE' })).status, 204)
  assert.equal((await laptop.fetch('/auth/me')).status, 401)
  assert.equal((await phone.fetch(`/auth/sessions/${other}`, { method: 'DELETE' })).status, 404)

  provider.subject = 'ada'
  await laptop.login()
  assert.deepEqual((await phone.fetch('/auth/sessions', { method: 'DELETE' })).json(), { ended: 1 })
  assert.equal((await laptop.fetch('/auth/me')).status, 401)
  assert.equal((await phone.fetch('/auth/me')).status, 200)
})

test('a token’s end does not end a socket, and a long socket is looked at again [T109,T114]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  await browser.login()
  const socket = await browser.webSocket('/api/ws')
  await world.database.query(
    `UPDATE token SET access_token_expires_at = now() - interval '1 minute'`,
  )
  socket.send('still')
  assert.equal(String((await once(socket, 'message'))[0]), 'still')
  const closed = once(socket, 'close')
  const events = endOf(await browser.open('/auth/events'))
  // Ended where nobody could tell us: by hand, in the database.
  await world.database.query('DELETE FROM session')
  const [code] = await Promise.race([closed, until('it is found out', () => false, 20_000)]).then(
    (result) => (Array.isArray(result) ? result : [0]),
  )
  assert.equal(code, 4401)
  assert.match(await events, /revoked/)
})

test('a late answer to a session that its browser has replaced leaves the new cookies alone', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGateProcesses(2, { provider })
  const there = world.processes[1]?.url ?? ''
  const browser = world.browser()
  await browser.login()
  world.upstream.answer(() => undefined) // it never answers
  const late = browser.fetch('/api/slow', { via: there })
  await until('it is under way', () => world.upstream.seen.length === 1)
  await browser.login()
  const { status, setCookies } = await late
  assert.deepEqual([status, setCookies], [401, []])
  assert.equal((await browser.fetch('/auth/me', { via: there })).status, 200)
})

/** The gate's line to its database, which can be cut; the test's own goes past it. */
async function startLinkTo(database: TestDatabase) {
  const url = new URL(database.url)
  const port = Number(url.port)
  const link = await startLink(() => port)
  url.port = String(link.port)
  return { ...link, environment: { DATABASE_URL: url.href } }
}

test('an end whose answer is lost on the way from the database is heard of all the same', async () => {
  await using provider = await startScriptedProvider()
  await using database = await createDatabase()
  await using link = await startLinkTo(database)
  await using world = await startGate({ provider, database, environment: link.environment })
  const browser = world.browser()
  await browser.login()
  const before = browser.cookieHeader()
  assert.equal((await browser.fetch('/api/x')).status, 200)
  const events = await browser.open('/auth/events')

  const other = new pg.Client({ connectionString: database.url })
  await other.connect()
  await other.query('BEGIN')
  await other.query('SELECT FROM session FOR UPDATE')
  const out = browser.logout()
  await until('the end waits for us', async () => {
    const waiting = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
    return (await database.query(waiting)).length === 1
  })
  link.silenceAllBut('SELECT 1') // what the listening connection says all the time
  await other.query('ROLLBACK')
  await other.end()
  assert.equal(JSON.parse(await endOf(events)).reason, 'logout')
  assert.equal((await out).status, 503)
  link.restore()
  assert.equal((await browser.fetch('/api/x', { headers: { cookie: before } })).status, 401)
})

test('what was remembered while the line to the others was cut is not believed when it is back', async () => {
  await using provider = await startScriptedProvider()
  await using database = await createDatabase()
  await using link = await startLinkTo(database)
  await using world = await startGate({ provider, database, environment: link.environment })
  const browser = world.browser()
  await browser.login()
  assert.equal((await browser.fetch('/api/x')).status, 200)
  link.cut()
  await database.query('DELETE FROM session') // another process, whose word nobody here can hear
  const isListening = async () =>
    (await (await fetch(`${world.appUrl}/readyz`)).text()).includes('"notifications":true')
  await until('it is noticed', async () => !(await isListening()))
  link.restore()
  await until('it is back', isListening, 10_000)
  // Neither as a session, nor as a token of one.
  assert.equal((await browser.open('/auth/sessions')).statusCode, 401)
  assert.equal((await browser.fetch('/api/x')).status, 401)
})

test('visitors neither fill the table of security events nor keep others out of it (contract 2)', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const [visitor, browser] = [world.browser(), world.browser()]
  const knock = async (at: number) => {
    const cookie = `sid=${at}`
    const handshake = browser.webSocket('/api/ws', { headers: { cookie, origin: 'null' } })
    await assert.rejects(handshake, { status: 403 })
    await visitor.fetch('/auth/callback?code=1&state=2')
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    await visitor.fetch('/auth/backchannel-logout', {
      method: 'POST',
      headers,
      body: 'logout_token=x',
    })
  }
  await Promise.all(Array.from({ length: 40 }, (_, at) => knock(at)))
  await browser.login()
  const events = () => world.database.query<{ event: string }>('SELECT event FROM security_event')
  await until('the login is stored', async () => (await events()).length > 0)
  assert.deepEqual(
    (await events()).map(({ event }) => event),
    ['login_succeeded'],
  )
})
