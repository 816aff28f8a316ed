// `npm run screenshots`: every page at three widths, light and dark, into a folder to look at; with
// `--readme` the few pictures of the README.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { launchChromium } from '../support/chromium.ts'
import { startDevelopment } from '../support/development.ts'

const forReadme = process.argv.includes('--readme')
const folder = forReadme ? '.github/images' : join('.data', 'screenshots')
await mkdir(folder, { recursive: true })

await using running = await startDevelopment({ production: true })
const browser = await launchChromium()

async function logIn(page: Page) {
  await page.goto(`${running.appUrl}/auth/login?returnTo=/dashboard`)
  await page.getByLabel('Name').fill('ada')
  await page.getByLabel('Password').fill('gatehouse')
  await page.getByRole('button', { name: 'Log in' }).click()
  await page.waitForURL(`${running.appUrl}/dashboard`)
}

async function shoot(page: Page, path: string, name: string, fullPage = true) {
  await page.goto(running.appUrl + path)
  await page.getByRole('heading', { level: 1 }).waitFor()
  if (path.startsWith('/dashboard')) {
    await page.getByRole('button', { name: 'Ask' }).click()
    await page.getByText('came alone and on').waitFor() // a few ticks have come by then as well
  }
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage })
}

/** Another device ends the session while somebody types. */
async function shootEnd(page: Page, name: string) {
  const elsewhere = await browser.newPage()
  await logIn(elsewhere)
  await elsewhere.goto(`${running.appUrl}/devices`)
  await page.getByPlaceholder('Say something…').fill('A thought that is not fin')
  await elsewhere.getByRole('button', { name: 'End all others' }).click()
  await elsewhere.getByRole('dialog').getByRole('button', { name: /^End / }).click()
  await page.getByRole('button', { name: 'Log in again' }).waitFor()
  await page.evaluate('Promise.all(document.getAnimations().map(({ finished }) => finished))')
  await page.screenshot({ path: join(folder, `${name}.png`) })
  await elsewhere.close()
}

try {
  if (forReadme) {
    for (const colorScheme of ['light', 'dark'] as const) {
      const context = await browser.newContext({
        colorScheme,
        viewport: { width: 1280, height: 800 },
        reducedMotion: 'reduce',
      })
      const page = await context.newPage()
      if (colorScheme === 'light') await shoot(page, '/', 'landing', false)
      await logIn(page)
      await shoot(page, '/dashboard?rate=50', `dashboard-${colorScheme}`, false)
      if (colorScheme === 'dark') await shootEnd(page, 'session-ended')
      await context.close()
    }
  } else {
    for (const colorScheme of ['light', 'dark'] as const) {
      for (const width of [390, 820, 1440]) {
        const context = await browser.newContext({ colorScheme, viewport: { width, height: 900 } })
        const page = await context.newPage()
        const name = (what: string) => `${what}-${width}-${colorScheme}`
        await shoot(page, '/', name('landing'))
        await shoot(page, '/login?error=access_denied', name('problem'))
        await shoot(page, '/nowhere', name('not-found'))
        await shoot(page, '/account', name('please-log-in'))
        await logIn(page)
        for (const path of ['/dashboard', '/account', '/devices'])
          await shoot(page, path, name(path.slice(1)))
        await context.close()
      }
    }
  }
  console.log(`pictures are in ${folder}`)
} finally {
  await browser.close()
}
