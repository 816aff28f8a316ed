import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { logIn, startClientWorld } from './client-world.ts'

const world = await startClientWorld()
after(() => world[Symbol.asyncDispose]())

test('an API that is down is said, what was there stays, and it comes back by itself', async () => {
  await using context = await world.openContext()
  const page = await context.newPage()
  await logIn(page)
  const jobs = page.getByRole('region', { name: 'Jobs' })
  await jobs.getByRole('rowheader', { name: 'Invoice run' }).waitFor()

  const bringBack = await world.stopApi()
  await page.getByText('Disconnected, trying again…').waitFor()
  await jobs.getByRole('button', { name: 'Refresh' }).click()
  await jobs.getByRole('alert').getByRole('button', { name: 'Try again' }).waitFor()
  assert.equal(await jobs.getByRole('rowheader', { name: 'Invoice run' }).count(), 1)

  await bringBack()
  await jobs.getByRole('alert').waitFor({ state: 'detached', timeout: 20_000 })
  await page.getByText('Live', { exact: true }).waitFor({ timeout: 20_000 })
})

test('a page opened while the API is down shows it, and fills when the API is back', async () => {
  await using context = await world.openContext()
  const page = await context.newPage()
  await logIn(page, '/devices')
  const bringBack = await world.stopApi()
  await page.goto('/dashboard')
  const jobs = page.getByRole('region', { name: 'Jobs' })
  await jobs.getByRole('alert').waitFor()
  await bringBack()
  await jobs.getByRole('rowheader', { name: 'Invoice run' }).waitFor({ timeout: 20_000 })
})

test('after a restart of the server the WebSocket reconnects, and nobody is logged out', async () => {
  await using context = await world.openContext()
  const page = await context.newPage()
  await logIn(page)
  await page.getByText('Live', { exact: true }).waitFor()
  const bringBack = await world.stopGate()
  await page.getByText('Disconnected, trying again…').waitFor()
  await bringBack()
  await page.getByText('Live', { exact: true }).waitFor({ timeout: 20_000 })
  await page.getByPlaceholder('Say something…').fill('still me')
  await page.getByRole('button', { name: 'Send' }).click()
  await page.getByText('The API says: still me').waitFor()
  assert.equal(await page.getByText('Log in again').count(), 0)
})

test('an end that came while the event stream was cut is not missed', async () => {
  await using context = await world.openContext()
  await using elsewhere = await world.openContext()
  const [page, device] = [await context.newPage(), await elsewhere.newPage()]
  await logIn(page, '/account')
  await page.getByRole('heading', { name: 'Ada Lovelace' }).waitFor()
  await logIn(device, '/devices')
  await context.setOffline(true)
  await device.getByRole('button', { name: 'End all others' }).click()
  await device.getByRole('dialog').getByRole('button', { name: /^End / }).click()
  await device.getByText(/session.* ended\.$/).waitFor()
  await context.setOffline(false)
  await page.getByText('Log in again').waitFor({ timeout: 20_000 })
})
