import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createRemoteJWKSet, decodeJwt, generateKeyPair, jwtVerify, exportJWK } from 'jose'
import * as openid from 'openid-client'
import {
  afterLogout,
  clientId,
  createRelyingParty,
  redirectUri,
  startProviderFor,
} from './relying-party.ts'

test('the code flow gives an ID token with the person, a JWT access token for two minutes and a refresh token', async () => {
  await using provider = await startProviderFor()
  const tokens = await createRelyingParty(provider).login('ada')
  const keys = createRemoteJWKSet(new URL('/jwks', provider.issuer))
  const { payload: person } = await jwtVerify(tokens.id_token, keys, {
    issuer: provider.issuer,
    audience: clientId,
  })
  assert.equal(person.sub, 'ada')
  assert.equal(person['name'], 'Ada Lovelace')
  assert.equal(person['email'], 'ada@example.com')
  assert.deepEqual(person['groups'], ['staff', 'admins'])
  assert.equal(person['nonce'], 'a-nonce')
  const { payload: access } = await jwtVerify(tokens.access_token, keys, {
    issuer: provider.issuer,
    audience: 'urn:test:api',
    typ: 'at+jwt',
    algorithms: ['RS256'],
  })
  assert.equal(access['client_id'], clientId)
  assert.equal((access.exp ?? 0) - (access.iat ?? 0), 120)
  assert.equal(tokens.expires_in, 120)
  assert.ok(tokens.refresh_token)
})

test('a refresh token is replaced at each use, and one that is used twice ends its family (RFC 9700 §4.14.2)', async () => {
  await using provider = await startProviderFor()
  const party = createRelyingParty(provider)
  const first = await party.login('ada')
  const second = await party.refresh(first.refresh_token)
  assert.equal(second.status, 200)
  assert.notEqual(second.refresh_token, first.refresh_token)
  assert.equal(decodeJwt(second.id_token).sub, 'ada')
  const third = await party.refresh(second.refresh_token)
  assert.equal(third.status, 200)

  const reused = await party.refresh(first.refresh_token)
  assert.deepEqual([reused.status, reused.error], [400, 'invalid_grant'])
  const newest = await party.refresh(third.refresh_token)
  assert.deepEqual([newest.status, newest.error], [400, 'invalid_grant'])
})

test('a revoked refresh token is worth nothing (RFC 7009)', async () => {
  await using provider = await startProviderFor()
  const party = createRelyingParty(provider)
  const tokens = await party.login('ada')
  assert.equal((await party.revoke(tokens.refresh_token)).status, 200)
  assert.equal((await party.refresh(tokens.refresh_token)).error, 'invalid_grant')
})

test('logging out at the provider tells the client behind the back, goes back, and asks again at the next login', async () => {
  const heard: URLSearchParams[] = []
  const client = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString()
    })
    request.on('end', () => {
      heard.push(new URLSearchParams(body))
      response.end()
    })
  }).listen(0, '127.0.0.1')
  await once(client, 'listening')
  const address = client.address()
  const port = typeof address === 'object' ? address?.port : 0
  try {
    await using provider = await startProviderFor({
      clients: [
        {
          clientId,
          clientSecret: 'a-secret-of-that-client-0123456789',
          redirectUris: [redirectUri],
          postLogoutRedirectUris: [afterLogout],
          backChannelLogoutUri: `http://127.0.0.1:${port}/`,
        },
      ],
    })
    const party = createRelyingParty(provider)
    const tokens = await party.login('ada')
    assert.ok(
      new URL((await party.authorize()).location).searchParams.get('code'),
      'no page: single sign-on',
    )

    const query = new URLSearchParams({
      id_token_hint: tokens.id_token,
      post_logout_redirect_uri: afterLogout,
      state: 'bye',
    })
    const page = await party.follow(`/session/end?${query.toString()}`)
    assert.match(page.html, /<button[^>]+>Log out<\/button>/)
    assert.match(page.headers.get('content-security-policy') ?? '', /default-src 'none'/)
    const [, action = ''] = /action="([^"]+)"/.exec(page.html) ?? []
    const [, xsrf = ''] = /name="xsrf" value="([^"]+)"/.exec(page.html) ?? []
    const { location } = await party.visit(action, { xsrf, logout: 'yes' })
    assert.equal(location, `${afterLogout}?state=bye`)

    const logoutToken = heard[0]?.get('logout_token') ?? ''
    const { payload, protectedHeader } = await jwtVerify(
      logoutToken,
      createRemoteJWKSet(new URL('/jwks', provider.issuer)),
      { issuer: provider.issuer, audience: clientId },
    )
    assert.equal(protectedHeader.typ, 'logout+jwt')
    assert.equal(payload['sid'], decodeJwt(tokens.id_token)['sid'])
    assert.match((await party.authorize()).html, /Development login/)
  } finally {
    client.close()
  }
})

test('the form keeps the name after a wrong password, can be given up, and is over when it was sent', async () => {
  await using provider = await startProviderFor()
  const party = createRelyingParty(provider)
  const page = await party.authorize({ login_hint: 'grace"><script>' })
  assert.match(page.html, /value="grace&quot;&gt;&lt;script&gt;"/)
  assert.match(page.headers.get('content-security-policy') ?? '', /default-src 'none'/)
  const [, action = ''] = /action="([^"]+)"/.exec(page.html) ?? []
  const wrong = await party.visit(action, { login: 'grace', password: 'wrong' })
  assert.match(wrong.html, /role="alert"/)
  assert.match(wrong.html, /value="grace"/)

  const { location } = await party.follow(`${action}/abort`)
  assert.equal(new URL(location).searchParams.get('error'), 'access_denied')
  const late = await party.visit(action, { login: 'grace', password: 'gatehouse' })
  assert.equal(late.status, 400)
  assert.match(late.html, /This login is over/)
})

test('PKCE is asked for, and prompt, max_age and acr_values mean what OpenID Connect says', async () => {
  await using provider = await startProviderFor()
  const party = createRelyingParty(provider)
  const errorOf = async (parameters: Record<string, string | undefined>) =>
    new URL((await party.authorize(parameters)).location).searchParams.get('error')
  assert.equal(
    await errorOf({ code_challenge: undefined, code_challenge_method: undefined }),
    'invalid_request',
  )
  assert.equal(await errorOf({ prompt: 'none' }), 'login_required')

  await party.login('ada')
  assert.equal(await errorOf({ prompt: 'none' }), null)
  assert.match((await party.authorize({ prompt: 'login' })).html, /Development login/)
  const { location } = await party.authorize({
    max_age: '3600',
    acr_values: 'urn:gatehouse:password',
  })
  const tokens = await party.exchange(new URL(location).searchParams.get('code') ?? '')
  const claims = decodeJwt(tokens.id_token)
  assert.equal(typeof claims['auth_time'], 'number')
  assert.equal(claims['acr'], 'urn:gatehouse:password')
})

test('a client may show a key, a secret in the body, or nothing at all', async () => {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const shared = { redirectUris: [redirectUri], postLogoutRedirectUris: [] }
  const clientSecret = 'a-secret-of-that-client-0123456789'
  await using provider = await startProviderFor({
    clients: [
      { clientId: 'key', keys: [{ ...(await exportJWK(publicKey)), kid: 'one' }], ...shared },
      { clientId: 'post', clientSecret, authMethod: 'client_secret_post', ...shared },
      { clientId: 'nothing', ...shared },
    ],
  })
  const methods: Record<string, openid.ClientAuth> = {
    key: openid.PrivateKeyJwt({ key: privateKey, kid: 'one' }),
    post: openid.ClientSecretPost(clientSecret),
    nothing: openid.None(),
  }
  for (const [client, method] of Object.entries(methods)) {
    const configuration = await openid.discovery(new URL(provider.issuer), client, {}, method, {
      execute: [openid.allowInsecureRequests],
    })
    // Known, and so told that this refresh token is not: an unknown client would hear invalid_client.
    await assert.rejects(openid.refreshTokenGrant(configuration, 'no-such-token'), {
      error: 'invalid_grant',
    })
  }
})

test('what it knows survives a restart, in a file for its owner alone', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'gatehouse-provider-test-'))
  const file = join(folder, 'provider.json')
  try {
    let refreshToken = ''
    let port = 0
    {
      await using provider = await startProviderFor({ file })
      port = provider.port
      refreshToken = (await createRelyingParty(provider).login('ada')).refresh_token
    }
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    await using provider = await startProviderFor({ file, port })
    const tokens = await createRelyingParty(provider).refresh(refreshToken)
    assert.equal(tokens.status, 200)
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('a test can answer, hold or cut any request before the provider sees it', async () => {
  const seen: string[] = []
  await using provider = await startProviderFor({
    intercept: async (request, response) => {
      seen.push(request.url ?? '')
      if (request.url === '/jwks') response.writeHead(503).end()
      if (request.url === '/token') request.socket.destroy()
      return request.url === '/jwks' || request.url === '/token'
    },
  })
  assert.equal((await fetch(`${provider.issuer}/jwks`)).status, 503)
  await assert.rejects(fetch(`${provider.issuer}/token`, { method: 'POST' }))
  assert.ok((await fetch(`${provider.issuer}/.well-known/openid-configuration`)).ok)
  assert.deepEqual(seen, ['/jwks', '/token', '/.well-known/openid-configuration'])
})
