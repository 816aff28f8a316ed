// Where a request comes from: one rule for HTTP and upgrades, and what CORS says of it. The browser's
// own words decide (`Origin`, `Sec-Fetch-Site`); a request without our cookie has nothing to abuse.
import type { IncomingMessage } from 'node:http'
import type { RequestHandler } from 'express'
import { csrfHeader } from '../../shared/contract.ts'
import { CrossSite } from '../errors.ts'
import { findCookieValues } from '../sessions/cookie.ts'

export interface CrossSiteRule {
  /** Throws `CrossSite` for an upgrade without an allowed `Origin`, and for a request that rides on the session cookie from elsewhere. */
  check: (request: IncomingMessage, kind: 'http' | 'upgrade') => void
  /** Throws `CrossSite` for whatever comes from elsewhere, with our cookie or without: for an answer that changes cookies. */
  refuseElsewhere: (request: IncomingMessage) => void
  /** Whether the browser only asks what it may send (Fetch Standard, CORS-preflight request). */
  isPreflight: (request: IncomingMessage) => boolean
  /** What lets a listed origin read the answer; empty for all others. */
  corsHeaders: (request: IncomingMessage) => Record<string, string>
  preflightHeaders: (request: IncomingMessage) => Record<string, string>
  /** CORS for `/auth`, where nothing is kept by a cache either. */
  forExpress: RequestHandler
}

interface Parts {
  appUrl: URL
  frontendOrigins: readonly string[]
  sessionCookie: string
}

export function createCrossSiteRule(parts: Parts): CrossSiteRule {
  const { appUrl, frontendOrigins, sessionCookie } = parts
  const allowed = new Set([appUrl.origin, ...frontendOrigins])
  const frontends = new Set(frontendOrigins)
  const vary = frontends.size > 0 ? { Vary: 'Origin' } : {}

  const corsHeaders = ({ headers: { origin } }: IncomingMessage): Record<string, string> =>
    origin !== undefined && frontends.has(origin)
      ? {
          'Access-Control-Allow-Origin': origin,
          'Access-Control-Allow-Credentials': 'true',
          'Access-Control-Expose-Headers': 'X-Request-ID, Retry-After',
          ...vary,
        }
      : vary

  const isFromElsewhere = ({ headers }: IncomingMessage) => {
    // `null` is every opaque origin at once, and so nobody's.
    if (headers.origin !== undefined) return !allowed.has(headers.origin)
    const site = headers['sec-fetch-site']
    return site === 'cross-site' || site === 'same-site'
  }

  const isPreflight = ({ method, headers }: IncomingMessage) =>
    method === 'OPTIONS' &&
    headers.origin !== undefined &&
    headers['access-control-request-method'] !== undefined

  const preflightHeaders = (request: IncomingMessage): Record<string, string> => {
    const { origin } = request.headers
    if (origin === undefined || !frontends.has(origin)) return vary
    const asked = request.headers['access-control-request-headers']
    return {
      ...corsHeaders(request),
      'Access-Control-Allow-Methods': 'GET, HEAD, POST, PUT, PATCH, DELETE',
      'Access-Control-Allow-Headers': asked ?? csrfHeader,
      'Access-Control-Max-Age': '600',
    }
  }

  return {
    check: (request, kind) => {
      const { origin, cookie } = request.headers
      // RFC 6455 §10.2: browsers always send it
      if (kind === 'upgrade' && !allowed.has(origin ?? '')) throw new CrossSite()
      if (isFromElsewhere(request) && findCookieValues(cookie, sessionCookie).length > 0)
        throw new CrossSite()
    },
    refuseElsewhere: (request) => {
      if (isFromElsewhere(request)) throw new CrossSite()
    },
    isPreflight,
    corsHeaders,
    preflightHeaders,
    forExpress: (request, response, next) => {
      response.set({ 'Cache-Control': 'no-store', ...corsHeaders(request) })
      if (isPreflight(request)) response.set(preflightHeaders(request)).status(204).end()
      else next()
    },
  }
}
