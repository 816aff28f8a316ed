import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { test } from 'node:test'
import { createAdmission } from '../../server/proxy/admission.ts'
import { createUpstreamTable } from '../../server/proxy/upstreams.ts'
import { startGate, startGateProcesses } from '../support/gate.ts'
import { startScriptedProvider } from '../support/scripted-provider.ts'
import { until } from '../support/until.ts'

const codeOf = (text: string) => /"code":"([a-z_]+)"/.exec(text)?.[1]

test('headers and forms that are too large are refused as JSON (contract 6) [T62]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const socket = connect(world.port, '127.0.0.1')
  socket.end(`GET / HTTP/1.1\r\nHost: x\r\nCookie: ${'x'.repeat(20_000)}\r\n\r\n`)
  let text = ''
  for await (const chunk of socket) text += String(chunk)
  assert.match(text, /^HTTP\/1\.1 431 /)
  assert.equal(codeOf(text), 'too_large')

  const garbled = connect(world.port, '127.0.0.1')
  garbled.end('GET / HTTP/1.1\r\nno header\r\n\r\n')
  text = ''
  for await (const chunk of garbled) text += String(chunk)
  assert.match(text, /^HTTP\/1\.1 400 /)
  assert.equal(codeOf(text), 'bad_request')
})

test('each upstream has its methods, anything else is 405; TRACE is nobody’s [T17,T117]', async () => {
  await using provider = await startScriptedProvider()
  await using other = await startGate({ provider })
  const table = [{ path: '/read', target: other.upstream.url, methods: ['GET'] }]
  await using world = await startGate({
    provider,
    environment: { UPSTREAMS: JSON.stringify(table) },
  })
  const browser = world.browser()
  await browser.login()
  const refused = await browser.fetch('/read/x', { method: 'POST' })
  assert.equal(refused.status, 405)
  assert.equal(codeOf(refused.text), 'method_not_allowed')
  assert.equal(refused.headers.allow, 'GET')
  assert.equal((await browser.fetch('/read/x', { method: 'TRACE' })).status, 405)
  assert.equal((await browser.fetch('/read/x')).status, 200)
})

test('a handshake at a process that is leaving is told so (contract 6)', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGateProcesses(1, { provider })
  const browser = world.browser()
  await browser.login()
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  world.upstream.answer((_request, response) => void released.then(() => response.end()))
  const slow = browser.fetch('/api/slow') // keeps the process busy
  await until('it is under way', () => world.upstream.seen.length === 1)
  const other = connect(world.port, '127.0.0.1')
  await once(other, 'connect')
  other.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(other, 'data')
  other.write('GET /api/ws HTTP/1.1\r\n') // half a head: it is in before the door closes
  const exit = world.processes[0]?.kill('SIGTERM')
  await until('the door is closed', () => isRefused(world.port))
  const lines = [
    `Host: ${new URL(world.appUrl).host}`,
    `Origin: ${world.appUrl}`,
    `Cookie: ${browser.cookieHeader()}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  ]
  other.write(`${lines.join('\r\n')}\r\n\r\n`)
  let text = ''
  for await (const chunk of other) text += String(chunk)
  assert.match(text, /^HTTP\/1\.1 503 /)
  assert.equal(codeOf(text), 'shutting_down')
  release()
  assert.equal((await slow).status, 200)
  assert.equal(await exit, 0)
})

async function isRefused(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return false
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED'
  } finally {
    socket.destroy()
  }
}

test('an upgrade that is no WebSocket is refused where Node does not do it for us (RFC 9110 §7.8)', async () => {
  const upstream = {
    path: '/api',
    target: new URL('http://x'),
    rewrite: undefined,
    websocket: true,
    auth: 'none',
    bearer: false,
    timeoutMs: 1000,
    methods: undefined,
  } as const
  const nobody = () => Promise.reject(new Error('must not be asked'))
  const admission = createAdmission({
    upstreams: createUpstreamTable([upstream]),
    sessions: { find: nobody, seen: () => undefined },
    tokens: { fresh: nobody },
    crossSite: { check: () => undefined },
    csrf: { check: () => undefined },
    clearCookies: [],
  })
  const request = {
    url: '/api/x',
    method: 'GET',
    httpVersion: '1.1',
    headers: { upgrade: 'h2c', connection: 'Upgrade' },
  } as IncomingMessage // what admission looks at
  const knock = {
    request,
    kind: 'upgrade',
    setCookies: [],
    waitsFor: 'database',
    matched: () => undefined,
    found: () => undefined,
  } as const
  await assert.rejects(admission.admit(knock), { code: 'upgrade_unsupported', status: 501 })
})
