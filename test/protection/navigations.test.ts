import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startGate } from '../support/gate.ts'
import { startScriptedProvider } from '../support/scripted-provider.ts'

// What Chromium sends when a person follows a link; the cookie goes along when it is not Strict, or when
// the link is on a sibling of ours.
const following = (site: string) => ({
  accept: 'text/html,application/xhtml+xml,*/*;q=0.8',
  'sec-fetch-site': site,
  'sec-fetch-mode': 'navigate',
  'sec-fetch-dest': 'document',
  'sec-fetch-user': '?1',
})

test('a link elsewhere leads to a page, to the login and back from it, with the cookie too (contract 4) [T5,T69]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider, environment: { SESSION_SAMESITE: 'lax' } })
  const browser = world.browser()
  await browser.login()
  for (const site of ['cross-site', 'same-site']) {
    const headers = following(site)
    assert.equal((await browser.fetch('/', { headers })).status, 200, site)
    assert.equal((await browser.fetch('/dashboard?x=1', { headers })).status, 200, site)
    const begun = await browser.fetch('/auth/login?returnTo=/x', { headers })
    assert.equal(begun.status, 302, `login, ${site}`)
    const answer = await fetch(begun.headers.location ?? '', { redirect: 'manual' })
    const callback = (answer.headers.get('location') ?? '').slice(world.appUrl.length)
    const finished = await browser.fetch(callback, { headers })
    assert.equal(finished.status, 302, site)
    assert.equal(finished.headers.location, '/x', site)
  }
  const rows = await world.database.query('SELECT sid FROM session')
  assert.equal(rows.length, 1) // each login ended the session before it
})

test('what elsewhere embeds or fetches gets nothing of a session, though it asks for a page (contract 4) [T67,T69]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider, environment: { SESSION_SAMESITE: 'lax' } })
  const browser = world.browser()
  await browser.login()
  for (const site of ['cross-site', 'same-site']) {
    // A link that leads to data is no page of ours.
    for (const path of ['/auth/me', '/auth/sessions', '/auth/events', '/api/x']) {
      const answer = await browser.fetch(path, { headers: following(site) })
      assert.equal(answer.status, 403, `${path} ${site}`)
    }
  }
  assert.deepEqual(world.upstream.seen, [])
  // A form elsewhere that posts to us, as browsers send it.
  for (const origin of ['https://evil.example', 'null']) {
    const answer = await browser.fetch('/auth/logout', {
      method: 'POST',
      body: 'x=1',
      headers: {
        ...following('cross-site'),
        origin,
        'x-csrf-token': '',
        'content-type': 'application/x-www-form-urlencoded',
      },
    })
    assert.equal(answer.status, 403)
  }
  assert.equal((await browser.fetch('/auth/me')).status, 200)
})

test('what the gate answers an unsafe request without Origin and Sec-Fetch-Site depends on its proof alone (contract 4) [T12,T69]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  const browser = world.browser()
  await browser.login()
  const post = (token: string) =>
    browser.open('/api/x', {
      method: 'POST',
      body: 'x',
      headers: { 'sec-fetch-site': 'none', origin: world.appUrl, 'x-csrf-token': token },
    })
  const without = await post('')
  without.resume()
  assert.equal(without.statusCode, 403)
  const withProof = await post(browser.cookies.get('csrf')?.value ?? '')
  withProof.resume()
  assert.equal(withProof.statusCode, 200)
})

test('a form elsewhere takes nobody’s cookies away, though it comes without them [T67]', async () => {
  await using provider = await startScriptedProvider()
  await using world = await startGate({ provider })
  // A browser sends no Strict cookie along, and would obey the answer's Set-Cookie all the same.
  for (const headers of [
    { ...following('cross-site'), origin: 'https://evil.example' },
    { ...following('cross-site'), origin: 'null' },
    { ...following('same-site'), origin: 'https://sibling.example' },
  ]) {
    const answer = await world.browser().fetch('/auth/logout', {
      method: 'POST',
      body: 'x=1',
      headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' },
    })
    assert.equal(answer.status, 403)
    assert.deepEqual(answer.setCookies, [])
  }
  assert.equal((await world.browser().logout()).status, 200)
})
