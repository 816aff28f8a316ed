// The two cookies of a session: names, attributes, how an id is read from one, issued and cleared.
// Secure and the prefixes follow from APP_URL alone, never from what a request looks like.
import { createHmac, timingSafeEqual } from 'node:crypto'
import { stringifySetCookie } from 'cookie'
import { csrfCookieNames } from '../../shared/contract.ts'
import type { Configuration } from '../configuration.ts'

export interface CookieNames {
  session: string
  csrf: string
  loginPrefix: string
}

/** With https the browser itself vouches for `__Host-` (no Domain, Path=/, Secure) and `__Host-Http-` (never by JavaScript). */
export function cookieNames(appUrl: URL): CookieNames {
  return appUrl.protocol === 'https:'
    ? { session: '__Host-Http-sid', csrf: csrfCookieNames.https, loginPrefix: '__Host-Http-login-' }
    : { session: 'sid', csrf: csrfCookieNames.http, loginPrefix: 'login-' }
}

/** Every value that a cookie header gives for a name. Two mean that somebody tosses cookies at us. */
export function findCookieValues(header: string | undefined, name: string): string[] {
  const values: string[] = []
  if (header === undefined || !header.includes(name)) return values
  for (let start = 0; start < header.length;) {
    let end = header.indexOf(';', start)
    if (end === -1) end = header.length
    const equals = header.indexOf('=', start)
    if (equals !== -1 && equals < end && header.slice(start, equals).trim() === name) {
      values.push(header.slice(equals + 1, end).trim())
    }
    start = end + 1
  }
  return values
}

export type ReadCookie =
  | { kind: 'none' }
  | { kind: 'invalid' }
  /** `value` is the cookie as sent, its signature not looked at yet. */
  | { kind: 'unverified'; id: string; signature: string; value: string }

export interface SessionCookies {
  names: CookieNames
  read: (header: string | undefined) => ReadCookie
  /** The index of the secret that signed it (0 is the newest), or -1 when none did. */
  signedBy: (cookie: { id: string; signature: string }) => number
  /** `Set-Cookie` lines for a session, signed with the newest secret, and for its csrf cookie. */
  issue: (session: { id: string; expiresAt: Date }, csrfToken: string, now: Date) => string[]
  /** `Set-Cookie` lines that take both away. */
  clear: readonly string[]
}

// A cookie of ours is under 100 characters; what is longer was not made here.
const longestCookie = 300

export function createSessionCookies(
  { appUrl, session }: Pick<Configuration, 'appUrl' | 'session'>,
  secrets: readonly string[],
): SessionCookies {
  const names = cookieNames(appUrl)
  const attributes = {
    path: '/',
    secure: appUrl.protocol === 'https:',
    sameSite: session.sameSite,
  } as const
  // As express-session signs: HMAC-SHA256 in base64 without padding, behind "s:".
  const sign = (id: string, secret: string) =>
    createHmac('sha256', secret).update(id).digest('base64').replace(/=+$/, '')

  const set = (name: string, value: string, httpOnly: boolean, maxAge: number) =>
    stringifySetCookie({ ...attributes, name, value, httpOnly, maxAge })

  return {
    names,
    read: (header) => {
      const [value, ...others] = findCookieValues(header, names.session)
      if (value === undefined) return { kind: 'none' }
      if (others.length > 0 || value.length > longestCookie) return { kind: 'invalid' }
      const match = /^s(?:%3A|:)([A-Za-z0-9_-]{43})\.([A-Za-z0-9+/%]{43,130})$/.exec(value)
      if (match?.[1] === undefined || match[2] === undefined) return { kind: 'invalid' }
      const signature = match[2].replaceAll('%2B', '+').replaceAll('%2F', '/')
      return { kind: 'unverified', id: match[1], signature, value }
    },
    signedBy: ({ id, signature }) => {
      const sent = Buffer.from(signature)
      return secrets.findIndex((secret) => {
        const expected = Buffer.from(sign(id, secret))
        return expected.length === sent.length && timingSafeEqual(expected, sent)
      })
    },
    issue: ({ id, expiresAt }, csrfToken, now) => {
      const maxAge = Math.max(0, Math.ceil((expiresAt.getTime() - now.getTime()) / 1000))
      const signed = `s:${id}.${sign(id, secrets[0] ?? '')}`
      return [set(names.session, signed, true, maxAge), set(names.csrf, csrfToken, false, maxAge)]
    },
    clear: [set(names.session, '', true, 0), set(names.csrf, '', false, 0)],
  }
}
