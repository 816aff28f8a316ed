// `/auth/sessions`: see one's own sessions, end one, end all others.
import type { RequestHandler } from 'express'
import type { OthersEnded, OwnSessions } from '../../shared/contract.ts'
import { NotFound } from '../errors.ts'
import type { Guard } from '../protection/guard.ts'
import type { Provider } from '../provider/provider.ts'
import type { SessionCookies } from '../sessions/cookie.ts'
import type { Sessions } from '../sessions/sessions.ts'
import type { Tokens } from '../tokens/tokens.ts'

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

interface Parts {
  guard: Guard
  sessions: Pick<Sessions, 'own' | 'endOwn' | 'endOthers'>
}

export function createListSessions({ guard, sessions }: Parts): RequestHandler {
  return async (request, response) => {
    const session = await guard.require(request, response)
    response.json({ sessions: await sessions.own(session) } satisfies OwnSessions)
  }
}

/** 204, or 404 for an id that is not the caller's, whoever else's it is. */
export function createEndSession({
  guard,
  sessions,
  tokens,
  provider,
  cookies,
}: Parts & {
  tokens: Pick<Tokens, 'read'>
  provider: Pick<Provider, 'revoke'>
  cookies: SessionCookies
}): RequestHandler<{ id: string }> {
  return async (request, response) => {
    const session = await guard.require(request, response)
    const { id } = request.params
    const isThisOne = id === session.publicId
    // Those of another session can't be read: their key is in that browser's cookie.
    const grant = isThisOne ? await tokens.read(session) : undefined
    if (!uuid.test(id) || !(await sessions.endOwn(session, id))) throw new NotFound()
    if (grant?.refreshToken !== undefined) void provider.revoke(grant.refreshToken)
    if (isThisOne) response.appendHeader('Set-Cookie', cookies.clear)
    response.status(204).end()
  }
}

export function createEndOtherSessions({ guard, sessions }: Parts): RequestHandler {
  return async (request, response) => {
    const session = await guard.require(request, response)
    response.json({ ended: await sessions.endOthers(session) } satisfies OthersEnded)
  }
}
