import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { sessionSecret, startGate, startGateProcesses } from '../support/gate.ts'
import { answering } from '../support/provider.ts'
import { startScriptedProvider } from '../support/scripted-provider.ts'
import { until } from '../support/until.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

test('readiness says what is missing; liveness does not depend on it (contract 7)', async () => {
  await using world = await startGate()
  const ready = async () => {
    const answer = await fetch(`${world.appUrl}/readyz`)
    return { status: answer.status, ...((await answer.json()) as object) } // as contract 7 says
  }
  assert.deepEqual(await ready(), {
    status: 200,
    ready: true,
    database: true,
    migrations: true,
    provider: true,
    running: true,
    notifications: true,
  })
  await world.database.query(`DELETE FROM migration WHERE name LIKE '0004%'`)
  // What was found is told for a second: whoever asks a thousand times costs no thousand queries.
  assert.deepEqual(
    await until('it is seen', async () => {
      const now = await ready()
      return now.status === 503 && now
    }),
    {
      status: 503,
      ready: false,
      database: true,
      migrations: false,
      provider: true,
      running: true,
      notifications: true,
    },
  )
  assert.equal((await fetch(`${world.appUrl}/healthz`)).status, 200)
})

test('a provider that is down at the start is found when it comes, without a restart', async () => {
  await using world = await startGateProcesses(1)
  const metadata = '/.well-known/openid-configuration'
  let asked = 0
  world.provider.failAt(metadata, (request) => {
    asked += 1
    request.socket.destroy()
  })
  const starting = world.startAnother() // ready when the provider is
  await until('the provider was looked for', () => asked > 0)
  world.provider.failAt(metadata, undefined)
  const late = await starting
  const login = await world.browser().fetch('/auth/login', { via: late.url })
  assert.equal(login.status, 302)
})

test('a login at a provider that is down says so, to a person and to a program (contract 3)', async () => {
  await using world = await startGate()
  world.provider.failAt('/token', answering(503, 'down'))
  const page = await world.browser().login()
  assert.equal(page.url, `${world.appUrl}/login?error=provider_unavailable`)
})

test('metrics are for whoever has the token (ASVS 13.4.5) [T125]', async () => {
  const token = 'a-metrics-token-0123456789'
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider, environment: { METRICS_TOKEN: token } })
  const get = (authorization?: string) =>
    fetch(
      `${world.appUrl}/metrics`,
      authorization === undefined ? {} : { headers: { authorization } },
    )
  for (const wrong of [undefined, `Bearer ${token}x`, 'Bearer ', `Basic ${token}`])
    assert.equal((await get(wrong)).status, 404)
  const text = await (await get(`Bearer ${token}`)).text()
  assert.match(text, /^gatehouse_request_duration_seconds_count/m)
  assert.match(text, /^gatehouse_websockets 0$/m)
  await using without = await startGate({ provider })
  assert.equal(
    (await fetch(`${without.appUrl}/metrics`, { headers: { authorization: 'Bearer ' } })).status,
    404,
  )
})

test('each request is one JSON line in UTC, with its id; nothing in it can be forged or is a secret [T61,T64,T137,T138,T139,T140]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGateProcesses(1, { provider, environment: { LOG_LEVEL: 'debug' } })
  const browser = world.browser()
  await browser.login()
  const given = 'a-request-id-of-the-router-0123456789'
  const answer = await browser.fetch('/api/path?secret=1', { headers: { 'x-request-id': given } })
  assert.equal(answer.headers['x-request-id'], given)
  for (const odd of [
    'short',
    'x'.repeat(201),
    'with spaces in it, and more',
    '<script>alert(1)</script>..',
  ]) {
    const other = await browser.fetch('/api/other', { headers: { 'x-request-id': odd } })
    assert.match(String(other.headers['x-request-id']), /^[0-9a-f-]{36}$/)
  }
  await browser.fetch('/auth/nothing%0a%7b%22level%22:%22error%22%7d', {
    headers: { 'user-agent': 'x\u0009y' },
  })
  await world.browser().fetch('/auth/callback?code=a-secret-code&state=a-secret-state')
  await browser.logout()

  const lines = await until('the lines are written', () => {
    const all = world.processes[0]?.log ?? []
    return all.some(({ event }) => event === 'logout') && all
  })
  const request = lines.find(({ path }) => path === '/api/path')
  assert.equal(request?.['requestId'], given)
  assert.equal(request?.['method'], 'GET')
  assert.equal(request?.['status'], 200)
  assert.match(String(request?.['time']), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  assert.match(String(request?.['session']), /^[A-Za-z0-9_-]{16}$/)
  for (const event of ['login_succeeded', 'login_failed', 'logout']) {
    const line = lines.find((known) => known['event'] === event)
    assert.match(String(line?.['owasp']), /^(authn|session)_/, event)
    if (event === 'login_failed') continue // of a visitor: no row (contract 2)
    const row = await until(
      `${event} is stored`,
      async () =>
        (await world.database.query('SELECT * FROM security_event WHERE event = $1', [event]))[0],
    )
    assert.ok(row)
  }
  const everything =
    JSON.stringify(lines) +
    JSON.stringify(await world.database.query('SELECT * FROM security_event'))
  const cookie = decodeURIComponent(
    /s:([^.]+)/.exec(decodeURIComponent(browser.cookieHeader()))?.[1] ?? 'none',
  )
  for (const secret of [
    'access-token-number',
    'refresh-token-number',
    '.eyJ', // in every JWT
    'a-secret-code',
    'a-secret-state',
    'secret=1',
    sessionSecret,
    provider.clientSecret,
    cookie,
  ]) {
    assert.ok(!everything.includes(secret), secret)
  }
})

test('SIGTERM, twice, finishes what is under way, closes sockets with 1001, and leaves with 0 (contract 7)', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGateProcesses(1, { provider })
  const [gate] = world.processes
  const browser = world.browser()
  await browser.login()
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  world.upstream.answer((request, response) => {
    if (request.url === '/api/slow') void released.then(() => response.end('finished'))
    else response.end('ok')
  })
  const socket = await browser.webSocket('/api/ws')
  const closed = once(socket, 'close')
  const events = await browser.open('/auth/events')
  events.resume()
  const parked = connect(world.port, '127.0.0.1') // a connection that says nothing
  await once(parked, 'connect')
  const slow = browser.fetch('/api/slow')
  await until('it is under way', () => world.upstream.seen.some(({ url }) => url === '/api/slow'))

  const exit = gate?.kill('SIGTERM')
  gate?.child.kill('SIGTERM')
  assert.equal((await closed)[0], 1001)
  release()
  const answer = await slow
  assert.equal(answer.text, 'finished')
  assert.equal(await exit, 0)
  await until('its last line is out', () => gate?.log.some(({ event }) => event === 'stopped'))
  parked.destroy()
  // The session is there for whoever comes next.
  assert.equal((await world.database.query('SELECT sid FROM session')).length, 1)
})

test('every faulty variable is named at once, with exit code 78, and no secret (contract 7) [T1,T126]', () => {
  const run = (environment: Record<string, string>) =>
    spawnSync(process.execPath, ['server/main.ts'], {
      cwd: root,
      encoding: 'utf8',
      env: { PATH: process.env['PATH'] ?? '', NODE_ENV: 'production', ...environment },
    })
  const nothing = run({})
  assert.equal(nothing.status, 78)
  const named = nothing.stderr
    .trim()
    .split('\n')
    .map((line) => line.split(':')[0])
  assert.deepEqual(named.sort(), [
    'API_URL',
    'APP_URL',
    'DATABASE_URL',
    'OIDC_CLIENT_ID',
    'OIDC_CLIENT_SECRET',
    'OIDC_ISSUER',
    'SESSION_SECRET',
  ])
  for (const line of nothing.stderr.trim().split('\n'))
    assert.match(line, /^[A-Z_]+: .+, for example [A-Z_]+=/)

  const odd = run({
    APP_URL: 'http://app.example',
    DATABASE_URL: 'mysql://user:hunter2@host/x',
    SESSION_SECRET: 'hunter2',
    OIDC_ISSUER: 'http://login.example',
    OIDC_CLIENT_ID: 'x',
    OIDC_PRIVATE_KEY: '-----BEGIN PRIVATE KEY-----hunter2',
    UPSTREAMS: '[{"path":"/auth","target":"http://x"}]',
    SESSION_IDLE_TIMEOUT: '-1',
    SESSION_SAMESITE: 'none',
    TRUST_PROXY: 'everyone',
    PORT: '70000',
    LOG_LEVEL: 'loud',
    METRICS_TOKEN: 'short',
  })
  assert.equal(odd.status, 78)
  assert.equal(odd.stderr.trim().split('\n').length, 12)
  assert.doesNotMatch(odd.stderr + odd.stdout, /hunter2/)
})
