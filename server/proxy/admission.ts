// The steps that every proxied call takes, HTTP and upgrade alike. Both relays take `Admitted` and
// nothing weaker, and only `admit` makes one: a call that skipped a step does not compile.
import type { IncomingMessage } from 'node:http'
import {
  BadRequest,
  DatabaseUnavailable,
  MethodNotAllowed,
  NotFound,
  ProviderUnavailable,
  SessionExpired,
  Unauthenticated,
  UpgradeUnsupported,
  UpstreamTimeout,
} from '../errors.ts'
import type { CrossSiteRule } from '../protection/cross-site.ts'
import type { Csrf } from '../protection/csrf.ts'
import type { LiveSession } from '../sessions/session.ts'
import type { Sessions } from '../sessions/sessions.ts'
import type { Tokens } from '../tokens/tokens.ts'
import type { Upstream } from '../upstream-table.ts'
import type { UpstreamTable } from './upstreams.ts'

declare const admitted: unique symbol

export interface Admitted {
  readonly [admitted]: true
  readonly upstream: Upstream
  readonly target: string
  readonly session: LiveSession | undefined
  readonly accessToken: string | undefined
  readonly ownAuthorization: string | undefined
}

/** Who asks, and what is found out on the way; read as well when admission refuses, or takes too long. */
export interface Knock {
  readonly request: IncomingMessage
  readonly kind: 'http' | 'upgrade'
  /** `Set-Cookie` lines that take a dead cookie away, whatever the answer. */
  setCookies: readonly string[]
  waitsFor: 'database' | 'provider' | 'upstream'
  /** The call's time runs from its arrival. */
  matched: (upstream: Upstream) => void
  /** From here on the end of the session ends the call. Throws to refuse. */
  found: (session: LiveSession) => void
}

/** The refusal of a call whose time is up: it names who was waited for. */
export const lateFor = {
  database: () => new DatabaseUnavailable(),
  provider: () => new ProviderUnavailable(),
  upstream: () => new UpstreamTimeout(),
}

export interface AdmissionParts {
  sessions: Pick<Sessions, 'find' | 'seen' | 'clearEnded'>
  tokens: Pick<Tokens, 'fresh'>
  crossSite: Pick<CrossSiteRule, 'check'>
  csrf: Pick<Csrf, 'check'>
}

export interface Admission {
  /** Throws the refusals of contract section 6. The caller may have gone when it answers. */
  admit: (knock: Knock) => Promise<Admitted>
  /** A token in place of one that the upstream refused; `undefined` when there is none. Throws `SessionExpired`. */
  replaceToken: (
    knock: Knock,
    session: LiveSession,
    rejected: string,
  ) => Promise<string | undefined>
}

export function createAdmission({
  upstreams,
  sessions,
  tokens,
  crossSite,
  csrf,
}: AdmissionParts & { upstreams: UpstreamTable }): Admission {
  /** The session that a cookie names, unless the upstream can do without and there is none. */
  const findSession = async (knock: Knock, { auth }: Upstream) => {
    const found = await sessions.find(knock.request.headers.cookie)
    if (found.kind === 'live') return found.session
    if (found.kind === 'dead') knock.setCookies = found.clear
    if (auth === 'optional') return undefined
    throw found.kind === 'dead' && found.wasSession ? new SessionExpired() : new Unauthenticated()
  }

  /** It ended under way, and its cookie is dead now. */
  const clearEnded = (knock: Knock, { sid }: LiveSession) => {
    knock.setCookies = sessions.clearEnded(sid)
  }

  const findToken = async (knock: Knock, session: LiveSession) => {
    knock.waitsFor = 'provider'
    const outcome = await tokens.fresh(session)
    switch (outcome.kind) {
      case 'fresh':
      case 'stillValid':
        return outcome.accessToken
      case 'ended':
        clearEnded(knock, session)
        throw new SessionExpired()
      case 'unavailable':
        throw new ProviderUnavailable({ retryAfterSeconds: outcome.retryAfterSeconds })
    }
  }

  return {
    admit: async (knock) => {
      const { request, kind } = knock
      const route = upstreams.match(request.url ?? '')
      if (!route) throw new NotFound()
      const { upstream, target } = route
      checkForm(request, kind, upstream)
      knock.matched(upstream)
      crossSite.check(request, kind)

      let session: LiveSession | undefined
      let accessToken: string | undefined
      const ownAuthorization = upstream.bearer ? findBearer(request) : undefined
      if (upstream.auth !== 'none') {
        const isBearerCall = ownAuthorization !== undefined
        if (!isBearerCall || request.headers.cookie !== undefined) {
          session = await findSession(
            knock,
            // With its own token a caller needs no session; with a session the session's token counts.
            isBearerCall ? { ...upstream, auth: 'optional' } : upstream,
          )
        }
        if (session) {
          request.facts.sessionLabel = session.label
          if (kind === 'http') csrf.check(request, session)
          knock.found(session)
          // Before it is waited for a token: a provider that is down makes nobody idle.
          sessions.seen(session)
          accessToken = await findToken(knock, session)
        }
      }
      knock.waitsFor = 'upstream'
      // The one place where the brand is given: every step was taken above.
      return { upstream, target, session, accessToken, ownAuthorization } as Admitted
    },

    replaceToken: async (knock, session, rejected) => {
      const outcome = await tokens.fresh(session, { rejected })
      if (outcome.kind === 'ended') {
        clearEnded(knock, session)
        throw new SessionExpired()
      }
      if (outcome.kind === 'unavailable' || outcome.accessToken === rejected) return undefined
      return outcome.accessToken
    },
  }
}

/** What needs neither session nor token to be refused. */
function checkForm(
  { method = '', headers, httpVersion }: IncomingMessage,
  kind: Knock['kind'],
  upstream: Upstream,
) {
  const { methods } = upstream
  // RFC 9112 §2.3: Node's parser takes some others, and then frames its answers differently.
  if (httpVersion !== '1.1' && httpVersion !== '1.0') throw new BadRequest()
  const isAllowed = methods ? methods.includes(method) : method !== 'TRACE' && method !== 'CONNECT'
  if (!isAllowed) throw new MethodNotAllowed(methods && { headers: { Allow: methods.join(', ') } })
  // RFC 9112 §6.1: a coding that we can't undo could hide where the message ends.
  const coding = headers['transfer-encoding']
  if (coding !== undefined && coding.toLowerCase() !== 'chunked')
    throw new BadRequest({ headers: { Connection: 'close' } })
  if (kind === 'http') return

  if (headers.upgrade?.toLowerCase() !== 'websocket') throw new UpgradeUnsupported()
  if (!upstream.websocket) throw new NotFound()
  // RFC 6455 §4.1: a GET; with a body its end and the first frame would be a matter of opinion.
  const hasBody = coding !== undefined || (headers['content-length'] ?? '0') !== '0'
  if (method !== 'GET' || hasBody) throw new BadRequest()
}

function findBearer({ headers: { authorization } }: IncomingMessage): string | undefined {
  return authorization !== undefined && /^bearer /i.test(authorization) ? authorization : undefined
}
