import assert from 'node:assert/strict'
import { readFile, stat } from 'node:fs/promises'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'
import { until } from '../support/until.ts'
import { logIn, passProvider, startClientWorld, watchForComplaints } from './client-world.ts'

const world = await startClientWorld()
after(() => world[Symbol.asyncDispose]())

const openPages = ['/', '/login?error=access_denied', '/login', '/account', '/nowhere/at-all']
const closedPages = ['/dashboard', '/account', '/devices']

async function settle(page: Page, path: string): Promise<void> {
  await page.goto(path)
  await page.getByRole('heading', { level: 1 }).waitFor()
  await until('nothing is loading', async () => (await page.locator('.skeleton').count()) === 0)
}

async function forEachPage(page: Page, look: (path: string) => Promise<void>): Promise<void> {
  for (const path of openPages) {
    await settle(page, path)
    await look(path)
  }
  await logIn(page)
  for (const path of closedPages) {
    await settle(page, path)
    await look(`${path} of somebody`)
  }
}

interface AxeResults {
  violations: { id: string; nodes: { html: string; failureSummary: string }[] }[]
}

for (const colorScheme of ['light', 'dark'] as const) {
  test(`axe finds nothing on any page, ${colorScheme}, and no page breaks the CSP or fails a request`, async () => {
    const axe = await readFile(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8')
    await using context = await world.openContext({ colorScheme, reducedMotion: 'reduce' })
    const page = await context.newPage()
    const complaints = watchForComplaints(page, world.appUrl)
    const judge = async (what: string) => {
      await page.evaluate(axe)
      const { violations } = await page.evaluate<AxeResults>('axe.run()')
      const found = violations.map(({ id, nodes }) => ({ id, at: nodes.map(({ html }) => html) }))
      assert.deepEqual(found, [], what)
    }
    await forEachPage(page, judge)

    await using elsewhere = await world.openContext()
    const device = await elsewhere.newPage()
    await logIn(device, '/devices')
    await page.getByRole('button', { name: 'Refresh' }).click()
    await page.getByRole('button', { name: 'End all others' }).click()
    await judge('the question before an end')
    await page.keyboard.press('Escape')
    await device.getByRole('button', { name: 'End all others' }).click()
    await device.getByRole('dialog').getByRole('button', { name: /^End / }).click()
    await page.getByRole('button', { name: 'Log in again' }).waitFor()
    await judge('a session that has ended')
    assert.deepEqual(complaints, [])
  })
}

test('no page is wider than the window, from a small phone to a wide screen', async () => {
  await using context = await world.openContext()
  const page = await context.newPage()
  const overflow = 'document.documentElement.scrollWidth - document.documentElement.clientWidth'
  await forEachPage(page, async (path) => {
    for (const width of [320, 390, 820, 1024, 1440, 1920]) {
      await page.setViewportSize({ width, height: 800 })
      assert.equal(await page.evaluate(overflow), 0, `${path} at ${width}`)
    }
  })
})

// What can be used on the page, and what the focus is on, told by their place among all elements. Of the
// radio buttons of one group the Tab key reaches one.
const usable = `[...document.querySelectorAll('a[href], button, input, select, textarea')]
  .filter((element) => !element.disabled && element.checkVisibility() && element.closest('dialog:not([open])') === null)
  .filter((element) => element.type !== 'radio' || element.checked)
  .map((element) => [...document.querySelectorAll('*')].indexOf(element))`
const focused = `[...document.querySelectorAll('*')].indexOf(document.activeElement)`
const isFocusSeen = `[document.activeElement, document.activeElement.parentElement].some(
  (element) => getComputedStyle(element).outlineStyle !== 'none' && parseFloat(getComputedStyle(element).outlineWidth) >= 2)`

test('the Tab key reaches everything that can be used, in its order, and the focus is seen', async () => {
  await using context = await world.openContext({ viewport: { width: 1280, height: 900 } })
  const page = await context.newPage()
  await forEachPage(page, async (path) => {
    const expected = await page.evaluate<number[]>(usable)
    const reached: number[] = []
    for (let at = 0; at < expected.length; at += 1) {
      await page.keyboard.press('Tab')
      reached.push(await page.evaluate<number>(focused))
      assert.equal(
        await page.evaluate(isFocusSeen),
        true,
        `${path}: the focus at ${at} is not seen`,
      )
    }
    assert.deepEqual(reached, expected, path)
  })
})

/** Tabs on until the focus is on what has this name, then presses Enter. */
async function pressByKeyboard(page: Page, name: string): Promise<void> {
  await until(`the focus is on "${name}"`, async () => {
    await page.keyboard.press('Tab')
    return page.evaluate<boolean>(
      `(document.activeElement.ariaLabel ?? document.activeElement.textContent).trim() === ${JSON.stringify(name)}`,
    )
  })
  await page.keyboard.press('Enter')
}

test('the whole way by keyboard alone: log in, ask, stop, say, go on, end, log out', async () => {
  await using context = await world.openContext()
  await using elsewhere = await world.openContext()
  await logIn(await elsewhere.newPage())
  const page = await context.newPage()
  await settle(page, '/')
  await pressByKeyboard(page, 'Log in')
  await page.getByLabel('Name').focus()
  await page.keyboard.type('ada')
  await page.keyboard.press('Tab')
  await page.keyboard.type('gatehouse')
  await page.keyboard.press('Enter')
  await page.waitForURL('**/dashboard')
  await page.getByText('Live', { exact: true }).waitFor()

  await page.getByPlaceholder('Say something…').focus()
  await page.keyboard.type('by keyboard')
  await page.keyboard.press('Enter')
  await page.getByText('The API says: by keyboard').waitFor()
  await pressByKeyboard(page, 'Ask')
  await page.getByText('Every word').waitFor()
  await page.keyboard.press('Enter') // the same button, which stops it now
  await page.getByText('Stopped. The API has stopped as well.').waitFor()

  await pressByKeyboard(page, 'Devices')
  await page.getByRole('heading', { name: 'Devices' }).waitFor()
  await pressByKeyboard(page, 'End all others')
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'hidden' })
  await page.keyboard.press('Enter') // the focus is back on the button
  await page.getByRole('dialog').waitFor()
  await page.keyboard.press('Enter')
  await page.getByText(/other sessions? ha(s|ve) ended\./).waitFor()
  await pressByKeyboard(page, 'Log out')
  await page.getByText('You are logged out, here and at the login service.').waitFor()
})

test('what the provider says of a failed login is told in words, and the next try returns to the same place', async () => {
  await using context = await world.openContext()
  const page = await context.newPage()
  await page.goto('/account?from=here#times')
  await page.getByRole('main').getByRole('button', { name: 'Log in' }).click()
  await page.getByRole('link', { name: 'Cancel' }).click()
  await page.getByRole('heading', { name: 'The login was refused' }).waitFor()
  assert.equal(new URL(page.url()).search, '?error=access_denied')
  await page.getByRole('button', { name: 'Try again' }).click()
  await passProvider(page)
  await page.waitForURL(`${world.appUrl}/account?from=here#times`)

  await page.goto('/auth/login?prompt=login&max_age=0')
  await page.getByRole('link', { name: 'Cancel' }).click()
  await page.getByRole('link', { name: 'Stay as Ada Lovelace' }).click()
  await page.waitForURL('**/dashboard')

  await page.goto('/login?error=%3Cb%3Ehacked%3C%2Fb%3E')
  await page.getByRole('heading', { name: 'The login did not work' }).waitFor()
  assert.equal(await page.getByText('hacked').count(), 0)
})

test('a chosen theme is there from the first paint, and the system decides again when asked to', async () => {
  await using context = await world.openContext({ colorScheme: 'light' })
  const page = await context.newPage()
  const ground = () => page.evaluate('getComputedStyle(document.documentElement).backgroundColor')
  await settle(page, '/')
  const light = await ground()
  await page.getByLabel('Dark').check()
  assert.notEqual(await ground(), light)
  await page.goto('/login', { waitUntil: 'commit' })
  await until('the page begins', () => page.evaluate('document.body !== null'))
  assert.notEqual(await ground(), light)
  await page.getByLabel('As the system').check()
  assert.equal(await ground(), light)
})

test('the back button leads back through the pages, and each has its name', async () => {
  await using context = await world.openContext()
  const page = await context.newPage()
  await logIn(page)
  for (const name of ['Account', 'Devices']) {
    await page.getByRole('link', { name }).click()
    await page.getByRole('heading', { level: 1, name }).waitFor()
    assert.equal(await page.title(), `${name} · Gatehouse`)
  }
  await page.goBack()
  await page.getByRole('heading', { level: 1, name: 'Account' }).waitFor()
  await page.goBack()
  await page.getByRole('heading', { level: 1, name: 'Dashboard' }).waitFor()
})

test('an upload shows how far it is, and can be cancelled', async () => {
  await using context = await world.openContext()
  const page = await context.newPage()
  await logIn(page)
  const file = { name: 'letter.bin', mimeType: 'application/octet-stream' }
  const upload = page.getByRole('region', { name: 'Upload' })
  await upload.locator('input').setInputFiles({ ...file, buffer: Buffer.alloc(200_000, 7) })
  await upload.getByText('letter.bin: 200.0 kB, SHA-256').waitFor()

  const slow = await context.newCDPSession(page)
  await slow.send('Network.emulateNetworkConditions', {
    offline: false,
    latency: 0,
    downloadThroughput: -1,
    uploadThroughput: 200_000,
  })
  await upload.locator('input').setInputFiles({ ...file, buffer: Buffer.alloc(4_000_000, 7) })
  await upload.getByText(/of 4.0 MB/).waitFor()
  await upload.getByRole('button', { name: 'Cancel' }).click()
  await upload.getByText('Cancelled. Nothing was kept.').waitFor()
})

test('the first load is at most 80 KB of JavaScript, compressed, on landing and dashboard', async () => {
  await using context = await world.openContext()
  const page = await context.newPage()
  const dist = fileURLToPath(new URL('../../client/dist', import.meta.url))
  const scripts = new Set<string>()
  page.on('response', (response) => {
    if (response.request().resourceType() === 'script')
      scripts.add(new URL(response.url()).pathname)
  })
  await logIn(page)
  await settle(page, '/dashboard')
  let bytes = 0
  for (const path of scripts) bytes += (await stat(`${dist}${path}.br`)).size
  assert.ok(scripts.size >= 3 && bytes <= 80_000, `${bytes} bytes in ${[...scripts].join(' ')}`)
})
