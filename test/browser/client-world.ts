// The built client in a real Chromium, against a gate, a provider and an API that can be stopped and
// brought back at the same address.
import { once } from 'node:events'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core'
import { readConfiguration } from '../../server/configuration.ts'
import { runMigrations } from '../../server/database/migrations.ts'
import { startExampleApi } from '../../server/development/example-api.ts'
import { startPostgres } from '../../server/development/postgres.ts'
import { createGate } from '../../server/gate.ts'
import { launchChromium } from '../support/chromium.ts'
import { findFreePort } from '../support/free-port.ts'
import { audience, startTestProvider, type TestProvider } from '../support/provider.ts'
import { until } from '../support/until.ts'

/** Brings back what was stopped. */
export type BringBack = () => Promise<void>

export interface ClientWorld extends AsyncDisposable {
  appUrl: string
  provider: TestProvider
  chromium: Browser
  /** A browser of its own, with no cookies. */
  openContext: (options?: BrowserContextOptions) => Promise<BrowserContext>
  stopGate: () => Promise<BringBack>
  stopApi: () => Promise<BringBack>
}

export async function startClientWorld(
  environment: Record<string, string> = {},
): Promise<ClientWorld> {
  await using opened = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'gatehouse-client-'))
  opened.defer(() => rm(directory, { recursive: true, force: true }))
  await chmod(directory, 0o711) // for root's database, which runs as another user
  const postgres = opened.use(
    await startPostgres({ directory: join(directory, 'postgres'), settings: { fsync: 'off' } }),
  )
  await runMigrations(postgres.url, { tls: 'off', certificateAuthority: undefined })
  const [port, apiPort] = [await findFreePort(), await findFreePort()]
  const appUrl = `http://localhost:${port}`
  const provider = opened.use(await startTestProvider({ appUrl }))
  const { issuer, clientId, clientSecret } = provider

  const startApi = () => startExampleApi({ port: apiPort, issuer, audience, clientId })
  let api = await startApi()
  opened.defer(() => api[Symbol.asyncDispose]())

  const startGate = async () => {
    const { configuration, secrets } = readConfiguration({
      NODE_ENV: 'production',
      PORT: String(port),
      APP_URL: appUrl,
      DATABASE_URL: postgres.url,
      SESSION_SECRET: 'a-session-secret-of-the-browser-tests-0123456789',
      OIDC_ISSUER: issuer,
      OIDC_CLIENT_ID: clientId,
      OIDC_CLIENT_SECRET: clientSecret,
      API_URL: `http://127.0.0.1:${apiPort}`,
      ...environment,
    })
    await using unready = new AsyncDisposableStack()
    const gate = unready.use(
      await createGate(configuration, secrets, { log: pino({ level: 'silent' }) }),
    )
    unready.defer(async () => {
      await gate.closeLongLived()
      gate.server.closeAllConnections()
      gate.server.close()
    })
    gate.server.listen(port)
    await once(gate.server, 'listening')
    await until('the gate is ready', async () => (await fetch(`${appUrl}/readyz`)).ok)
    return unready.move()
  }
  let gate = await startGate()
  opened.defer(() => gate.disposeAsync())

  const chromium = await launchChromium()
  opened.defer(() => chromium.close())

  const owned = opened.move()
  return {
    appUrl,
    provider,
    chromium,
    openContext: (options) => chromium.newContext({ baseURL: appUrl, ...options }),
    stopGate: async () => {
      await gate.disposeAsync()
      return async () => {
        gate = await startGate()
      }
    },
    stopApi: async () => {
      await api[Symbol.asyncDispose]()
      return async () => {
        api = await startApi()
      }
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Logs in by the provider's form, or without it when the provider still knows the person. */
export async function logIn(page: Page, returnTo = '/dashboard', person = 'ada'): Promise<void> {
  await page.goto(`/auth/login?returnTo=${encodeURIComponent(returnTo)}`)
  await passProvider(page, person)
  await page.waitForURL((url) => url.pathname + url.search + url.hash === returnTo)
}

/** Fills in the provider's form, which is on its way or there. */
export async function passProvider(page: Page, person = 'ada'): Promise<void> {
  await page.getByLabel('Name').fill(person)
  await page.getByLabel('Password').fill('gatehouse')
  await page.getByRole('button', { name: 'Log in' }).click()
}

/** What a page of ours must not do: break the CSP, fail a request, or throw. Grows while the page lives. */
export function watchForComplaints(page: Page, appUrl: string): string[] {
  const complaints: string[] = []
  page.on('console', (message) => {
    const isOurs = page.url().startsWith(appUrl)
    if (isOurs && message.type() === 'error')
      complaints.push(`${message.text()} ${message.location().url}`)
  })
  page.on('pageerror', (error) => complaints.push(error.message))
  return complaints
}
