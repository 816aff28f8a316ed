// Whom the gate trusts, how it proves who it is, and how long it waits for anyone.
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:https'
import { createServer as createTcpServer } from 'node:net'
import { test } from 'node:test'
import { importJWK, jwtVerify } from 'jose'
import { selfSignedCertificate, selfSignedKey } from '../support/certificate.ts'
import { startLink } from '../support/faults.ts'
import { startGate } from '../support/gate.ts'
import { holding } from '../support/provider.ts'
import { startScriptedProvider } from '../support/scripted-provider.ts'
import { until } from '../support/until.ts'

const codeOf = (answer: { json: <Body>() => Body }) => answer.json<{ code: string }>().code

/** An HTTPS server whose certificate nobody has vouched for. */
async function startImpostor() {
  let asked = 0
  const server = createServer(
    { key: selfSignedKey, cert: selfSignedCertificate },
    (_, response) => {
      asked += 1
      response.end('{}')
    },
  )
  server.on('tlsClientError', () => undefined) // that is what it is for
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    url: `https://localhost:${typeof address === 'object' && address ? address.port : 0}`,
    asked: () => asked,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

test('an upstream with a certificate that nobody vouches for is 502, and sees no token (ASVS 12.3.2) [T119]', async () => {
  await using provider = await startScriptedProvider()
  await using impostor = await startImpostor()
  await using world = await startGate({ provider, environment: { API_URL: impostor.url } })
  const browser = world.browser()
  await browser.login()
  const answer = await browser.fetch('/api/x')
  assert.equal(answer.status, 502)
  assert.equal(codeOf(answer), 'upstream_unreachable')
  await assert.rejects(browser.webSocket('/api/ws'), { status: 502 })
  assert.equal(impostor.asked(), 0)
})

test('a provider with such a certificate is never believed (ASVS 12.3.1) [T119]', async () => {
  await using impostor = await startImpostor()
  await using world = await startGate({
    environment: { OIDC_ISSUER: impostor.url },
    expectUnready: true,
  })
  await until('it was looked for', () =>
    world.log.some(({ msg }) => /metadata of .* can't be read/.test(msg)),
  )
  const ready = await fetch(`${world.appUrl}/readyz`)
  assert.equal(ready.status, 503)
  const login = await world.browser().fetch('/auth/login', { headers: { accept: 'text/html' } })
  assert.ok([302, 503].includes(login.status))
  assert.doesNotMatch(login.headers.location ?? '', new RegExp(impostor.url))
  assert.equal(impostor.asked(), 0)
})

test('a database that offers no TLS is not talked to in the clear when TLS was asked for [T119]', async () => {
  await using provider = await startScriptedProvider()
  for (const mode of ['verify', 'no-verify']) {
    await using world = await startGate({
      provider,
      environment: { DATABASE_SSL: mode },
      expectUnready: true,
    })
    const ready = await fetch(`${world.appUrl}/readyz`)
    assert.equal(ready.status, 503)
    assert.equal(((await ready.json()) as { database: boolean }).database, false) // as contract 7 says
  }
})

test('a provider that says another issuer than the configured one is not believed (RFC 9700 §2.6) [T31]', async () => {
  for (const change of [
    (issuer: string) => issuer.replace('127.0.0.1', 'localhost'),
    (issuer: string) => `${issuer}/tenant`,
    (issuer: string) => `${issuer}1`,
    (issuer: string) => issuer.replace('http:', 'https:'),
  ]) {
    await using provider = await startScriptedProvider()
    provider.script = { metadata: { issuer: change(provider.issuer) } }
    await using world = await startGate({ provider, expectUnready: true })
    await until('it was looked for', () => world.log.some(({ msg }) => /can't be read/.test(msg)))
    assert.equal((await fetch(`${world.appUrl}/readyz`)).status, 503)
    await world.browser().fetch('/auth/login')
    assert.equal(provider.lastAuthorization.size, 0)
  }
})

test('with a private key the gate proves itself by signing, and sends no secret (RFC 7523 §2.2) [T19]', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' })
  const jwk = JSON.stringify({
    ...privateKey.export({ format: 'jwk' }),
    kid: 'the-kid',
    alg: 'ES256',
  })
  for (const key of [String(pem), String(pem).replaceAll('\n', '\\n'), jwk]) {
    await using provider = await startScriptedProvider()
    await using world = await startGate({
      provider,
      environment: { OIDC_PRIVATE_KEY: key, OIDC_CLIENT_SECRET: '' },
    })
    const browser = world.browser()
    await browser.login()
    assert.equal((await browser.fetch('/auth/me')).status, 200)
    const assertion = provider.lastToken.get('client_assertion') ?? ''
    const { payload, protectedHeader } = await jwtVerify(
      assertion,
      await importJWK(publicKey.export({ format: 'jwk' }), 'ES256'),
      { requiredClaims: ['jti', 'exp', 'iat'] },
    )
    assert.equal(payload.iss, provider.clientId)
    assert.equal(payload.sub, provider.clientId)
    assert.ok([provider.issuer, `${provider.issuer}/token`].includes(String(payload.aud)))
    assert.equal(protectedHeader.kid, key === jwk ? 'the-kid' : undefined)
    assert.equal(provider.lastToken.get('client_secret'), null)
    assert.equal(provider.lastTokenHeaders['authorization'], undefined)
  }
})

test('nothing is waited for without end: a silent upstream, provider or database is answered for in time (ASVS 13.1.2) [T122,T123]', async (t) => {
  await t.test('an upstream', async () => {
    await using provider = await startScriptedProvider()
    const hole = createTcpServer((socket) => {
      socket.on('error', () => socket.destroy())
      socket.resume() // reads, and says nothing
    })
    hole.listen(0, '127.0.0.1')
    await once(hole, 'listening')
    const address = hole.address()
    const target = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`
    {
      await using world = await startGate({
        provider,
        environment: { UPSTREAMS: JSON.stringify([{ path: '/api', target, timeoutMs: 300 }]) },
      })
      const browser = world.browser()
      await browser.login()
      const answer = await browser.fetch('/api/x')
      assert.equal(answer.status, 504)
      assert.equal(codeOf(answer), 'upstream_timeout')
      await assert.rejects(browser.webSocket('/api/ws'), { status: 504 })
    }
    hole.close()
    await once(hole, 'close')
  })

  await t.test('a database', async () => {
    await using provider = await startScriptedProvider()
    await using direct = await startGate({ provider })
    const url = new URL(direct.database.url)
    const databasePort = Number(url.port)
    await using link = await startLink(() => databasePort)
    url.port = String(link.port)
    await using world = await startGate({ provider, environment: { DATABASE_URL: url.href } })
    const browser = world.browser()
    await browser.login()
    assert.equal((await browser.fetch('/api/x')).status, 200)

    for (const fault of ['silence', 'cut'] as const) {
      link[fault]()
      const startedAt = performance.now()
      const answers = await Promise.all(
        ['/auth/sessions', '/auth/sessions', '/auth/me', '/api/x'].map((path) =>
          browser.fetch(path),
        ),
      )
      assert.ok(performance.now() - startedAt < 10_000, fault)
      for (const { status, setCookies, headers } of answers) {
        assert.ok([200, 503].includes(status), `${fault}: ${status}`)
        assert.deepEqual(setCookies, []) // nobody is logged out by it
        if (status === 503) assert.ok(Number(headers['retry-after']) > 0)
      }
      assert.equal(answers[0]?.status, 503)
      assert.equal((await fetch(`${world.appUrl}/healthz`)).status, 200)
      assert.equal((await fetch(`${world.appUrl}/readyz`)).status, 503)
      link.restore()
      await until(
        'it goes on by itself',
        async () => (await browser.fetch('/auth/sessions')).status === 200,
        10_000,
      )
      assert.equal((await browser.fetch('/api/x')).status, 200)
    }
  })

  await t.test('a provider, at a login', async () => {
    await using world = await startGate()
    const held = holding()
    world.provider.failAt('/token', held.fault)
    const page = await world.browser().login()
    held.release()
    assert.equal(page.url, `${world.appUrl}/login?error=provider_unavailable`)
  })
})
