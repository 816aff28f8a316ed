// `POST /auth/logout`: the session ends here first, then at the provider. It answers the same whether
// there was a session, a broken cookie or nothing, and no fault of the provider stops it.
import type { RequestHandler } from 'express'
import type { LoggedOut } from '../../shared/contract.ts'
import type { CrossSiteRule } from '../protection/cross-site.ts'
import type { Guard } from '../protection/guard.ts'
import type { Provider } from '../provider/provider.ts'
import type { SessionCookies } from '../sessions/cookie.ts'
import type { Sessions } from '../sessions/sessions.ts'
import type { Tokens } from '../tokens/tokens.ts'
import { isForm, readForm } from './form.ts'

/** The field by which a plain form, which can't set a header, proves itself. */
const csrfField = 'csrf_token'

interface Parts {
  crossSite: Pick<CrossSiteRule, 'refuseElsewhere'>
  guard: Guard
  sessions: Pick<Sessions, 'end'>
  tokens: Pick<Tokens, 'read'>
  provider: Pick<Provider, 'revoke' | 'logoutUrl'>
  cookies: SessionCookies
}

export function createLogout(parts: Parts): RequestHandler {
  const { crossSite, guard, sessions, tokens, provider, cookies } = parts
  return async (request, response) => {
    // A form elsewhere comes without the Strict cookie, and its answer would take that cookie away all the same.
    crossSite.refuseElsewhere(request)
    const form = isForm(request) ? await readForm(request) : undefined
    const session = await guard.find(request, response, form?.get(csrfField))
    let logoutUrl = provider.logoutUrl(undefined)
    if (session) {
      const grant = await tokens.read(session)
      await sessions.end(session.sid, 'logout')
      // Not waited for: the person is out of here whether the provider answers or not. A refresh that
      // is under way finds its row gone, and revokes what it got.
      if (grant?.refreshToken !== undefined) void provider.revoke(grant.refreshToken)
      logoutUrl = provider.logoutUrl(grant?.idToken)
    }
    response.removeHeader('Set-Cookie')
    response.appendHeader('Set-Cookie', cookies.clear)
    // ASVS 14.3.1; not "storage", which would take what the app keeps for the next person to log in
    response.setHeader('Clear-Site-Data', '"cache"')
    // RFC 9700 §4.12: 303, so that the browser asks the provider with GET
    if (form) response.redirect(303, logoutUrl)
    else response.json({ success: true, logoutUrl } satisfies LoggedOut)
  }
}
