import assert from 'node:assert/strict'
import { test } from 'node:test'
import { launchChromium } from '../support/chromium.ts'
import { startDevelopment } from '../support/development.ts'
import { watchForComplaints } from './client-world.ts'

for (const production of [false, true]) {
  test(`a person goes the whole way in a browser, ${production ? 'on the production build' : 'on npm run dev'}`, async () => {
    await using running = await startDevelopment({ production })
    const browser = await launchChromium()
    try {
      const context = await browser.newContext()
      const page = await context.newPage()
      const complaints = watchForComplaints(page, running.appUrl)

      await page.goto(running.appUrl)
      await page.getByRole('main').getByRole('button', { name: 'Log in' }).click()
      await page.getByLabel('Name').fill('ada')
      await page.getByLabel('Password').fill('gatehouse')
      await page.getByRole('button', { name: 'Log in' }).click()
      await page.waitForURL(`${running.appUrl}/dashboard`)

      await page.getByRole('cell', { name: 'grace' }).first().waitFor()
      await page.getByText('Live', { exact: true }).waitFor()
      await page.getByPlaceholder('Say something…').fill('hello gate')
      await page.getByRole('button', { name: 'Send' }).click()
      await page.getByText('The API says: hello gate').waitFor()
      await page.getByRole('button', { name: 'Ask', exact: true }).click()
      await page.getByText('Every word of this').waitFor()
      await page.getByRole('button', { name: 'Stop' }).click()
      await page.getByText('Stopped. The API has stopped as well.').waitFor()

      // The browser has nothing worth stealing: no script sees the session, and no storage holds a token.
      const seen = await page.evaluate<string>(
        'JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }])',
      )
      assert.doesNotMatch(seen, /eyJ[\w-]+\.|sid=/)

      const second = await context.newPage()
      const secondComplaints = watchForComplaints(second, running.appUrl)
      await second.goto(`${running.appUrl}/account`)
      await second.getByRole('heading', { name: 'Ada Lovelace' }).waitFor()

      await page.getByRole('button', { name: 'Log out' }).click()
      await page.getByText('You are logged out, here and at the login service.').waitFor()
      assert.equal(new URL(page.url()).origin, running.appUrl)
      await second.getByText('You have logged out.').waitFor()

      assert.deepEqual(complaints, [])
      assert.deepEqual(secondComplaints, [])
    } finally {
      await browser.close()
    }
  })
}
