import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { logIn, passProvider, startClientWorld, watchForComplaints } from './client-world.ts'

const world = await startClientWorld()
after(() => world[Symbol.asyncDispose]())

test('a visitor without a session causes no failing request, and no question about one', async () => {
  await using context = await world.openContext()
  const page = await context.newPage()
  const complaints = watchForComplaints(page, world.appUrl)
  const asked: string[] = []
  page.on('request', (request) => asked.push(new URL(request.url()).pathname))
  await page.goto('/')
  await page.getByRole('main').getByRole('button', { name: 'Log in' }).waitFor()
  await page.goto('/account?tab=1')
  await page.getByRole('heading', { name: 'Please log in' }).waitFor()
  assert.deepEqual(complaints, [])
  assert.deepEqual(
    asked.filter((path) => path.startsWith('/auth') || path.startsWith('/api')),
    [],
  )
})

test('two tabs are in step: a login or a logout in one is seen in the other at once', async () => {
  await using context = await world.openContext()
  const [one, other] = [await context.newPage(), await context.newPage()]
  const complaints = [one, other].map((page) => watchForComplaints(page, world.appUrl))
  await other.goto('/account')
  await other.getByRole('heading', { name: 'Please log in' }).waitFor()

  await logIn(one)
  await other.getByRole('heading', { name: 'Ada Lovelace' }).waitFor({ timeout: 2000 })

  await one.getByRole('button', { name: 'Log out' }).click()
  await other.getByText('You have logged out.').waitFor({ timeout: 2000 })
  await one.getByText('You are logged out, here and at the login service.').waitFor()
  assert.deepEqual(complaints.flat(), [])
})

test('one tab alone holds the event stream for all', async () => {
  await using context = await world.openContext()
  const streams: string[] = []
  context.on('request', (request) => {
    if (request.url().endsWith('/auth/events')) streams.push(request.url())
  })
  const first = await context.newPage()
  await logIn(first, '/account')
  for (let at = 0; at < 3; at += 1) {
    const page = await context.newPage()
    await page.goto('/account')
    await page.getByRole('heading', { name: 'Ada Lovelace' }).waitFor()
  }
  assert.equal(streams.length, 1)
})

test('a session ended from another device reaches every tab within a second, and what is being typed stays', async () => {
  await using context = await world.openContext()
  await using elsewhere = await world.openContext()
  const place = '/dashboard?rate=10#feed'
  const [page, second, device] = [
    await context.newPage(),
    await context.newPage(),
    await elsewhere.newPage(),
  ]
  await logIn(page, place)
  await second.goto('/account')
  await second.getByRole('heading', { name: 'Ada Lovelace' }).waitFor()
  await logIn(device, '/devices')

  await page.bringToFront()
  const field = page.getByPlaceholder('Say something…')
  await field.pressSequentially('a thought that is not fin')
  await device.getByRole('button', { name: 'End all others' }).click()
  const confirm = device.getByRole('dialog').getByRole('button', { name: /^End / })
  await Promise.all([
    confirm.click(),
    page.getByText('Your session was ended from another device.').waitFor({ timeout: 1000 }),
    second.getByText('Your session was ended from another device.').waitFor({ timeout: 1000 }),
  ])
  await field.pressSequentially('ished')
  assert.equal(await field.inputValue(), 'a thought that is not finished')
  assert.equal(await page.getByText('Ended with the session').count(), 1)

  // One click, and the person is back at the same place with the same text.
  await page.getByRole('button', { name: 'Log in again' }).click()
  await page.waitForURL(`${world.appUrl}${place}`)
  await page.getByText('Live', { exact: true }).waitFor()
  assert.equal(await field.inputValue(), 'a thought that is not finished')
  await second.getByText('Your session was ended from another device.').waitFor({ state: 'hidden' })
})

test('what one person typed is not there for the next one', async () => {
  await using context = await world.openContext()
  const page = await context.newPage()
  await logIn(page)
  await page.getByPlaceholder('Say something…').fill('mine')
  await page.reload()
  assert.equal(await page.getByPlaceholder('Say something…').inputValue(), 'mine')
  await page.getByRole('button', { name: 'Log out' }).click()
  await page.getByText('You are logged out, here and at the login service.').waitFor()
  assert.doesNotMatch(await page.evaluate('JSON.stringify({ ...sessionStorage })'), /mine/)

  await page.getByRole('main').getByRole('button', { name: 'Log in' }).click()
  await passProvider(page, 'grace')
  await page.getByPlaceholder('Say something…').waitFor()
  assert.equal(await page.getByPlaceholder('Say something…').inputValue(), '')
})

test('coming back by the back button after a logout shows nothing of the session', async () => {
  await using context = await world.openContext()
  const page = await context.newPage()
  await logIn(page, '/account')
  await page.getByRole('heading', { name: 'Ada Lovelace' }).waitFor()
  await page.getByRole('button', { name: 'Log out' }).click()
  await page.getByText('You are logged out, here and at the login service.').waitFor()
  await page.goto('/account')
  await page.getByText('You have logged out.').waitFor()
  assert.equal(await page.getByText('Ada Lovelace').count(), 0)
})

test('logging in anew in one tab leaves both tabs logged in, with all that was open', async () => {
  await using context = await world.openContext()
  const [one, other] = [await context.newPage(), await context.newPage()]
  await logIn(one)
  await one.getByText('Live', { exact: true }).waitFor()
  for (let times = 0; times < 5; times += 1) {
    await other.goto('/auth/login?returnTo=/dashboard')
    await other.getByText('Live', { exact: true }).waitFor()
    await one.getByText('Live', { exact: true }).waitFor()
    await one.getByText('Log in again').waitFor({ state: 'hidden' })
    assert.equal((await one.request.get('/auth/me')).status(), 200)
  }
})
