import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Me } from '../../shared/contract.ts'
import { startGate } from '../support/gate.ts'
import { startScriptedProvider, type Script } from '../support/scripted-provider.ts'

/** Logs in at a provider with this script; gives where the browser ends up, and whether there is a session. */
async function logInWith(script: Script) {
  await using provider = await startScriptedProvider(script)
  await using world = await startGate({ provider })
  const browser = world.browser()
  const page = await browser.login()
  const me = await browser.fetch('/auth/me')
  const rows = await world.database.query('SELECT sid FROM session')
  return {
    place: page.url.slice(world.appUrl.length),
    loggedIn: me.status === 200,
    rows: rows.length,
  }
}

const refused = (code: string) => ({ place: `/login?error=${code}`, loggedIn: false, rows: 0 })

test('an ID token that is right logs in (OpenID Connect Core §3.1.3.7)', async () => {
  assert.deepEqual(await logInWith({}), { place: '/', loggedIn: true, rows: 1 })
})

const wrongIdTokens: [string, Script][] = [
  ['with a wrong nonce', { idToken: { nonce: 'another' } }],
  ['without a nonce', { idToken: { nonce: undefined } }],
  ['of another issuer', { idToken: { iss: 'https://evil.example' } }],
  ['for another client', { idToken: { aud: 'another-client' } }],
  [
    'for several, used by another',
    { idToken: { aud: ['gate-under-test', 'other'], azp: 'other' } },
  ],
  ['that has expired', { idToken: { exp: Math.floor(Date.now() / 1000) - 60 } }],
  ['without an end', { idToken: { exp: undefined } }],
  [
    'from the future',
    {
      idToken: {
        iat: Math.floor(Date.now() / 1000) + 600,
        nbf: Math.floor(Date.now() / 1000) + 600,
      },
    },
  ],
  ['signed by nobody', { idTokenHeader: { alg: 'none' } }],
  ['signed with the client’s secret', { symmetric: true }],
  [
    'signed with a key that the token itself brings',
    { foreignKey: true, idTokenHeader: { jwk: { kty: 'RSA' }, jku: 'https://evil.example/keys' } },
  ],
  ['without a subject', { idToken: { sub: undefined } }],
]

test('an ID token of any wrong kind logs nobody in (OpenID Connect Core §3.1.3.7) [T35,T36,T37,T38,T40]', async (t) => {
  for (const [what, script] of wrongIdTokens) {
    await t.test(what, async () => {
      assert.deepEqual(await logInWith(script), refused('token_exchange_failed'))
    })
  }
})

test('an answer without an ID token, or with a sender-constrained token, logs nobody in [T39]', async () => {
  assert.deepEqual(
    await logInWith({ token: { id_token: undefined } }),
    refused('token_exchange_failed'),
  )
  assert.deepEqual(
    await logInWith({ token: { token_type: 'DPoP' } }),
    refused('token_exchange_failed'),
  )
  // An access token or a logout token in its place
  assert.deepEqual(
    await logInWith({ token: { id_token: 'not.a.token' } }),
    refused('token_exchange_failed'),
  )
})

test('an error of the provider is a clean redirect, its code and nothing more (RFC 6749 §4.1.2.1) [T41]', async () => {
  for (const error of [
    'access_denied',
    'login_required',
    'temporarily_unavailable',
    'server_error',
    'invalid_request',
    'invalid_scope',
    'unauthorized_client',
    'consent_required',
  ]) {
    const script: Script = {
      authorization: (state) => ({ error, state, error_description: '<script>alert(1)</script>' }),
    }
    assert.deepEqual(await logInWith(script), refused(error))
  }
  const odd: Script = { authorization: (state) => ({ error: '"><script>', state }) }
  assert.deepEqual(await logInWith(odd), refused('token_exchange_failed'))
})

test('an error without this browser’s state is not believed (RFC 9700 §4.7) [T44]', async () => {
  assert.deepEqual(
    await logInWith({ authorization: () => ({ error: 'access_denied' }) }),
    refused('invalid_state'),
  )
  assert.deepEqual(
    await logInWith({ authorization: () => ({ error: 'access_denied', state: 'another' }) }),
    refused('invalid_state'),
  )
})

test('a callback with a wrong, missing or doubled parameter logs nobody in [T22,T128]', async () => {
  assert.deepEqual(
    await logInWith({ authorization: (state) => ({ code: 'code-1', state: `${state}x` }) }),
    refused('invalid_state'),
  )
  assert.deepEqual(
    await logInWith({ authorization: () => ({ code: 'code-1' }) }),
    refused('invalid_state'),
  )
  assert.deepEqual(await logInWith({ authorization: () => ({}) }), refused('invalid_state'))

  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  const begun = await browser.fetch('/auth/login')
  const state = new URL(begun.headers.location ?? '').searchParams.get('state') ?? ''
  const doubled = await browser.fetch(`/auth/callback?code=code-1&state=${state}&state=${state}`)
  assert.equal(doubled.headers.location, '/login?error=invalid_state')
  assert.equal((await browser.fetch('/auth/login?returnTo=/a&returnTo=/b')).status, 400)
})

test('a callback that was finished before, or was never begun here, gives no session and is noted [T23,T44,T45]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  const begun = await browser.fetch('/auth/login')
  const answer = await fetch(begun.headers.location ?? '', { redirect: 'manual' })
  const callback = (answer.headers.get('location') ?? '').slice(world.appUrl.length)

  // An attacker's code, delivered to a victim's browser
  const victim = world.browser()
  assert.equal((await victim.fetch(callback)).headers.location, '/login?error=invalid_state')
  assert.equal((await victim.fetch('/auth/me')).status, 401)

  assert.equal((await browser.fetch(callback)).headers.location, '/')
  assert.equal((await browser.fetch(callback)).headers.location, '/login?error=invalid_state')
  assert.equal((await browser.fetch('/auth/me')).status, 200) // and the session that there is stays

  const failures = world.log.filter(({ event }) => event === 'login_failed')
  assert.equal(failures.length, 2)
})

test('two tabs log in side by side, and finish in any order (RFC 9700 §2.1.1) [T23]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  const begin = async (returnTo: string) => {
    const begun = await browser.fetch(`/auth/login?returnTo=${returnTo}`)
    const parameters = new URL(begun.headers.location ?? '').searchParams
    const answer = await fetch(begun.headers.location ?? '', { redirect: 'manual' })
    return {
      parameters,
      callback: (answer.headers.get('location') ?? '').slice(world.appUrl.length),
    }
  }
  const first = await begin('/first')
  const second = await begin('/second')
  for (const name of ['state', 'nonce', 'code_challenge']) {
    assert.notEqual(first.parameters.get(name), second.parameters.get(name))
  }
  assert.equal((await browser.fetch(second.callback)).headers.location, '/second')
  assert.equal((await browser.fetch(first.callback)).headers.location, '/first')
  const rows = await world.database.query('SELECT sid FROM session')
  assert.equal(rows.length, 1) // the second login ended the session of the first
})

test('the request for a login is a code flow with PKCE, state and nonce, whatever Host says [T2,T5,T24,R12]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider, environment: { OIDC_SCOPES: 'openid email' } })
  const answer = await world
    .browser()
    .fetch(
      '/auth/login?prompt=login&login_hint=ada&max_age=60&acr_values=a&ui_locales=de&scope=admin&redirect_uri=https://evil.example',
      {
        headers: {
          host: 'evil.example',
          'x-forwarded-host': 'evil.example',
          'x-forwarded-proto': 'https',
        },
      },
    )
  assert.equal(answer.status, 302)
  const parameters = Object.fromEntries(new URL(answer.headers.location ?? '').searchParams)
  const { state, nonce, code_challenge: challenge, ...rest } = parameters
  assert.ok(
    state &&
      state.length >= 43 &&
      nonce &&
      nonce.length >= 43 &&
      challenge &&
      challenge.length === 43,
  )
  assert.deepEqual(rest, {
    client_id: 'gate-under-test',
    response_type: 'code',
    scope: 'openid email',
    redirect_uri: `${world.appUrl}/auth/callback`,
    code_challenge_method: 'S256',
    prompt: 'login',
    login_hint: 'ada',
    max_age: '60',
    acr_values: 'a',
    ui_locales: 'de',
  })
})

test('what max_age and acr_values asked for is looked for in the answer (OpenID Connect Core §3.1.2.1) [T42]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const attempt = async (query: string, idToken: Record<string, unknown>) => {
    provider.script = { idToken }
    return (await world.browser().navigate(`/auth/login?${query}`)).url.slice(world.appUrl.length)
  }
  const now = Math.floor(Date.now() / 1000)
  assert.equal(await attempt('max_age=60', {}), '/login?error=token_exchange_failed')
  assert.equal(
    await attempt('max_age=60', { auth_time: now - 600 }),
    '/login?error=token_exchange_failed',
  )
  assert.equal(await attempt('max_age=60', { auth_time: now - 5 }), '/')
  assert.equal(await attempt('acr_values=gold', {}), '/login?error=token_exchange_failed')
  assert.equal(
    await attempt('acr_values=gold', { acr: 'silver' }),
    '/login?error=token_exchange_failed',
  )
  assert.equal(await attempt('acr_values=gold%20silver', { acr: 'silver' }), '/')
})

test('a person is iss and sub: another sub with the same e-mail is another person [T40]', async () => {
  await using provider = await startScriptedProvider({ idToken: { email: 'shared@example.com' } })
  await using world = await startGate({ provider })
  const ada = world.browser()
  await ada.login()
  provider.subject = 'mallory'
  const mallory = world.browser()
  await mallory.login()
  assert.equal((await mallory.fetch('/auth/me')).json<Me>().user.sub, 'mallory')
  assert.equal(
    (await mallory.fetch('/auth/sessions')).json<{ sessions: unknown[] }>().sessions.length,
    1,
  )
})

test('two tabs that come back from another site leave one session, the last one [T48]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  const begun = [await browser.fetch('/auth/login'), await browser.fetch('/auth/login')]
  for (const { headers } of begun) {
    const answer = await fetch(headers.location ?? '', { redirect: 'manual' })
    // As it comes from there: with the login cookies, which are Lax, and without the Strict one.
    const lax = [...browser.cookies.values()].filter(({ sameSite }) => sameSite === 'lax')
    const cookie = lax.map(({ name, value }) => `${name}=${value}`).join('; ')
    const callback = (answer.headers.get('location') ?? '').slice(world.appUrl.length)
    const finished = await browser.fetch(callback, {
      headers: { cookie, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' },
    })
    assert.equal(finished.headers.location, '/')
  }
  assert.equal((await world.database.query('SELECT FROM session')).length, 1)
  assert.equal((await browser.fetch('/auth/me')).status, 200)
})

test('claims that a database can’t hold, and keys that are away, are told apart from a login that is wrong', async () => {
  await using provider = await startScriptedProvider({
    idToken: { name: `${'n'.repeat(299)}😀`, email: 'a\0b@example.test' },
  })
  await using world = await startGate({ provider })
  const browser = world.browser()
  assert.equal((await browser.login()).url, `${world.appUrl}/`)
  const { user } = (await browser.fetch('/auth/me')).json<Me>()
  assert.equal(user.name?.isWellFormed(), true)
  assert.equal(user.email, 'ab@example.test')

  await using late = await startGate({ provider })
  provider.script.keysStatus = 404
  const page = await late.browser().login()
  assert.equal(page.url, `${late.appUrl}/login?error=provider_unavailable`)
})
