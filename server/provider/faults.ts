// What the provider's faults mean. The verdict rests on class, status and wire code, never on a message.
import { errors as joseErrors } from 'jose'
import * as openid from 'openid-client'
import { ProviderUnavailable } from '../errors.ts'

/** Why a refresh brought no tokens. */
export type RefreshFailure =
  /** `invalid_grant`: the provider says that this grant is over. */
  | { kind: 'ended' }
  /** The answer was lost on the way; the provider may have carried it out. */
  | { kind: 'lost'; cause: unknown }
  | { kind: 'unavailable'; cause: unknown }

export class TokenExchangeFailed extends Error {
  override readonly name = 'TokenExchangeFailed'
}

/** The provider redirected back with an OAuth error (RFC 6749 §4.1.2.1). */
export class AuthorizationFailed extends Error {
  override readonly name = 'AuthorizationFailed'
  readonly code: string

  constructor(code: string, options?: ErrorOptions) {
    super('the provider refused the login', options)
    this.code = code
  }
}

export class InvalidLogoutToken extends Error {
  override readonly name = 'InvalidLogoutToken'
}

const lostCodes = new Set([
  'ECONNRESET',
  'EPIPE',
  'UND_ERR_SOCKET',
  'UND_ERR_BODY_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'ETIMEDOUT',
])

/** What a failed fetch was about. Node throws a TypeError for every network fault, the code in its cause. */
function networkCode(error: unknown): string | undefined {
  if (!(error instanceof TypeError) || !(error.cause instanceof Error)) return undefined
  return 'code' in error.cause ? String(error.cause.code) : 'unknown'
}

/** Which answer of the token endpoint means what. Only `invalid_grant` ends anything: `invalid_client` is an operator's mistake, 429 and 5xx pass. */
export function toRefreshFailure(error: unknown): RefreshFailure {
  if (error instanceof openid.ResponseBodyError && error.error === 'invalid_grant')
    return { kind: 'ended' }
  const network = networkCode(error)
  if (network !== undefined)
    return { kind: lostCodes.has(network) ? 'lost' : 'unavailable', cause: error }
  const isLost =
    error instanceof openid.ClientError &&
    (error.code === 'OAUTH_TIMEOUT' || error.code === 'OAUTH_PARSE_ERROR')
  return { kind: isLost ? 'lost' : 'unavailable', cause: error }
}

/** The provider's keys could not be fetched: it answers too late, or with something else than 200, which has the general code. */
export const keysAreAway = (error: unknown) =>
  error instanceof joseErrors.JOSEError &&
  (error instanceof joseErrors.JWKSTimeout || error.code === 'ERR_JOSE_GENERIC')

export function toLoginError(error: unknown): Error {
  if (error instanceof ProviderUnavailable || error instanceof TokenExchangeFailed) return error
  if (error instanceof openid.AuthorizationResponseError) {
    // RFC 6749 §4.1.2.1 gives the alphabet; anything else has no business in our redirect.
    const code = /^[a-z_]{1,60}$/.test(error.error) ? error.error : 'token_exchange_failed'
    return new AuthorizationFailed(code, { cause: error })
  }
  const down =
    networkCode(error) !== undefined ||
    keysAreAway(error) ||
    (error instanceof openid.ClientError && error.code === 'OAUTH_TIMEOUT') ||
    (error instanceof Error && error.cause instanceof Response && error.cause.status >= 500)
  return down
    ? new ProviderUnavailable({ cause: error })
    : new TokenExchangeFailed('the code could not be exchanged', { cause: error })
}

/** What may be logged of a provider's fault: class, code and status; not the answer, which may hold a token. */
export function describeFault(error: unknown): object {
  if (!(error instanceof Error)) return { name: typeof error }
  const code = 'code' in error ? error.code : undefined
  const oauthError = 'error' in error ? error.error : undefined
  const status = 'status' in error ? error.status : undefined
  const issuers =
    code === 'OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED' ? describeMismatch(error.cause) : undefined
  const cause = error.cause instanceof Error ? describeFault(error.cause) : undefined
  return { name: error.name, message: error.message, code, oauthError, status, ...issuers, cause }
}

/** OIDC_ISSUER and the metadata's issuer must be alike to the last slash: show both. */
function describeMismatch(cause: unknown): object | undefined {
  if (typeof cause !== 'object' || cause === null || !('expected' in cause) || !('body' in cause))
    return undefined
  const { body } = cause
  const found =
    typeof body === 'object' && body !== null && 'issuer' in body ? body.issuer : undefined
  return { expected: cause.expected, found }
}
