import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startGate, type World } from '../support/gate.ts'
import type { Answer, Browser } from '../support/browser.ts'
import { startScriptedProvider } from '../support/scripted-provider.ts'
import { until } from '../support/until.ts'

const codeOf = (answer: Answer) => answer.json<{ code: string }>().code
const isLoggedIn = async (browser: Browser) => (await browser.fetch('/auth/me')).status === 200

/** Begins a login and lets the provider answer; gives the path of the callback, not yet followed. */
async function begin(world: World, browser: Browser): Promise<string> {
  const begun = await browser.fetch('/auth/login')
  const answer = await fetch(begun.headers.location ?? '', { redirect: 'manual' })
  return (answer.headers.get('location') ?? '').slice(world.appUrl.length)
}

/** From now on this change of the table fails as it does when the database goes away in the middle. */
const breakTable = (world: World, table: string, change: string) =>
  world.database.query(`
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'gone' USING ERRCODE = '57P01'; END $$;
    CREATE TRIGGER fail BEFORE ${change} ON ${table} EXECUTE FUNCTION fail()`)

test('a login cookie that is broken, doubled, foreign or renamed is none, and never an error (contract 3) [T22,T47]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const attempts: [string, (name: string, value: string, other: string) => string][] = [
    ['missing', () => ''],
    ['empty', (name) => `${name}=`],
    ['cut short', (name, value) => `${name}=${value.slice(0, -1)}`],
    ['tampered', (name, value) => `${name}=${value.slice(0, 20)}A${value.slice(21)}B`],
    ['doubled', (name, value) => `${name}=${value}; ${name}=x`],
    ['that of another login', (name, _value, other) => `${name}=${other}`],
    ['percent signs', (name) => `${name}=%E0%A4%A`],
    ['huge', (name) => `${name}=${'A'.repeat(7000)}`],
    ['no base64', (name) => `${name}=\u0080\u0081`],
  ]
  for (const [what, change] of attempts) {
    const browser = world.browser()
    const callback = await begin(world, browser)
    const [name = ''] = [...browser.cookies.keys()]
    const value = browser.cookies.get(name)?.value ?? ''
    const stranger = world.browser()
    await begin(world, stranger)
    const other = [...stranger.cookies.values()][0]?.value ?? ''
    const cookie = change(name, value, other)
    const answer = await browser.fetch(callback, { headers: { cookie } })
    assert.equal(answer.status, 302, what)
    assert.equal(answer.headers.location, '/login?error=invalid_state', what)
    assert.ok(!answer.setCookies.some((line) => line.startsWith('sid=')), what)
  }
  assert.deepEqual(await world.database.query('SELECT sid FROM session'), [])
  assert.equal(provider.requestsTo('/token'), 0) // no code was spent on it
})

test('a database that goes away in the middle of a login leaves no session and no cookie of one (contract 3) [T123]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  await breakTable(world, 'session', 'INSERT')
  const browser = world.browser()
  const page = await browser.login()
  assert.equal(page.url, `${world.appUrl}/login?error=database_unavailable`)
  assert.equal(browser.cookies.has('sid'), false)
  assert.equal(browser.cookies.has('csrf'), false)
  assert.equal(await isLoggedIn(browser), false)
  // What was granted is worth nothing to anyone.
  await until('it is revoked', () => provider.revoked.includes('refresh-token-number-1'))
})

test('a database that is away when a callback looks for the session before is told on a page (contract 3)', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider, environment: { SESSION_SAMESITE: 'lax' } })
  const browser = world.browser()
  await browser.login()
  const begun = await browser.fetch('/auth/login')
  const answer = await fetch(begun.headers.location ?? '', { redirect: 'manual' })
  await world.database.query('ALTER TABLE session RENAME TO elsewhere')
  const finished = await browser.fetch(
    (answer.headers.get('location') ?? '').slice(world.appUrl.length),
  )
  assert.equal(finished.headers.location, '/login?error=database_unavailable')
})

test('cookies with odd names beside those of logins in progress are nobody’s business', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const cookie = Array.from({ length: 8 }, (_, at) => `login-a b${at}=x`).join('; ')
  const begun = await world.browser().fetch('/auth/login', { headers: { cookie } })
  assert.equal(begun.status, 302)
})

test('a login says that it failed only when there is no session of it (contract 3) [T48]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  await browser.login()
  const before = browser.cookies.get('sid')?.value
  await breakTable(world, 'session', 'DELETE OR UPDATE') // the session before it can't be ended
  const page = await browser.login()
  const saysFailed = page.url.includes('error=')
  assert.equal(saysFailed, browser.cookies.get('sid')?.value === before)
})

test('a provider that is down is said to a person by a page and to a program by 503 (contract 3) [T123]', async () => {
  await using world = await startGate()
  const comeBack = await world.provider.stop()
  await using late = await startGate({
    provider: world.provider,
    database: world.database,
    upstream: world.upstream,
    expectUnready: true,
  })
  const program = await late.browser().fetch('/auth/login')
  assert.equal(program.status, 503)
  assert.equal(codeOf(program), 'provider_unavailable')
  assert.ok(Number(program.headers['retry-after']) > 0)
  assert.deepEqual(program.setCookies, [])
  const person = late.browser()
  const page = await person.navigate('/auth/login')
  assert.equal(page.url, `${late.appUrl}/login?error=provider_unavailable`)
  assert.equal(page.status, 200) // the client, which says it in words
  assert.equal(person.cookies.size, 0)
  await comeBack()
})

test('parameters of a login that are doubled, odd or too long are refused or left out [T128]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  for (const query of [
    'prompt=login&prompt=none',
    'max_age=1&max_age=2',
    'max_age=soon',
    'max_age=-1',
    'max_age=1e3',
    'returnTo=/a&returnTo=//evil.example',
  ]) {
    const answer = await browser.fetch(`/auth/login?${query}`)
    assert.equal(answer.status, 400, query)
    assert.equal(codeOf(answer), 'bad_request')
    assert.equal(answer.headers['cache-control'], 'no-store')
  }
  // A name with brackets is another name, not a list (qs would make it one).
  const answer = await browser.fetch('/auth/login?returnTo[]=//evil.example&state=mine&nonce=mine')
  assert.equal(answer.status, 302)
  const sent = new URL(answer.headers.location ?? '').searchParams
  assert.notEqual(sent.get('state'), 'mine')
  assert.notEqual(sent.get('nonce'), 'mine')
  for (const name of ['code', 'state', 'error', 'iss']) {
    const callback = await begin(world, browser)
    const twice = await browser.fetch(`${callback}&${name}=a&${name}=b`)
    assert.equal(twice.headers.location, '/login?error=invalid_state', name)
  }
  assert.equal(await isLoggedIn(browser), false)
})

test('with prompt=none a person who is not logged in at the provider gets no page of it (OpenID Connect Core §3.1.2.6) [T41]', async () => {
  await using world = await startGate()
  const browser = world.browser()
  const page = await browser.navigate('/auth/login?prompt=none&returnTo=/x')
  assert.equal(page.url, `${world.appUrl}/login?error=login_required`)
  assert.equal(await isLoggedIn(browser), false)
})

test('an unknown path under /auth is a JSON 404 for every method and every Accept (contract 1)', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  for (const path of [
    '/auth',
    '/auth/',
    '/auth/nothing',
    '/auth/me/',
    '/auth/ME',
    '/auth/login/x',
  ]) {
    for (const method of ['GET', 'POST', 'PUT']) {
      const answer = await world
        .browser()
        .fetch(path, { method, headers: { accept: 'text/html,*/*' } })
      assert.equal(answer.status, 404, `${method} ${path}`)
      assert.equal(codeOf(answer), 'not_found')
      assert.equal(answer.headers['cache-control'], 'no-store')
    }
  }
})
