import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { test } from 'node:test'
import { createAdmission } from '../../server/proxy/admission.ts'
import { createUpstreamTable } from '../../server/proxy/upstreams.ts'
import { HandshakeRefused } from '../support/browser.ts'
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
  // Keeps the process busy; that it is finished is the test of SIGTERM's to show.
  const slow = browser.fetch('/api/slow').catch((error: unknown) => error)
  await until('it is under way', () => world.upstream.seen.length === 1)
  const waiting = connect(world.port, '127.0.0.1') // is in before the door closes
  await once(waiting, 'connect')
  waiting.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(waiting, 'data')
  const exit = world.processes[0]?.kill('SIGTERM')
  const socket = await browser.webSocket('/api/ws').catch((error: unknown) => error)
  // Either the door is closed, or whoever answers says why.
  if (socket instanceof HandshakeRefused) assert.equal(codeOf(socket.body), 'shutting_down')
  else assert.ok(socket instanceof Error)
  release()
  await slow
  assert.equal(await exit, 0)
  waiting.destroy()
})

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
