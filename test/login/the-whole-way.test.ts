import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import type { LoggedOut, Me } from '../../shared/contract.ts'
import { startGate } from '../support/gate.ts'
import { HandshakeRefused } from '../support/browser.ts'
import { until } from '../support/until.ts'

test('a person logs in, calls the API, opens a WebSocket and logs out', async () => {
  await using world = await startGate()
  const browser = world.browser()

  assert.equal((await browser.fetch('/auth/me')).status, 401)
  const page = await browser.login('ada', '/dashboard?tab=1#here')
  assert.equal(page.url, `${world.appUrl}/dashboard?tab=1#here`)

  const me = (await browser.fetch('/auth/me')).json<Me>()
  assert.deepEqual(me.user, {
    sub: 'ada',
    name: 'Ada Lovelace',
    email: 'ada@example.com',
    groups: ['staff', 'admins'],
  })
  assert.equal((await browser.fetch('/api/items')).status, 200)
  assert.match(world.upstream.seen.at(-1)?.headers.authorization ?? '', /^Bearer ey/)

  const socket = await browser.webSocket('/api/ws')
  socket.send('hello')
  const [message] = await once(socket, 'message')
  assert.equal(String(message), 'hello')

  const closed = once(socket, 'close')
  const loggedOut = (await browser.logout()).json<LoggedOut>()
  assert.equal(loggedOut.success, true)
  assert.ok(loggedOut.logoutUrl.startsWith(`${world.provider.issuer}/session/end`))
  const [code, reason] = await closed
  assert.equal(code, 4401)
  assert.equal(String(reason), 'logout')
  await until('the upstream has no socket any more', () => world.upstream.sockets() === 0)

  assert.equal((await browser.fetch('/auth/me')).status, 401)
  await assert.rejects(browser.webSocket('/api/ws'), HandshakeRefused)
})
