import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { until } from '../support/until.ts'
import { logIn, startClientWorld } from './client-world.ts'

// Half of so short a time is the warning's.
const world = await startClientWorld({ SESSION_IDLE_TIMEOUT: '8' })
after(() => world[Symbol.asyncDispose]())

test('before the idle end a dialog counts down, and staying closes it in every tab', async () => {
  await using context = await world.openContext()
  const [page, second] = [await context.newPage(), await context.newPage()]
  await logIn(page, '/account')
  await second.goto('/devices')
  await second.getByRole('heading', { name: 'Devices' }).waitFor()

  const dialog = page.getByRole('dialog', { name: 'Are you still there?' })
  await dialog.waitFor({ timeout: 8000 })
  const before = Number.parseInt(await dialog.getByRole('timer').innerText(), 10)
  assert.ok(before > 0 && before <= 4, `${before} seconds are left`)
  await until('it counts down', async () => {
    return Number.parseInt(await dialog.getByRole('timer').innerText(), 10) < before
  })
  await page.keyboard.press('Enter') // the focus is on the first button
  await dialog.waitFor({ state: 'hidden' })
  await second.getByRole('dialog').waitFor({ state: 'hidden' })
  assert.equal((await page.request.get('/auth/me')).status(), 200)
})

test('typing keeps the session, and no dialog comes', async () => {
  await using context = await world.openContext()
  const page = await context.newPage()
  await logIn(page)
  const field = page.getByPlaceholder('Say something…')
  await field.waitFor()
  await field.pressSequentially('typed slowly enough to outlive it', { delay: 350 }) // 11 s
  assert.equal(await page.getByRole('dialog').count(), 0)
  assert.equal(await page.getByText('Log in again').count(), 0)
  assert.equal((await page.request.get('/auth/me')).status(), 200)
})

test('when nobody answers, the session ends and the page stays', async () => {
  await using context = await world.openContext()
  const page = await context.newPage()
  await logIn(page)
  const field = page.getByPlaceholder('Say something…')
  await field.fill('still here')
  await page.getByRole('dialog', { name: 'Are you still there?' }).waitFor({ timeout: 9000 })
  await page.getByText('Your session has ended').waitFor({ timeout: 15_000 })
  assert.equal(await page.getByRole('dialog').count(), 0)
  assert.equal(await field.inputValue(), 'still here')
})

test('before an end that nothing can move, whoever is typing is told and not stopped', async () => {
  await using short = await startClientWorld({
    SESSION_IDLE_TIMEOUT: '12',
    SESSION_ABSOLUTE_TIMEOUT: '12',
  })
  await using context = await short.openContext()
  const page = await context.newPage()
  await logIn(page)
  const field = page.getByPlaceholder('Say something…')
  await field.focus()
  await page.getByText('about to reach its longest time').waitFor({ timeout: 12_000 })
  await field.pressSequentially('on and on')
  assert.equal(await field.inputValue(), 'on and on')
  await page.getByRole('button', { name: 'Log in again' }).click()
  await field.waitFor()
  assert.equal(await field.inputValue(), 'on and on')
  assert.equal(await page.getByText('Log in again').count(), 0)
})
