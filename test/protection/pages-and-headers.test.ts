import assert from 'node:assert/strict'
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { startGate } from '../support/gate.ts'
import { startScriptedProvider } from '../support/scripted-provider.ts'
import { until } from '../support/until.ts'

test('pages carry a strict CSP and its companions (ASVS 3.4) [T20,T26,T75,T76]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  for (const path of ['/', '/dashboard', '/auth/me', '/auth/callback']) {
    const { headers } = await world.browser().fetch(path, { headers: { accept: 'text/html' } })
    const csp = String(headers['content-security-policy'])
    for (const directive of [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "object-src 'none'",
      "base-uri 'none'",
      "frame-ancestors 'none'",
      `form-action 'self' ${provider.issuer}`,
    ]) {
      assert.ok(csp.split(';').includes(directive), `${path}: ${directive} in ${csp}`)
    }
    assert.doesNotMatch(csp, /unsafe|nonce/)
    assert.equal(headers['x-content-type-options'], 'nosniff')
    assert.equal(headers['referrer-policy'], 'no-referrer')
    assert.equal(headers['cross-origin-opener-policy'], 'same-origin')
    assert.equal(headers['cross-origin-resource-policy'], 'same-origin')
    assert.equal(headers['strict-transport-security'], undefined) // this one is http
    assert.equal(headers['x-powered-by'], undefined)
  }
})

test('a navigation gets index.html, a missing file 404, and nothing else is served (contract 1) [T80,T129]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const get = (path: string, accept = 'text/html', more: Record<string, string> = {}) =>
    world.browser().fetch(path, { headers: { accept, ...more } })
  const index = await get('/any/page?x=1')
  assert.equal(index.status, 200)
  assert.equal(index.headers['cache-control'], 'no-cache')
  assert.match(index.text, /<div id="root">/)
  const script = /src="(\/assets\/[^"]+\.js)"/.exec(index.text)?.[1] ?? ''
  const asset = await get(script, '*/*', { 'accept-encoding': 'br' })
  assert.equal(asset.headers['cache-control'], 'public, max-age=31536000, immutable')
  assert.equal(asset.headers['content-encoding'], 'br')
  assert.match(String(asset.headers['content-type']), /javascript/)
  for (const path of [
    '/assets/missing.js',
    '/assets/missing',
    '/missing.css',
    '/x.html',
    '/.env',
    '/.git/config',
    '/package.json',
    '/assets/../../package.json',
    '/assets/%2e%2e/%2e%2e/package.json',
    '/auth',
    '/auth/nothing',
    '/api',
  ]) {
    const answer = await get(path)
    assert.ok([400, 401, 404].includes(answer.status), `${path}: ${answer.status}`)
    assert.match(String(answer.headers['content-type']), /^application\/json/, path)
    assert.equal(answer.headers['cache-control'], 'no-store')
  }
  assert.equal((await get('/page', 'application/json')).status, 404)
  assert.equal((await world.browser().fetch('/page', { method: 'POST' })).status, 404)
  assert.equal((await world.browser().fetch('/page', { method: 'TRACE' })).status, 404)
})

test('errors are JSON, say nothing of the inside, and are not stored (ASVS 16.5.1) [T59,T79,T124]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider, expectErrors: true })
  const browser = world.browser()
  await browser.login()
  await world.database.query('ALTER TABLE session RENAME COLUMN public_id TO gone') // a bug, as it were
  const answer = await browser.fetch('/auth/sessions')
  assert.equal(answer.status, 500)
  assert.deepEqual(Object.keys(answer.json<object>()), ['error', 'code', 'requestId'])
  assert.equal(answer.json<{ code: string }>().code, 'internal')
  assert.doesNotMatch(answer.text, /column|public_id|select|stack|localhost/i)
  assert.equal(answer.headers['cache-control'], 'no-store')
  assert.match(String(answer.headers['content-type']), /^application\/json/)
  assert.ok(world.log.some(({ level, msg }) => level === 'error' && msg === 'a request failed'))
})

test('returnTo leads to a page of ours, or home (RFC 9700 §4.11) [T21,R7]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({
    provider,
    environment: { FRONTEND_ORIGINS: 'https://www.example' },
  })
  const landing = async (returnTo: string) => {
    const browser = world.browser()
    const begun = await browser.fetch(`/auth/login?returnTo=${encodeURIComponent(returnTo)}`)
    const answer = await fetch(begun.headers.location ?? '', { redirect: 'manual' })
    return (await browser.fetch((answer.headers.get('location') ?? '').slice(world.appUrl.length)))
      .headers.location
  }
  for (const good of ['/', '/a/b?c=d&e=%2F#f', '/a%20b', 'https://www.example/x?y#z'])
    assert.equal(await landing(good), good)
  const evil = [
    '//evil.example',
    '/\\evil.example',
    '\\\\evil.example',
    'https://evil.example',
    'https:evil.example',
    'javascript:alert(1)',
    'data:text/html,x',
    '/%09/evil.example',
    '/\t/evil.example',
    '/\n/evil.example',
    '/%0a/evil.example',
    '/%2f/evil.example',
    '/%2F%2Fevil.example',
    '/%5cevil.example',
    '/%255cevil.example',
    '/%252f/evil.example',
    '/..//evil.example',
    '/.//evil.example',
    '/a/../..//evil.example',
    '/\u000b/evil.example',
    'evil.example',
    '',
    '@evil.example',
    'https://www.example.evil.example/',
    'https://www.example@evil.example/',
    ` //evil.example`,
    `/${'x'.repeat(2000)}`,
  ]
  for (const bad of evil) assert.equal(await landing(bad), '/', JSON.stringify(bad))
})

test('a logout by a plain form is answered with 303 (RFC 9700 §4.12) [T32,T99,T100]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  await browser.login()
  const body = `csrf_token=${browser.cookies.get('csrf')?.value}`
  const answer = await browser.fetch('/auth/logout', {
    method: 'POST',
    body,
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': String(body.length),
      'x-csrf-token': '',
    },
  })
  assert.equal(answer.status, 303) // an empty header does not outweigh the field
  const plain = await browser.open('/auth/logout', { method: 'POST' })
  plain.resume()
  const other = world.browser()
  await other.login()
  const again = await other.fetch('/auth/logout', {
    method: 'POST',
    body: 'x=1',
    headers: { 'content-type': 'application/x-www-form-urlencoded', 'content-length': '3' },
  })
  assert.equal(again.status, 303)
  const to = new URL(again.headers.location ?? '')
  assert.equal(to.origin, provider.issuer)
  assert.equal(to.searchParams.get('post_logout_redirect_uri'), `${world.appUrl}/`)
  assert.equal(to.searchParams.get('client_id'), 'gate-under-test')
  assert.ok(to.searchParams.get('id_token_hint'))
})

test('a logout works without the provider, and without its logout page; the hint can be left out [T101,T102]', async () => {
  await using provider = await startScriptedProvider({
    metadata: { end_session_endpoint: undefined, revocation_endpoint: undefined },
  })
  await using world = await startGate({ provider })
  const browser = world.browser()
  await browser.login()
  assert.equal((await browser.logout()).json<{ logoutUrl: string }>().logoutUrl, `${world.appUrl}/`)

  await using other = await startScriptedProvider()
  await using quiet = await startGate({
    provider: other,
    environment: { OIDC_LOGOUT_HINT: 'false' },
  })
  const person = quiet.browser()
  await person.login()
  const { logoutUrl } = (await person.logout()).json<{ logoutUrl: string }>()
  assert.equal(new URL(logoutUrl).searchParams.has('id_token_hint'), false)
  await until('the refresh token is revoked', () =>
    other.revoked.includes('refresh-token-number-1'),
  )
})

test('no token is in anything that the browser gets, in a whole visit (RFC 10017 §6.1) [T3,T4,T27]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  assert.deepEqual((await browser.fetch('/auth/me')).json(), { authenticated: false })
  const answers = [await browser.login()]
  for (const path of ['/auth/me', '/auth/sessions', '/', '/auth/login'])
    answers.push(await browser.fetch(path))
  answers.push(await browser.fetch('/auth/refresh', { method: 'POST' }))
  world.upstream.answer((_request, response) => void response.end('the API’s own words'))
  answers.push(await browser.fetch('/api/x'))
  const everything = JSON.stringify(
    answers.map(({ headers, setCookies, text, url }) => [headers, setCookies, text, url]),
  )
  assert.doesNotMatch(everything, /access-token-number|refresh-token-number|eyJ[\w-]+\./)
})

test('a file that can’t be read costs its request alone, and odd ranges get the whole', async (t) => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  const whole = await browser.fetch('/favicon.svg')
  for (const range of ['bytes=10-5', 'bytes=-5', 'bytes=0-3', 'lines=1']) {
    const answer = await browser.fetch('/favicon.svg', { headers: { range } })
    assert.deepEqual([answer.status, answer.text], [200, whole.text], range)
  }
  t.mock.method(fs, 'createReadStream', () => {
    const file = new PassThrough()
    setImmediate(() => file.destroy(new Error('EMFILE: too many open files')))
    return file
  })
  syncBuiltinESMExports()
  await assert.rejects(browser.fetch('/favicon.svg'))
  t.mock.restoreAll()
  syncBuiltinESMExports()
  assert.equal((await browser.fetch('/favicon.svg')).text, whole.text)
})
