// What the provider says of itself: read in the background until it is known, then once an hour. A
// provider that is down at start, or for a while, costs a login its time, never a session.
import type { KeyObject } from 'node:crypto'
import { createRemoteJWKSet } from 'jose'
import * as openid from 'openid-client'
import type { ClientCredentials } from '../client-credentials.ts'
import { isLoopback } from '../environment.ts'
import { ProviderUnavailable } from '../errors.ts'
import { describeFault } from './faults.ts'

export interface KnownProvider {
  client: openid.Configuration
  metadata: openid.ServerMetadata
  keys: ReturnType<typeof createRemoteJWKSet>
}

export interface Discovery extends Disposable {
  current: () => KnownProvider | undefined
  /** What is known, or else one more try, shared by all who ask at the same time. Throws `ProviderUnavailable`. */
  know: () => Promise<KnownProvider>
}

export interface ProviderLog {
  info: (facts: object, message: string) => void
  warn: (facts: object, message: string) => void
}

export const clockSkewSeconds = 30
const requestTimeoutSeconds = 10
const discoveryTimeoutSeconds = 5
const readAgainMs = 3_600_000

interface Parts {
  issuer: URL
  clientId: string
  credentials: ClientCredentials
  log: ProviderLog
}

/** Starts to look for the provider's metadata at once, and goes on until disposed. */
export function openDiscovery({ issuer, clientId, credentials, log }: Parts): Discovery {
  let known: KnownProvider | undefined
  let underWay: Promise<KnownProvider> | undefined
  let timer: NodeJS.Timeout | undefined
  let disposed = false

  const discover = async (): Promise<KnownProvider> => {
    // An http issuer is a loopback one: the configuration allows no other.
    const insecure = issuer.protocol === 'http:' && isLoopback(issuer)
    const found = await openid.discovery(issuer, clientId, undefined, openid.None(), {
      timeout: discoveryTimeoutSeconds,
      ...(insecure && { execute: [openid.allowInsecureRequests] }),
    })
    const metadata = found.serverMetadata()
    if (!metadata.jwks_uri) throw new TypeError('the provider publishes no jwks_uri')
    const client = new openid.Configuration(
      metadata,
      clientId,
      { [openid.clockTolerance]: clockSkewSeconds },
      await clientAuthentication(credentials, metadata),
    )
    client.timeout = requestTimeoutSeconds
    if (insecure) openid.allowInsecureRequests(client)
    // RFC 9700 §2.1.1: without PKCE at the provider, state and nonce stand alone.
    if (!known && !metadata.supportsPKCE()) {
      log.warn({}, 'the provider does not say that it supports PKCE with S256')
    }
    const keys = createRemoteJWKSet(new URL(metadata.jwks_uri), {
      timeoutDuration: discoveryTimeoutSeconds * 1000,
      cooldownDuration: 10_000, // a flood of unknown key ids causes one request in 10 s
      cacheMaxAge: 600_000,
    })
    return {
      client,
      metadata,
      keys: known?.metadata.jwks_uri === metadata.jwks_uri ? known.keys : keys,
    }
  }

  const discoverOnce = (): Promise<KnownProvider> => {
    underWay ??= discover()
      .then((found) => {
        if (!known) log.info({ issuer: issuer.href }, 'the provider is known')
        known = found
        return found
      })
      .finally(() => {
        underWay = undefined
      })
    return underWay
  }

  const schedule = (delayMs: number, attempt: number) => {
    if (!disposed) timer = setTimeout(() => keepDiscovering(attempt), delayMs).unref()
  }
  const keepDiscovering = (attempt: number) => {
    discoverOnce().then(
      () => schedule(readAgainMs, 0),
      (error: unknown) => {
        log.warn(
          { err: describeFault(error) },
          `the metadata of ${issuer.href} can't be read; trying again`,
        )
        schedule(Math.min(500 * 2 ** attempt, 30_000) * (0.5 + Math.random() / 2), attempt + 1)
      },
    )
  }
  keepDiscovering(0)

  return {
    current: () => known,
    know: async () => {
      if (known) return known
      try {
        return await discoverOnce()
      } catch (error) {
        throw new ProviderUnavailable({ cause: error })
      }
    },
    [Symbol.dispose]: () => {
      disposed = true
      clearTimeout(timer)
    },
  }
}

async function clientAuthentication(
  credentials: ClientCredentials,
  metadata: openid.ServerMetadata,
): Promise<openid.ClientAuth> {
  switch (credentials.kind) {
    case 'none':
      return openid.None()
    case 'secret': {
      // OpenID Connect Discovery 1.0 §3: unless it says otherwise, a provider takes client_secret_basic.
      const methods = metadata.token_endpoint_auth_methods_supported ?? ['client_secret_basic']
      return methods.includes('client_secret_basic')
        ? openid.ClientSecretBasic(credentials.secret)
        : openid.ClientSecretPost(credentials.secret)
    }
    case 'private_key': {
      const key = toCryptoKey(credentials.key)
      return openid.PrivateKeyJwt(
        credentials.keyId === undefined ? key : { key, kid: credentials.keyId },
      )
    }
  }
}

const curves = new Map([
  ['prime256v1', 'P-256'],
  ['secp384r1', 'P-384'],
  ['secp521r1', 'P-521'],
])

function toCryptoKey(key: KeyObject) {
  if (key.asymmetricKeyType === 'rsa') {
    return key.toCryptoKey({ name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, false, ['sign'])
  }
  const namedCurve = curves.get(key.asymmetricKeyDetails?.namedCurve ?? '')
  return namedCurve
    ? key.toCryptoKey({ name: 'ECDSA', namedCurve }, false, ['sign'])
    : key.toCryptoKey({ name: 'Ed25519' }, false, ['sign'])
}
