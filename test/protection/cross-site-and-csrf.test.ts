import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startGate } from '../support/gate.ts'
import { HandshakeRefused } from '../support/browser.ts'
import { startScriptedProvider } from '../support/scripted-provider.ts'
import type { SeenRequest } from '../support/upstream.ts'

/** The last request that an upstream saw. */
function seenLast(seen: readonly SeenRequest[]): SeenRequest {
  const last = seen.at(-1)
  assert.ok(last)
  return last
}

const codeOf = (answer: { json: <Body>() => Body }) => answer.json<{ code: string }>().code

test('an unsafe request without the session’s own token is refused, and the upstream never sees it (RFC 10017 §6.1.3.3) [T12,T67,T68,T72]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const [browser, other] = [world.browser(), world.browser()]
  await browser.login()
  await other.login()
  const foreign = other.cookies.get('csrf')?.value ?? ''
  const own = browser.cookies.get('csrf')?.value ?? ''
  for (const token of ['', 'x', foreign, own.slice(0, -1), `${own}x`, own.toUpperCase()]) {
    for (const [method, path] of [
      ['POST', '/api/x'],
      ['PUT', '/api/x'],
      ['PATCH', '/api/x'],
      ['DELETE', '/api/x'],
      ['POST', '/auth/refresh'],
      ['POST', '/auth/logout'],
      ['DELETE', '/auth/sessions'],
    ] as const) {
      const answer = await browser.fetch(path, { method, headers: { 'x-csrf-token': token } })
      assert.equal(answer.status, 403, `${method} ${path} with ${token}`)
      assert.equal(codeOf(answer), 'csrf_failed')
    }
  }
  assert.deepEqual(world.upstream.seen, [])
  assert.equal((await browser.fetch('/api/x', { method: 'POST', body: 'x' })).status, 200)
  // Nothing changes by GET
  for (const path of ['/auth/logout', '/auth/refresh'])
    assert.equal((await browser.fetch(path)).status, 404)
  assert.equal((await browser.fetch('/auth/me')).status, 200)
})

test('a request that rides on the cookie from elsewhere is refused, whatever it is [T67,T69,T70,T71]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  await browser.login()
  const evil = [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: `${world.appUrl}.evil.example` },
    { origin: world.appUrl.replace('http:', 'https:') },
    { origin: `${world.appUrl}1` },
    { origin: world.appUrl.toUpperCase() },
    { origin: '' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ]
  for (const headers of evil) {
    for (const path of ['/api/x', '/auth/me', '/auth/sessions', '/auth/events']) {
      const answer = await browser.fetch(path, { headers })
      assert.equal(answer.status, 403, `${path} with ${JSON.stringify(headers)}`)
      assert.equal(codeOf(answer), 'cross_site')
    }
    const post = await browser.fetch('/api/x', {
      method: 'POST',
      body: 'x',
      headers: {
        'content-type': 'text/plain',
        ...headers,
        ...(!('origin' in headers) && { origin: '' }),
      },
    })
    assert.equal(post.status, 403)
  }
  assert.deepEqual(world.upstream.seen, [])
  // Without the cookie there is nothing to ride on; a page navigation is let through.
  const anonymous = await world
    .browser()
    .fetch('/auth/me', { headers: { origin: 'https://evil.example' } })
  assert.equal(anonymous.status, 401)
  assert.equal((await browser.navigate('/')).status, 200)
})

test('an upgrade needs an allowed Origin and a live session before anything reaches the upstream [T105,T106,T107]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  await browser.login()
  const refusal = async (headers: Record<string, string>) =>
    browser.webSocket('/api/ws', { headers }).then(
      () => 0,
      (error: unknown) => (error instanceof HandshakeRefused ? error.status : -1),
    )
  for (const origin of ['https://evil.example', 'null', `${world.appUrl}.evil.example`, '']) {
    assert.equal(await refusal({ origin }), 403, origin)
  }
  assert.equal(await refusal({ cookie: '' }), 401)
  assert.equal(await refusal({ cookie: 'sid=forged' }), 401)
  assert.deepEqual(world.upstream.seen, [])

  const socket = await browser.webSocket('/api/ws')
  const [handshake] = world.upstream.seen.slice() as SeenRequest[] // the assertion above narrowed it to nothing
  assert.match(handshake?.headers.authorization ?? '', /^Bearer access-token-number-/)
  assert.equal(handshake?.headers.cookie, undefined)
  assert.equal(handshake?.headers['sec-websocket-protocol'], undefined)
  socket.close()
})

test('the upstream gets our token in place of the client’s words on who it is [T7,T33,T18,R2,R4]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  await browser.login()
  await browser.fetch('/api/x?access=1', {
    headers: {
      cookie: `${browser.cookieHeader()}; other=kept`,
      authorization: 'Bearer of-the-client',
      'x-forwarded-for': '6.6.6.6',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'https',
      forwarded: 'for=6.6.6.6',
      'x-real-ip': '6.6.6.6',
      x_forwarded_for: '6.6.6.6',
      X_Real_IP: '6.6.6.6',
    },
  })
  const { headers, url } = seenLast(world.upstream.seen)
  assert.equal(headers.authorization, 'Bearer access-token-number-1')
  assert.equal(headers.cookie, 'other=kept')
  assert.ok(!JSON.stringify(headers).includes('6.6.6.6'))
  assert.ok(!JSON.stringify(headers).includes('evil'))
  assert.match(String(headers['x-forwarded-for']), /127\.0\.0\.1|::1/)
  assert.equal(url, '/api/x?access=1') // and no token in it
})

test('the client’s address is believed from as many proxies as we have, and no more [T127]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider, environment: { TRUST_PROXY: '1' } })
  const browser = world.browser()
  await browser.login()
  await browser.fetch('/api/x', { headers: { 'x-forwarded-for': '6.6.6.6, 10.1.1.1' } })
  const line = world.upstream.seen.at(-1)?.headers
  assert.equal(line?.['x-real-ip'], '10.1.1.1')
})

test('CORS is for listed origins alone, with credentials; preflights never reach the upstream [T14,T74]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({
    provider,
    environment: { FRONTEND_ORIGINS: 'https://www.example' },
  })
  const browser = world.browser()
  await browser.login()
  const preflight = (origin: string, path: string) =>
    world.browser().fetch(path, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'x-csrf-token',
        'x-csrf-token': '',
      },
    })
  for (const path of ['/api/x', '/auth/me']) {
    const listed = await preflight('https://www.example', path)
    assert.equal(listed.status, 204)
    assert.equal(listed.headers['access-control-allow-origin'], 'https://www.example')
    assert.equal(listed.headers['access-control-allow-credentials'], 'true')
    for (const origin of ['https://evil.example', 'https://www.example.evil', 'null']) {
      const refused = await preflight(origin, path)
      assert.equal(refused.headers['access-control-allow-origin'], undefined, origin)
    }
    const answer = await browser.fetch(path, { headers: { origin: 'https://www.example' } })
    assert.equal(answer.status, 200)
    assert.equal(answer.headers['access-control-allow-origin'], 'https://www.example')
    assert.equal(answer.headers['vary']?.includes('Origin'), true)
  }
  assert.ok(world.upstream.seen.every(({ method }) => method !== 'OPTIONS'))
})

test('logins are limited for each address, with Retry-After (ASVS 2.4.1) [T130]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const answers = await Promise.all(
    Array.from({ length: 150 }, () =>
      world
        .browser()
        .fetch('/auth/login', { headers: { 'x-forwarded-for': String(Math.random()) } }),
    ),
  )
  const limited = answers.filter(({ status }) => status === 429)
  assert.equal(limited.length, 30)
  assert.equal(codeOf(limited[0] ?? { json: () => ({}) as never }), 'rate_limited') // there are 30
  assert.ok(Number(limited[0]?.headers['retry-after']) > 0)
})
