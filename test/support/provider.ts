// The development provider under a test's thumb: its token requests are counted, and can be delayed,
// answered with a fault, or lost.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { startProvider, type DevelopmentProvider } from '../../server/development/provider.ts'
import { findFreePort } from './free-port.ts'

/** What becomes of a request to the provider's token endpoint. `undefined` lets it through. */
export type Fault = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>

export interface TestProvider extends DevelopmentProvider {
  clientId: string
  clientSecret: string
  /** How many requests came to a path, such as `/token`, since the start. */
  requestsTo: (path: string) => number
  /** From now on requests to this path meet the fault; `undefined` ends it. */
  failAt: (path: string, fault: Fault | undefined) => void
  /** Stops it, and gives the way to bring it back at the same address. */
  stop: () => Promise<() => Promise<void>>
}

export const audience = 'urn:test:api'
const clientId = 'gate-under-test'
const clientSecret = 'a-secret-of-the-client-under-test-0123456789'

export async function startTestProvider({
  appUrl,
  accessTokenSeconds = 120,
}: {
  appUrl: string
  accessTokenSeconds?: number
}): Promise<TestProvider> {
  const counts = new Map<string, number>()
  const faults = new Map<string, Fault>()
  const start = (port: number) =>
    startProvider({
      port,
      clients: [
        {
          clientId,
          clientSecret,
          redirectUris: [`${appUrl}/auth/callback`],
          postLogoutRedirectUris: [`${appUrl}/`],
          backChannelLogoutUri: `${appUrl}/auth/backchannel-logout`,
        },
      ],
      resource: audience,
      accessTokenSeconds,
      intercept: async (request, response) => {
        const path = (request.url ?? '').split('?')[0] ?? ''
        counts.set(path, (counts.get(path) ?? 0) + 1)
        const fault = faults.get(path)
        if (!fault) return false
        await fault(request, response)
        return response.writableEnded || response.destroyed
      },
    })
  let provider = await start(await findFreePort()) // it may be stopped, and come back there
  const { issuer, port } = provider

  return {
    issuer,
    port,
    clientId,
    clientSecret,
    requestsTo: (path) => counts.get(path) ?? 0,
    failAt: (path, fault) => void (fault ? faults.set(path, fault) : faults.delete(path)),
    stop: async () => {
      await provider[Symbol.asyncDispose]()
      return async () => {
        provider = await start(port)
      }
    },
    [Symbol.asyncDispose]: () => provider[Symbol.asyncDispose](),
  }
}

/** Answers with this status and body. */
export const answering =
  (status: number, body: string, headers: Record<string, string> = {}): Fault =>
  (_request, response) => {
    response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(body)
  }

/** Cuts the connection without a word. */
export const cutting: Fault = (request) => {
  request.socket.resetAndDestroy()
}

/** Lets it through when `release` is called. */
export function holding(): { fault: Fault; release: () => void; held: () => number } {
  const { promise, resolve } = Promise.withResolvers<void>()
  let held = 0
  return {
    fault: () => {
      held += 1
      return promise
    },
    release: resolve,
    held: () => held,
  }
}
