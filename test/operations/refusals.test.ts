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
    sessions: { find: nobody, seen: () => undefined, clearEnded: () => [] },
    tokens: { fresh: nobody },
    crossSite: { check: () => undefined },
    csrf: { check: () => undefined },
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

test('a form that does not come is not waited for without end', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const socket = connect(world.port, '127.0.0.1')
  let answer = ''
  socket.on('data', (chunk: Buffer) => {
    answer += chunk.toString()
  })
  socket.write(
    `POST /auth/backchannel-logout HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n\r\nlog`,
  )
  await once(socket, 'close')
  assert.match(answer, /^HTTP\/1\.1 400 /)
})

test('what is no request is answered where it can be, and never in the middle of another answer', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  world.upstream.answer((request, response) => {
    if (request.url === '/api/wait') return
    response.writeHead(200, { 'Content-Length': 300 }).write('first part')
  })
  const browser = world.browser()
  await browser.login()
  const get = (path: string) =>
    `GET ${path} HTTP/1.1\r\nHost: x\r\nCookie: ${browser.cookieHeader()}\r\n\r\n`
  const send = async (...pieces: [string, () => boolean][]) => {
    const socket = connect(world.port, '127.0.0.1')
    let answer = ''
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString()
    })
    socket.on('error', () => {}) // cut is one of the answers
    for (const [bytes, isThere] of pieces) {
      socket.write(bytes)
      await until('it is under way', isThere)
    }
    if (!socket.destroyed) await once(socket, 'close')
    return answer
  }
  const seen = (count: number) => () => world.upstream.seen.length >= count
  assert.match(await send(['garbage\r\n\r\n', () => true]), /^HTTP\/1\.1 400 /)
  const streaming = await send([get('/api/len'), seen(1)], ['garbage\r\n\r\n', () => true])
  assert.doesNotMatch(streaming, /bad_request|400/)
  assert.equal(await send([get('/api/wait'), seen(2)], ['garbage\r\n\r\n', () => true]), '')
  // In one packet: the place of the request that can't be answered any more is free at once.
  assert.equal(await send([`${get('/api/wait')}garbage\r\n\r\n`, () => true]), '')

  const upgrade = get('/api/ws').replace(
    '\r\n\r\n',
    `\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nOrigin: ${world.appUrl}\r\n\r\n`,
  )
  assert.doesNotMatch(await send([`${get('/api/wait')}${upgrade}`, () => true]), /101/)
  assert.equal(world.upstream.sockets(), 0)
  await until('who was not answered is logged as gone', () =>
    world.log.some(({ path, status }) => path === '/api/wait' && status === 499),
  )
})
