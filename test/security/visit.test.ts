// A whole visit with the real provider, and everything that the browser got in it.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import type { LoggedOut, Me } from '../../shared/contract.ts'
import { startGate } from '../support/gate.ts'
import { until } from '../support/until.ts'

test('in a whole visit no token reaches the browser, neither plain nor encoded; the hint of a logout alone (RFC 10017 §6.1) [T3,T11,T27]', async () => {
  await using world = await startGate({ accessTokenSeconds: 20 })
  const browser = world.browser()
  await browser.login('ada', '/dashboard')

  const events = await browser.open('/auth/events')
  let streamed = ''
  events.on('data', (chunk: Buffer) => {
    streamed += chunk.toString()
  })
  const socket = await browser.webSocket('/api/ws?x=1')
  const frames: string[] = []
  socket.on('message', (data: Buffer) => frames.push(data.toString()))
  world.upstream.answer((_request, response) => void response.end('the words of the API'))
  for (const path of ['/auth/me', '/auth/sessions', '/', '/api/x', '/api/y?z=1', '/auth/login'])
    await browser.fetch(path)
  assert.equal((await browser.fetch('/auth/refresh', { method: 'POST' })).status, 200)
  assert.equal((await browser.fetch('/auth/callback?code=x&state=y')).status, 302)
  assert.equal((await browser.fetch('/api/x', { method: 'POST', body: '1' })).status, 200)
  socket.send('hello')
  await until('the echo is here', () => frames.length > 0)

  // What reached the upstream are the tokens to look for; those at rest do not open without the cookie.
  const tokens = new Set(
    world.upstream.seen.map(({ headers }) => (headers.authorization ?? '').slice('Bearer '.length)),
  )
  assert.ok(tokens.size > 0 && !tokens.has(''))
  const closed = once(socket, 'close')
  const loggedOut = await browser.logout()
  await closed
  const { logoutUrl } = loggedOut.json<LoggedOut>()
  assert.match(new URL(logoutUrl).searchParams.get('id_token_hint') ?? '', /^eyJ/)

  const got = browser.answers
    .filter((answer) => answer !== loggedOut)
    .map(({ headers, setCookies, text, url }) => [headers, setCookies, text, url])
  const everything = decodeURIComponent(
    JSON.stringify([got, frames, streamed, loggedOut.headers]).replaceAll('%', '%25'),
  )
  for (const token of tokens) {
    assert.ok(!everything.includes(token))
    for (const encoding of ['base64', 'base64url', 'hex'] as const)
      assert.ok(!everything.includes(Buffer.from(token).toString(encoding).slice(4, 60)))
  }
  assert.doesNotMatch(everything, /eyJ[\w-]+\.eyJ/) // a JWT of any kind
  assert.doesNotMatch(everything, /access_token|refresh_token|id_token/)
  for (const { url } of world.upstream.seen) assert.doesNotMatch(url, /eyJ|token/)
})

test('who is logged in is asked without a redirect, by anyone, and no API navigates (RFC 10017 §6.1.2.1) [T4]', async () => {
  await using world = await startGate()
  const anonymous = await world.browser().fetch('/auth/me', { headers: { accept: 'text/html' } })
  assert.equal(anonymous.status, 401)
  assert.deepEqual(anonymous.json(), { authenticated: false })
  const api = await world.browser().fetch('/api/x', { headers: { accept: 'text/html' } })
  assert.equal(api.status, 401)
  assert.equal(api.headers.location, undefined)

  const browser = world.browser()
  await browser.login('grace')
  const me = (await browser.fetch('/auth/me')).json<Me>()
  assert.equal(me.authenticated, true)
  assert.deepEqual(me.user.groups, ['staff'])
  assert.equal(me.csrfToken, browser.cookies.get('csrf')?.value)
  for (const at of Object.values(me.session)) assert.match(at, /^\d{4}-\d\d-\d\dT.*Z$/)
})
