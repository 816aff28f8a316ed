// `/auth/me` and `POST /auth/refresh`: who is logged in, and until when.
import type { RequestHandler } from 'express'
import type { Anonymous, Me, Refreshed } from '../../shared/contract.ts'
import { ProviderUnavailable, SessionExpired } from '../errors.ts'
import type { Csrf } from '../protection/csrf.ts'
import type { Guard } from '../protection/guard.ts'
import type { Sessions } from '../sessions/sessions.ts'
import type { Tokens } from '../tokens/tokens.ts'

/** Says who the caller is. Not activity: a page that polls must not keep a session alive. */
export function createMe({
  guard,
  sessions,
  tokens,
  csrf,
}: {
  guard: Guard
  sessions: Pick<Sessions, 'idleExpiresAt' | 'clearEnded'>
  tokens: Pick<Tokens, 'read'>
  csrf: Csrf
}): RequestHandler {
  return async (request, response) => {
    const session = await guard.find(request, response)
    const grant = session && (await tokens.read(session))
    if (!session || !grant) {
      // A session whose tokens are gone has ended a moment ago.
      if (session) response.appendHeader('Set-Cookie', sessions.clearEnded(session.sid))
      response.status(401).json({ authenticated: false } satisfies Anonymous)
      return
    }
    const me: Me = {
      authenticated: true,
      user: session.user,
      session: {
        createdAt: session.createdAt.toISOString(),
        idleExpiresAt: sessions.idleExpiresAt(session).toISOString(),
        expiresAt: session.expiresAt.toISOString(),
        accessTokenExpiresAt: grant.expiresAt.toISOString(),
      },
      csrfToken: csrf.tokenFor(session),
    }
    response.json(me)
  }
}

/** Makes sure that the access token is fresh. Activity: it is how a page says that the person is there. */
export function createRefreshRoute({
  guard,
  sessions,
  tokens,
}: {
  guard: Guard
  sessions: Pick<Sessions, 'seen' | 'clearEnded'>
  tokens: Pick<Tokens, 'fresh'>
}): RequestHandler {
  return async (request, response) => {
    const session = await guard.require(request, response)
    sessions.seen(session)
    const outcome = await tokens.fresh(session)
    switch (outcome.kind) {
      case 'fresh':
      case 'stillValid':
        response.json({ accessTokenExpiresAt: outcome.expiresAt.toISOString() } satisfies Refreshed)
        return
      case 'ended':
        response.appendHeader('Set-Cookie', sessions.clearEnded(session.sid))
        throw new SessionExpired()
      case 'unavailable':
        throw new ProviderUnavailable({ retryAfterSeconds: outcome.retryAfterSeconds })
    }
  }
}
