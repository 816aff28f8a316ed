import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { startGateProcesses } from '../support/gate.ts'
import { startScriptedProvider } from '../support/scripted-provider.ts'
import { until } from '../support/until.ts'

const expiredCount = 1200 // more than two batches

test('expired sessions end once each, whichever process is at it, and their sockets hear of it (contract 2) [T65]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGateProcesses(2, { provider })
  const [here, there] = world.processes
  const browser = world.browser()
  await browser.login()
  const sockets = await Promise.all(
    [here, there].map((gate) => browser.webSocket('/api/ws', { via: gate?.url ?? '' })),
  )
  const live = world.browser()
  provider.sid = 'another'
  await live.login()

  const closed = sockets.map((socket) => once(socket, 'close'))
  await world.database.query(
    `INSERT INTO session (sid, sess, expire, public_id, issuer, subject, created_at, last_seen_at, user_agent, ip)
     SELECT 'sid-' || at, '{}', now() - interval '1 minute', gen_random_uuid(), 'i', 'nobody', now(), now(), '', ''
     FROM generate_series(1, $1) AS at`,
    [expiredCount],
  )
  await world.database.query(
    `UPDATE session SET expire = now() - interval '1 minute' WHERE provider_sid = 'provider-session-1'`,
  )
  const left = () => world.database.query<{ subject: string }>('SELECT subject FROM session')
  await until('only the live one is left', async () => (await left()).length === 1, 15_000)
  for (const [code, reason] of await Promise.all(closed))
    assert.deepEqual([code, String(reason)], [4401, 'expired'])
  assert.equal((await live.fetch('/api/x')).status, 200)

  const ends = () =>
    world.processes
      .flatMap(({ log }) => log)
      .filter(({ event }) => event === 'session_expired')
      .map(({ session }) => session)
  await until('each end is logged', () => ends().length >= expiredCount + 1)
  assert.equal(ends().length, expiredCount + 1)
  assert.equal(new Set(ends()).size, expiredCount + 1)
})
