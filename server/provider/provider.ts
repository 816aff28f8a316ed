// The OpenID provider as the gate sees it. This folder owns openid-client and jose: what they throw leaves it
// as an outcome or as a refusal. The provider may be down, slow or wrong at any time; nothing here lets
// that reach a session, but for the one answer that ends a grant: `invalid_grant`.
import { decodeJwt, errors as joseErrors, jwtVerify, type JWTPayload } from 'jose'
import * as openid from 'openid-client'
import { paths } from '../../shared/contract.ts'
import type { Clock } from '../clock.ts'
import type { ClientCredentials } from '../client-credentials.ts'
import type { Configuration } from '../configuration.ts'
import { ProviderUnavailable } from '../errors.ts'
import {
  clockSkewSeconds,
  openDiscovery,
  type KnownProvider,
  type ProviderLog,
} from './discovery.ts'
import {
  describeFault,
  keysAreAway,
  InvalidLogoutToken,
  TokenExchangeFailed,
  toLoginError,
  toRefreshFailure,
  type RefreshFailure,
} from './faults.ts'

/** What the provider granted. The instants are the access token's. */
export interface Grant {
  accessToken: string
  refreshToken: string | undefined
  idToken: string | undefined
  issuedAt: Date
  expiresAt: Date
}

/** What a person comes back with. */
export interface LoggedIn {
  grant: Grant
  claims: openid.IDToken
}

/** `subject` is that of a refreshed ID token, when one came. */
export type RefreshOutcome =
  | { kind: 'granted'; grant: Grant; subject: string | undefined }
  | RefreshFailure

/** What a login in progress remembers, to be held against the provider's answer. */
export interface AuthorizationChecks {
  state: string
  nonce: string
  codeVerifier: string
  maxAgeSeconds: number | undefined
  acrValues: string | undefined
}

export interface Provider extends Disposable {
  /** The configured issuer as a URL, and what sessions of this provider are filed under. */
  readonly issuer: string
  isKnown: () => boolean
  /** Where a person logs in. Throws `ProviderUnavailable`. */
  authorizationUrl: (checks: AuthorizationChecks, passedOn: Record<string, string>) => Promise<URL>
  /** Spends the code. Throws `AuthorizationFailed`, `TokenExchangeFailed`, `ProviderUnavailable`. */
  exchangeCode: (callbackUrl: URL, checks: AuthorizationChecks) => Promise<LoggedIn>
  refresh: (refreshToken: string) => Promise<RefreshOutcome>
  /** RFC 7009, if the provider publishes an endpoint. Never throws; answers whether it was done. */
  revoke: (refreshToken: string) => Promise<boolean>
  /** RP-Initiated Logout 1.0 §2, or the app's own page when the provider has no such endpoint or is not known. */
  logoutUrl: (idToken: string | undefined) => string
  /** The origin of that page, for the CSP's `form-action`. */
  logoutOrigin: () => string | undefined
  /** The claims of a logout token whose signature, issuer, audience and times hold. Throws `InvalidLogoutToken`, `ProviderUnavailable`. */
  verifyLogoutToken: (token: string) => Promise<JWTPayload>
}

const assumedLifetimeSeconds = 300 // for an access token that says nothing of its end
const longestLifetimeSeconds = 365 * 24 * 3600 // for one that says "never" with a number that no date can hold
// Signatures that only the provider can make; never `none`, never a secret that both sides know.
const algorithms = 'RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519'.split(' ')

interface Parts {
  configuration: Configuration['provider']
  appUrl: URL
  credentials: ClientCredentials
  clock: Clock
  log: ProviderLog
}

/** Starts to look for the provider's metadata in the background, and goes on until it has them; disposing stops that. */
export function openProvider({ configuration, appUrl, credentials, clock, log }: Parts): Provider {
  const { issuer, clientId } = configuration
  const redirectUri = new URL(paths.callback, appUrl).href
  const targets = {
    ...(configuration.resource && { resource: configuration.resource }), // RFC 8707 §2
    ...(configuration.audience && { audience: configuration.audience }),
  }
  const discovery = openDiscovery({ issuer, clientId, credentials, log })

  const verify = async (token: string, { keys, metadata }: KnownProvider) => {
    // RFC 8725 §3.1, §3.5: our list of algorithms, and the keys of the metadata alone.
    return jwtVerify(token, keys, {
      issuer: metadata.issuer,
      audience: clientId,
      algorithms,
      clockTolerance: clockSkewSeconds,
      requiredClaims: ['iat', 'exp'],
    })
  }

  const toGrant = (answer: openid.TokenEndpointResponse, askedAt: Date): Grant => {
    // A sender-constrained token is worth nothing as a bearer token.
    if (answer.token_type.toLowerCase() !== 'bearer') {
      throw new TokenExchangeFailed(
        `the provider issued a ${answer.token_type} token, not a bearer token`,
      )
    }
    const lifetimeSeconds =
      answer.expires_in ?? readLifetime(answer.access_token, askedAt) ?? assumedLifetimeSeconds
    const clampedSeconds = Math.min(Math.max(lifetimeSeconds, 0), longestLifetimeSeconds)
    return {
      accessToken: answer.access_token,
      refreshToken: answer.refresh_token,
      idToken: answer.id_token,
      issuedAt: askedAt, // from before the request: late by nothing, at worst early
      expiresAt: new Date(askedAt.getTime() + clampedSeconds * 1000),
    }
  }

  return {
    issuer: issuer.href,
    isKnown: () => discovery.current() !== undefined,

    authorizationUrl: async (checks, passedOn) => {
      const { client } = await discovery.know()
      return openid.buildAuthorizationUrl(client, {
        ...targets,
        ...passedOn,
        response_type: 'code',
        scope: configuration.scopes,
        redirect_uri: redirectUri,
        state: checks.state,
        nonce: checks.nonce,
        code_challenge: await openid.calculatePKCECodeChallenge(checks.codeVerifier),
        code_challenge_method: 'S256',
      })
    },

    exchangeCode: async (callbackUrl, checks) => {
      const provider = await discovery.know()
      const askedAt = clock.now()
      try {
        const answer = await openid.authorizationCodeGrant(
          provider.client,
          callbackUrl,
          {
            expectedState: checks.state,
            expectedNonce: checks.nonce,
            pkceCodeVerifier: checks.codeVerifier,
            idTokenExpected: true,
            ...(checks.maxAgeSeconds !== undefined && { maxAge: checks.maxAgeSeconds }),
          },
          targets,
        )
        const claims = answer.claims()
        if (!claims || answer.id_token === undefined) throw new TokenExchangeFailed('no ID token')
        await verify(answer.id_token, provider)
        // OpenID Connect Core §3.1.2.1: what was asked for has to be looked for in the answer.
        const acr = typeof claims.acr === 'string' ? claims.acr : ''
        if (checks.acrValues !== undefined && !checks.acrValues.split(' ').includes(acr)) {
          throw new TokenExchangeFailed('the authentication context that was asked for is missing')
        }
        return { grant: toGrant(answer, askedAt), claims }
      } catch (error) {
        throw toLoginError(error)
      }
    },

    refresh: async (refreshToken) => {
      try {
        const { client } = await discovery.know()
        const askedAt = clock.now()
        const answer = await openid.refreshTokenGrant(client, refreshToken, targets)
        // Its ID token came over TLS from the token endpoint (OpenID Connect Core §3.1.3.7, 6): to fetch
        // a key for it now could cost a grant that has been rotated already.
        return { kind: 'granted', grant: toGrant(answer, askedAt), subject: answer.claims()?.sub }
      } catch (error) {
        return toRefreshFailure(error)
      }
    },

    revoke: async (refreshToken) => {
      try {
        const { client, metadata } = await discovery.know()
        if (!metadata.revocation_endpoint) return false
        await openid.tokenRevocation(client, refreshToken, { token_type_hint: 'refresh_token' })
        return true
      } catch (error) {
        // A provider that is down never stops a logout.
        log.warn({ err: describeFault(error) }, 'a refresh token was not revoked')
        return false
      }
    },

    logoutUrl: (idToken) => {
      const home = new URL('/', appUrl).href
      const known = discovery.current()
      // What is no URL leads nobody anywhere, and must not stop a logout.
      if (!known || !URL.canParse(known.metadata.end_session_endpoint ?? '')) return home
      return openid.buildEndSessionUrl(known.client, {
        post_logout_redirect_uri: home,
        ...(idToken !== undefined && configuration.sendLogoutHint && { id_token_hint: idToken }),
      }).href
    },
    logoutOrigin: () => URL.parse(discovery.current()?.metadata.end_session_endpoint ?? '')?.origin,

    verifyLogoutToken: async (token) => {
      const provider = await discovery.know()
      try {
        const { payload, protectedHeader } = await verify(token, provider)
        // Back-Channel Logout 1.0 §2.4: the type is what keeps an ID token from being one.
        const type = protectedHeader.typ?.toLowerCase().replace(/^application\//, '')
        if (
          type !== 'logout+jwt' &&
          (configuration.requireLogoutTokenType || (type !== undefined && type !== 'jwt'))
        ) {
          throw new InvalidLogoutToken('typ is not logout+jwt')
        }
        return payload
      } catch (error) {
        if (error instanceof InvalidLogoutToken) throw error
        if (keysAreAway(error)) throw new ProviderUnavailable({ cause: error })
        if (error instanceof joseErrors.JOSEError)
          throw new InvalidLogoutToken('not a valid token', { cause: error })
        throw new ProviderUnavailable({ cause: error })
      }
    },

    [Symbol.dispose]: () => discovery[Symbol.dispose](),
  }
}

/** From the `exp` of an access token that happens to be a JWT. Only a hint of when to refresh: the API decides what it accepts. */
function readLifetime(accessToken: string, askedAt: Date): number | undefined {
  try {
    const { exp } = decodeJwt<{ exp?: unknown }>(accessToken) // whatever its type: nobody has checked it
    return typeof exp === 'number' ? exp - askedAt.getTime() / 1000 : undefined
  } catch (error) {
    if (error instanceof joseErrors.JOSEError) return undefined // opaque, as it may be
    throw error
  }
}
