// A login in progress lives in the browser: one sealed cookie for each, so that tabs can log in side by
// side and a visitor costs no row. It is found by the `state` that comes back, and used once.
import { createHash, timingSafeEqual } from 'node:crypto'
import { parseCookie, stringifySetCookie } from 'cookie'
import type { Clock } from '../clock.ts'
import { findCookieValues } from '../sessions/cookie.ts'
import type { SessionIdHash } from '../sessions/session.ts'
import type { AuthorizationChecks } from '../provider/provider.ts'
import type { Vault } from '../tokens/vault.ts'
import type { ReturnTo } from './return-to.ts'

/** What is remembered from `/auth/login` to `/auth/callback`. */
export interface LoginInProgress extends AuthorizationChecks {
  returnTo: ReturnTo
  /** The session that the browser had: the Strict cookie is not sent to the callback. */
  previousSession: SessionIdHash | undefined
  startedAt: number
}

export interface LoginCookies {
  /** `Set-Cookie` lines: this login's, and the end of the oldest when there are too many. */
  begin: (login: LoginInProgress, cookieHeader: string | undefined) => string[]
  /** The login that this `state` belongs to, if this browser began it and it is not too old. */
  find: (state: string, cookieHeader: string | undefined) => LoginInProgress | undefined
  /** `Set-Cookie` lines that tell the browser's other logins in progress which session it has now: they end it. */
  carryOver: (
    finished: LoginInProgress,
    session: SessionIdHash,
    cookieHeader: string | undefined,
  ) => string[]
  /** `Set-Cookie` that ends it, whatever came of it. */
  clear: (state: string) => string
}

const lifetimeSeconds = 600
const ownPart = /^[\w-]{16}$/ // behind the prefix
const most = 5 // with more, the cookies would outgrow what servers take as a header

interface Parts {
  prefix: string
  secure: boolean
  vault: Vault
  clock: Clock
}

export function createLoginCookies({ prefix, secure, vault, clock }: Parts): LoginCookies {
  const nameOf = (state: string) =>
    prefix + createHash('sha256').update(state).digest('base64url').slice(0, 16)
  // Lax, because the provider's redirect to the callback comes from another site.
  const set = (name: string, value: string, maxAge: number) =>
    stringifySetCookie({ name, value, maxAge, path: '/', httpOnly: true, secure, sameSite: 'lax' })

  const open = (name: string, value: string): LoginInProgress | undefined => {
    const text = vault.open(Buffer.from(value, 'base64url'), name, '')
    if (text === undefined) return undefined
    const login = JSON.parse(text) as LoginInProgress // sealed by `begin`, so it is what `begin` wrote
    const ageSeconds = (clock.now().getTime() - login.startedAt) / 1000
    return ageSeconds >= 0 && ageSeconds < lifetimeSeconds ? login : undefined
  }

  const write = (login: LoginInProgress) => {
    const name = nameOf(login.state)
    const sealed = vault.seal(JSON.stringify(login), name, '').toString('base64url')
    const ageSeconds = Math.floor((clock.now().getTime() - login.startedAt) / 1000)
    return set(name, sealed, lifetimeSeconds - ageSeconds)
  }

  /** What the browser has under names of ours, the newest first, opened where it opens. */
  const findAll = (cookieHeader: string | undefined) =>
    Object.entries(parseCookie(cookieHeader ?? ''))
      .filter(([name]) => name.startsWith(prefix) && ownPart.test(name.slice(prefix.length)))
      .map(([name, value]) => ({ name, login: open(name, value ?? '') }))
      .sort((one, other) => (other.login?.startedAt ?? 0) - (one.login?.startedAt ?? 0))

  return {
    begin: (login, cookieHeader) => {
      const tooMany = findAll(cookieHeader).slice(most - 1)
      return [...tooMany.map(({ name }) => set(name, '', 0)), write(login)]
    },
    carryOver: (finished, session, cookieHeader) =>
      findAll(cookieHeader).flatMap(({ login }) =>
        login && login.state !== finished.state
          ? [write({ ...login, previousSession: session })]
          : [],
      ),
    find: (state, cookieHeader) => {
      const name = nameOf(state)
      const [value, ...others] = findCookieValues(cookieHeader, name)
      if (value === undefined || others.length > 0) return undefined
      const login = open(name, value)
      if (!login) return undefined
      const [sent, expected] = [Buffer.from(state), Buffer.from(login.state)]
      return sent.length === expected.length && timingSafeEqual(sent, expected) ? login : undefined
    },
    clear: (state) => set(nameOf(state), '', 0),
  }
}
