// What holds for every call at `/auth` that rides on the session cookie, as admission does for the
// proxied ones: where it comes from, which session it is, and the proof of an unsafe method.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock } from '../clock.ts'
import { SessionExpired, Unauthenticated } from '../errors.ts'
import type { SessionCookies } from '../sessions/cookie.ts'
import type { LiveSession } from '../sessions/session.ts'
import type { Sessions } from '../sessions/sessions.ts'
import type { CrossSiteRule } from './cross-site.ts'
import type { Csrf } from './csrf.ts'

export interface Guard {
  /**
   * The caller's session, or `undefined`; a dead cookie is cleared, one under an old secret signed anew.
   * Throws `CrossSite`, `CsrfFailed`, `DatabaseUnavailable`.
   */
  find: (
    request: IncomingMessage,
    response: ServerResponse,
    csrfFromForm?: string,
  ) => Promise<LiveSession | undefined>
  /** As `find`, for a page that a link elsewhere may lead to: such a navigation is let through. */
  findForNavigation: Guard['find']
  /** As `find`; throws `SessionExpired` or `Unauthenticated` when there is none. */
  require: (request: IncomingMessage, response: ServerResponse) => Promise<LiveSession>
}

interface Parts {
  sessions: Pick<Sessions, 'find'>
  cookies: SessionCookies
  crossSite: CrossSiteRule
  csrf: Csrf
  clock: Clock
}

export function createGuard({ sessions, cookies, crossSite, csrf, clock }: Parts): Guard {
  const look = async (
    request: IncomingMessage,
    response: ServerResponse,
    csrfFromForm?: string,
  ) => {
    const found = await sessions.find(request.headers.cookie)
    if (found.kind === 'dead') response.appendHeader('Set-Cookie', found.clear)
    if (found.kind === 'live') {
      const { session } = found
      request.facts.sessionLabel = session.label
      csrf.check(request, session, csrfFromForm)
      // So that the old secret can be dropped one day without logging anyone out.
      const cookie = cookies.read(request.headers.cookie)
      if (cookie.kind === 'unverified' && cookies.signedBy(cookie) > 0) {
        response.appendHeader(
          'Set-Cookie',
          cookies.issue(session, csrf.tokenFor(session), clock.now()),
        )
      }
    }
    return found
  }

  return {
    find: async (request, response, csrfFromForm) => {
      crossSite.check(request, 'http')
      const found = await look(request, response, csrfFromForm)
      return found.kind === 'live' ? found.session : undefined
    },
    findForNavigation: async (request, response) => {
      if (request.headers['sec-fetch-mode'] !== 'navigate') crossSite.check(request, 'http')
      const found = await look(request, response)
      return found.kind === 'live' ? found.session : undefined
    },
    require: async (request, response) => {
      crossSite.check(request, 'http')
      const found = await look(request, response)
      if (found.kind === 'live') return found.session
      throw found.kind === 'dead' && found.wasSession ? new SessionExpired() : new Unauthenticated()
    },
  }
}
