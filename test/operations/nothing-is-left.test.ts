import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { startGate, type World } from '../support/gate.ts'
import { startScriptedProvider } from '../support/scripted-provider.ts'
import { until } from '../support/until.ts'

const rounds = 4
const mayGrowBytes = 400_000 // to keep the requests of so many rounds would be some 4 MB

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void // what the flag is for

/** Everything that people, machines and networks do to a gate, with each way to end it. */
async function everything(world: World): Promise<void> {
  const browser = world.browser()
  await browser.login()
  const many = (count: number, act: (at: number) => Promise<unknown>) =>
    Promise.all(Array.from({ length: count }, (_, at) => act(at)))
  const handshake = (path: string) =>
    [
      `GET ${path} HTTP/1.1`,
      `Host: ${new URL(world.appUrl).host}`,
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      `Origin: ${world.appUrl}`,
      `Cookie: ${browser.cookieHeader()}`,
      '\r\n',
    ].join('\r\n')

  await many(200, () => browser.fetch('/api/x'))
  await many(50, (at) => browser.fetch('/api/x', { method: 'POST', body: 'x'.repeat(at * 100) }))
  await many(50, () => browser.fetch('/api/../x'))
  await many(20, () => world.browser().fetch('/api/x'))
  await many(10, () => browser.fetch('/auth/me'))
  await many(10, () =>
    browser.fetch('/auth/refresh', { method: 'POST', headers: { origin: 'null' } }),
  )
  await many(20, async () => {
    const answer = await browser.open('/auth/events')
    await once(answer, 'data')
    answer.destroy()
  })
  world.upstream.answer((_request, response) => void response.write('never ends'))
  await many(50, async () => {
    const answer = await browser.open('/api/stream')
    await once(answer, 'data')
    answer.destroy()
  })
  world.upstream.answer((_request, response) => void response.end('an answer'))
  await many(50, async () => {
    const socket = connect(world.port, '127.0.0.1')
    await once(socket, 'connect')
    socket.write(handshake('/api/ws'))
    socket.resetAndDestroy()
  })
  await many(20, async () => {
    const socket = connect(world.port, '127.0.0.1')
    socket.end(handshake('/elsewhere'))
    for await (const _ of socket.resume()) continue
  })
  await many(30, async (at) => {
    const socket = await browser.webSocket('/api/ws')
    socket.send('hello')
    await once(socket, 'message')
    const closed = once(socket, 'close')
    if (at % 3 === 0) socket.close()
    else if (at % 3 === 1) socket.terminate()
    else {
      // These are still there at the logout.
      return
    }
    await closed
  })
  await browser.logout()
  await until('its sockets have gone', () => world.upstream.sockets() === 0)
}

test('after all kinds of use memory and open connections are back where they began', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider, environment: { WEBSOCKETS_PER_SESSION: '1000' } })
  const use = async () => {
    for (let at = 0; at < rounds; at += 1) await everything(world)
    world.log.length = 0
    world.upstream.seen.length = 0
    provider.revoked.length = 0
    await until(
      'no connection is open but those to the database',
      () => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length < 10,
      15_000,
    )
    collect()
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
  // What is kept by mistake grows each time alike; caches and compiled code do so at first alone.
  const sizes = [await use()]
  const growth = () => (sizes.at(-1) ?? 0) - (sizes.at(-2) ?? 0)
  do sizes.push(await use())
  while (growth() > mayGrowBytes && sizes.length < 6)
  assert.ok(growth() <= mayGrowBytes, `it grows and grows: ${sizes.join(', ')} bytes`)
})
