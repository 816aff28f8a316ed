import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { WebSocket } from 'ws'
import type { Echo, Items, StreamEvent, Tick, WhoAmI } from '../../shared/example-api.ts'
import { startExampleApi } from '../../server/development/example-api.ts'

/** A provider that has nothing but keys, and tokens of it with any claim. */
async function startKeys() {
  const { publicKey, privateKey } = await generateKeyPair('RS256')
  const key = { ...(await exportJWK(publicKey)), kid: 'one', alg: 'RS256', use: 'sig' }
  let isDown = false
  const server = createServer((request, response) => {
    if (isDown) return void request.socket.destroy()
    const isMetadata = request.url === '/.well-known/openid-configuration'
    response.end(
      JSON.stringify(isMetadata ? { issuer, jwks_uri: `${issuer}/jwks` } : { keys: [key] }),
    )
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const issuer = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
  const now = Math.floor(Date.now() / 1000)
  const sign = (claims: Record<string, unknown> = {}, typ = 'at+jwt', signingKey = privateKey) =>
    new SignJWT({
      iss: issuer,
      aud: 'urn:test:api',
      sub: 'ada',
      client_id: 'the-client',
      iat: now,
      exp: now + 60,
      jti: 'one',
      ...claims,
    })
      .setProtectedHeader({ alg: 'RS256', kid: 'one', typ })
      .sign(signingKey)
  return {
    issuer,
    sign,
    setDown: (value: boolean) => {
      isDown = value
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

const startApi = (issuer: string) =>
  startExampleApi({ issuer, audience: 'urn:test:api', clientId: 'the-client' })

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })

/** What the handshake is answered with, and its challenge. */
async function shakeHands(url: string, token?: string) {
  const socket = new WebSocket(url.replace('http', 'ws'), token === undefined ? {} : bearer(token))
  const refused = once(socket, 'unexpected-response').then(([, { statusCode, headers }]) => {
    socket.on('error', () => undefined) // it is being ended before it was open
    socket.terminate()
    return { status: Number(statusCode), challenge: String(headers['www-authenticate'] ?? '') }
  })
  const opened = once(socket, 'open').then(() => {
    socket.terminate()
    return { status: 101, challenge: '' }
  })
  return Promise.race([refused, opened])
}

test('each token is checked as RFC 9068 §4 says, at a request and at the handshake', async () => {
  await using keys = await startKeys()
  await using api = await startApi(keys.issuer)
  const { privateKey: foreignKey } = await generateKeyPair('RS256')
  const past = Math.floor(Date.now() / 1000) - 10
  const refused: Record<string, string> = {
    'another issuer': await keys.sign({ iss: 'http://somewhere.example' }),
    'another audience': await keys.sign({ aud: 'urn:other:api' }),
    expired: await keys.sign({ exp: past }),
    'without an end': await keys.sign({ exp: undefined }),
    'an ID token': await keys.sign({}, 'JWT'),
    'another key': await keys.sign({}, 'at+jwt', foreignKey),
    'changed on the way': (await keys.sign()).replace(/.{6}$/, 'AAAAAA'),
    nonsense: 'nonsense',
  }
  for (const [what, token] of Object.entries(refused)) {
    const answer = await fetch(`${api.url}/api/whoami`, bearer(token))
    assert.equal(answer.status, 401, what)
    assert.match(answer.headers.get('www-authenticate') ?? '', /error="invalid_token"/, what)
    const handshake = await shakeHands(`${api.url}/api/ws`, token)
    assert.equal(handshake.status, 401, what)
    assert.match(handshake.challenge, /error="invalid_token"/, what)
  }
  const foreign = await keys.sign({ client_id: 'another-client' })
  assert.equal((await fetch(`${api.url}/api/whoami`, bearer(foreign))).status, 403)
  assert.equal((await shakeHands(`${api.url}/api/ws`, foreign)).status, 403)

  const missing = await fetch(`${api.url}/api/whoami`)
  assert.equal(missing.status, 401)
  assert.equal(missing.headers.get('www-authenticate'), 'Bearer')
  assert.equal((await shakeHands(`${api.url}/api/ws`)).status, 401)
  assert.equal((await shakeHands(`${api.url}/api/other`, await keys.sign())).status, 404)

  const answer = await fetch(`${api.url}/api/whoami`, bearer(await keys.sign()))
  const { sub, claims } = (await answer.json()) as WhoAmI // its own type
  assert.deepEqual([sub, claims['client_id']], ['ada', 'the-client'])
})

test('a provider that is down does not make a good token a bad one', async () => {
  await using keys = await startKeys()
  await using api = await startApi(keys.issuer)
  keys.setDown(true)
  const token = await keys.sign()
  const answer = await fetch(`${api.url}/api/whoami`, bearer(token))
  assert.equal(answer.status, 503)
  assert.equal((await shakeHands(`${api.url}/api/ws`, token)).status, 503)
  keys.setDown(false)
  assert.equal((await fetch(`${api.url}/api/whoami`, bearer(token))).status, 200)
})

test('items, a streamed echo, server-sent events and a live socket are there to be shown', async () => {
  await using keys = await startKeys()
  await using api = await startApi(keys.issuer)
  const token = await keys.sign()

  const { items } = (await (await fetch(`${api.url}/api/items`, bearer(token))).json()) as Items
  assert.ok(items.length >= 5)
  assert.ok(items.every(({ updatedAt }) => new Date(updatedAt).toISOString() === updatedAt))

  const body = randomBytes(300_000)
  const echoed = await fetch(`${api.url}/api/echo`, { method: 'POST', body, ...bearer(token) })
  assert.deepEqual(await echoed.json(), {
    length: body.length,
    sha256: createHash('sha256').update(body).digest('hex'),
  } satisfies Echo)

  const streamed = await fetch(`${api.url}/api/stream?count=3`, bearer(token))
  assert.match(streamed.headers.get('content-type') ?? '', /^text\/event-stream/)
  const events = (await streamed.text())
    .split('\n\n')
    .filter(Boolean)
    .map((event) => JSON.parse(event.replace('data: ', '')) as StreamEvent)
  assert.deepEqual(
    events.map(({ index, done }) => [index, done]),
    [
      [1, false],
      [2, false],
      [3, true],
    ],
  )

  const socket = new WebSocket(`${api.url.replace('http', 'ws')}/api/ws?rate=50`, bearer(token))
  const messages: string[] = []
  socket.on('message', (data: Buffer) => messages.push(data.toString()))
  await once(socket, 'open')
  socket.send('hello')
  while (messages.length < 4) await once(socket, 'message')
  assert.ok(messages.includes('hello'))
  const ticks = messages.filter((text) => text !== 'hello').map((text) => JSON.parse(text) as Tick)
  assert.ok(ticks.every(({ type, value }) => type === 'tick' && value >= 0 && value <= 100))
  socket.terminate()
})
