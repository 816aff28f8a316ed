// `POST /auth/backchannel-logout` (OpenID Connect Back-Channel Logout 1.0): the provider says that a
// session, or a person, is over. No cookie, no CSRF: the token's signature is the proof.
import { createHash } from 'node:crypto'
import type { Request, RequestHandler } from 'express'
import type { JWTPayload } from 'jose'
import type { Clock } from '../clock.ts'
import { DatabaseUnavailable, ProviderUnavailable, Refusal } from '../errors.ts'
import { InvalidLogoutToken } from '../provider/faults.ts'
import type { Provider } from '../provider/provider.ts'
import type { LogoutRequest, Sessions } from '../sessions/sessions.ts'
import { isForm, readForm } from './form.ts'

export interface BackChannelEvents {
  backChannelLogout: (request: Request, ended: number) => void
  backChannelRefused: (request: Request, error: Error) => void
}

const eventType = 'http://schemas.openid.net/event/backchannel-logout'
const oldestSeconds = 600 // a token is sent when it is made; ASVS 10.5.5 asks for short lives

interface Parts {
  provider: Pick<Provider, 'verifyLogoutToken' | 'issuer'>
  sessions: Pick<Sessions, 'endByProvider'>
  clock: Clock
  events: BackChannelEvents
}

export function createBackChannelLogout(parts: Parts): RequestHandler {
  const { provider, sessions, clock, events } = parts
  return async (request, response) => {
    try {
      const form = isForm(request) ? await readForm(request) : undefined
      const token = form?.get('logout_token')
      if (token === undefined) throw new InvalidLogoutToken('no logout_token')
      const logout = parseLogoutToken(
        await provider.verifyLogoutToken(token),
        provider.issuer,
        clock.now(),
      )
      const ended = await sessions.endByProvider(logout)
      if (ended === 'replayed') throw new InvalidLogoutToken('jti seen before')
      events.backChannelLogout(request, ended)
      response.status(200).json({ ended })
    } catch (error) {
      if (!(error instanceof InvalidLogoutToken || error instanceof Refusal)) throw error
      events.backChannelRefused(request, error)
      // §2.8: 400 also when the logout itself failed, and never 200; the provider may send it again.
      const failed = error instanceof DatabaseUnavailable || error instanceof ProviderUnavailable
      if (error instanceof Refusal) response.set(error.headers)
      response.status(400).json({
        error: 'invalid_request',
        error_description: failed
          ? 'the logout failed; please send it again'
          : 'the logout token is not valid',
      })
    }
  }
}

/** §2.6, after signature, `iss`, `aud`, `exp`, `iat` and `typ`: the checks that make it a logout token. */
function parseLogoutToken(claims: JWTPayload, issuer: string, now: Date): LogoutRequest {
  const { jti, sub, sid, iat, exp, events } = claims
  if (typeof jti !== 'string' || jti === '') throw new InvalidLogoutToken('no jti')
  if (iat === undefined || exp === undefined) throw new InvalidLogoutToken('no iat or exp')
  if (now.getTime() / 1000 - iat > oldestSeconds) throw new InvalidLogoutToken('too old')
  // §2.4: prohibited, so that no ID token can pass for a logout token
  if ('nonce' in claims) throw new InvalidLogoutToken('nonce is present')
  if (!isObject(events) || !isObject(events[eventType]))
    throw new InvalidLogoutToken('no logout event')
  if (sid !== undefined && (typeof sid !== 'string' || sid === ''))
    throw new InvalidLogoutToken('sid is not text')
  if (sid === undefined && (typeof sub !== 'string' || sub === ''))
    throw new InvalidLogoutToken('neither sid nor sub')
  return {
    tokenId: createHash('sha256').update(`${issuer}\0${jti}`).digest('base64url'),
    issuer,
    issuedAt: new Date(iat * 1000),
    // Remembered until it could not be sent any more, whichever of the two limits says so.
    expiresAt: new Date(Math.max(exp, iat + oldestSeconds) * 1000 + 60_000),
    target: typeof sid === 'string' ? { providerSessionId: sid } : { subject: sub ?? '' },
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
