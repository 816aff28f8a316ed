import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Refreshed } from '../../shared/contract.ts'
import { createClock } from '../support/clock.ts'
import { startGate, startGateProcesses, type World } from '../support/gate.ts'
import { holding } from '../support/provider.ts'
import { until } from '../support/until.ts'

/** Makes every access token of the database expired, as if so much time had passed. */
const expire = (world: Pick<World, 'database'>, secondsAgo = 60) =>
  world.database.query(
    `WITH changed AS (UPDATE token SET access_token_expires_at = now() - $1 * interval '1 second' RETURNING sid)
     SELECT pg_notify('gatehouse', json_build_object('event', 'refreshed', 'sid', sid)::text) FROM changed`,
    [secondsAgo],
  )
const tokensOf = (world: World) =>
  new Set(world.upstream.seen.map(({ headers }) => headers.authorization))

test('a hundred requests, sockets and calls for a fresh token make one token request, and all get its token [T8,T131]', async () => {
  await using world = await startGate({ environment: { WEBSOCKETS_PER_SESSION: '20' } })
  const browser = world.browser()
  await browser.login()
  await browser.fetch('/api/before')
  const before = world.upstream.seen.at(-1)?.headers.authorization
  const asked = world.provider.requestsTo('/token')
  await expire(world)
  world.upstream.seen.length = 0

  const answers = await Promise.all([
    ...Array.from({ length: 100 }, (_, at) =>
      browser.fetch(`/api/${at}`).then(({ status }) => status),
    ),
    ...Array.from({ length: 10 }, () =>
      browser.webSocket('/api/ws').then((socket) => (socket.close(), 200)),
    ),
    ...Array.from({ length: 5 }, () =>
      browser.fetch('/auth/refresh', { method: 'POST' }).then(({ status }) => status),
    ),
  ])
  assert.deepEqual([...new Set(answers)], [200])
  assert.equal(world.provider.requestsTo('/token') - asked, 1)
  const used = tokensOf(world)
  assert.equal(used.size, 1)
  assert.ok(!used.has(before))
})

test('two processes at the moment of expiry make one token request, though a second would end the grant (RFC 9700 §4.14) [T34,T132]', async () => {
  await using world = await startGateProcesses(2)
  const [first, second] = world.processes
  const browser = world.browser()
  await browser.login()
  for (const { url } of world.processes)
    assert.equal((await browser.fetch('/api/warm', { via: url })).status, 200)
  const asked = world.provider.requestsTo('/token')

  for (let round = 1; round <= 3; round += 1) {
    await expire(world)
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, at) =>
        browser.fetch(`/api/${at}`, { via: (at % 2 === 0 ? first : second)?.url ?? '' }),
      ),
    )
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
    assert.equal(world.provider.requestsTo('/token') - asked, round)
  }
})

test('before its end a token is replaced once, and a slow provider is not waited for', async () => {
  const clock = createClock()
  await using world = await startGate({ clock, accessTokenSeconds: 900 })
  const browser = world.browser()
  await browser.login()
  await browser.fetch('/api/before')
  const before = world.upstream.seen.at(-1)?.headers.authorization
  const asked = world.provider.requestsTo('/token')

  clock.advance(700) // 200 s are left, less than REFRESH_BEFORE
  const slow = holding()
  world.provider.failAt('/token', slow.fault)
  const started = performance.now()
  assert.equal((await browser.fetch('/api/meanwhile')).status, 200)
  assert.ok(performance.now() - started < 3000)
  assert.equal(world.upstream.seen.at(-1)?.headers.authorization, before)

  world.provider.failAt('/token', undefined)
  slow.release()
  await until('the new token is used', async () => {
    await browser.fetch('/api/after')
    return world.upstream.seen.at(-1)?.headers.authorization !== before
  })
  assert.equal(world.provider.requestsTo('/token') - asked, 1)
})

test('a browser that leaves does not cut the refresh, and no connection waits for the provider', async () => {
  await using world = await startGate()
  const browser = world.browser()
  await browser.login()
  await expire(world)
  const slow = holding()
  world.provider.failAt('/token', slow.fault)
  const leaving = browser.open('/api/gone').catch((error: unknown) => error)
  await until('the provider is asked', () => slow.held() === 1)
  const busy = await world.database.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'gatehouse' AND state <> 'idle'`,
  )
  assert.equal(busy[0]?.count, 0)

  const [before] = await world.database.query<{ version: number }>('SELECT version FROM token')
  world.provider.failAt('/token', undefined)
  slow.release()
  await leaving
  await until('the new tokens are stored', async () => {
    const [now] = await world.database.query<{ version: number }>('SELECT version FROM token')
    return now?.version === (before?.version ?? 0) + 1
  })
  assert.equal((await browser.fetch('/api/again')).status, 200)
})

test('SIGTERM in a refresh stores the new tokens before the process leaves', async () => {
  await using world = await startGateProcesses(1)
  const browser = world.browser()
  await browser.login()
  await expire(world)
  const slow = holding()
  world.provider.failAt('/token', slow.fault)
  const answer = browser.fetch('/api/last').catch((error: unknown) => error)
  await until('the provider is asked', () => slow.held() === 1)
  const exit = world.processes[0]?.kill('SIGTERM')
  world.provider.failAt('/token', undefined)
  slow.release()
  assert.equal(await exit, 0)
  await answer
  assert.deepEqual(await world.database.query('SELECT version FROM token'), [{ version: 2 }])
})

for (const rotated of [false, true]) {
  test(`a process that is killed ${rotated ? 'after' : 'before'} the provider has rotated leaves a session that ${rotated ? 'ends cleanly' : 'goes on'} [T133]`, async () => {
    await using world = await startGateProcesses(2)
    const [first, second] = world.processes
    const browser = world.browser()
    await browser.login()
    await expire(world)
    const slow = holding()
    let cut = 0
    world.provider.failAt('/token', async (request, response) => {
      if (rotated) {
        // It does its work, and its answer never arrives.
        response.end = ((..._ignored: unknown[]) => {
          cut += 1
          return response
        }) as typeof response.end // the fault itself
        return
      }
      await slow.fault(request, response)
      response.destroy()
    })
    const lost = browser
      .fetch('/api/lost', { via: first?.url ?? '' })
      .catch((error: unknown) => error)
    await until('the provider has the request', () => slow.held() + cut > 0)
    await first?.kill('SIGKILL')
    await lost
    world.provider.failAt('/token', undefined)
    slow.release()

    // The lease of the dead process, when its time is up
    await world.database.query(`UPDATE token SET lease_until = now() - interval '1 second'`)
    const after = await browser.fetch('/api/after', { via: second?.url ?? '' })
    if (rotated) {
      assert.equal(after.status, 401)
      assert.equal(after.json<{ code: string }>().code, 'session_expired')
      assert.deepEqual(await world.database.query('SELECT sid FROM session'), [])
      assert.equal((await browser.fetch('/auth/me', { via: second?.url ?? '' })).status, 401)
    } else {
      assert.equal(after.status, 200)
      assert.deepEqual(await world.database.query('SELECT lease_until FROM token'), [
        { lease_until: null },
      ])
    }
  })
}

test('a refresh answers with the new end', async () => {
  await using world = await startGate()
  const browser = world.browser()
  await browser.login()
  await expire(world)
  const { accessTokenExpiresAt } = (
    await browser.fetch('/auth/refresh', { method: 'POST' })
  ).json<Refreshed>()
  const seconds = (Date.parse(accessTokenExpiresAt) - Date.now()) / 1000
  assert.ok(seconds > 110 && seconds <= 120)
})
