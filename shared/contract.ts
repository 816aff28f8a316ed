// What the two sides of the one origin agree on: paths, JSON shapes, error codes, event names and
// close codes. Types and constants alone; imports nothing, so that client and server both can.

/** Every path that the gate itself answers. The proxied ones are the upstream table's. */
export const paths = {
  auth: '/auth',
  login: '/auth/login',
  callback: '/auth/callback',
  me: '/auth/me',
  refresh: '/auth/refresh',
  logout: '/auth/logout',
  events: '/auth/events',
  sessions: '/auth/sessions',
  backChannelLogout: '/auth/backchannel-logout',
  live: '/healthz',
  ready: '/readyz',
  metrics: '/metrics',
} as const

/** Where the client shows why a login failed, as `/login?error=CODE`. */
export const signInProblemPath = '/login'

/** The unsafe methods' proof that our own page sent them; its value is the `csrf` cookie's. */
export const csrfHeader = 'X-CSRF-Token'

/** The cookie that the client reads for `csrfHeader`: with https, and without. */
export const csrfCookieNames = { https: '__Host-csrf', http: 'csrf' } as const

/** Every `code` that an error answer of the gate can carry. */
export const errorCodes = [
  'bad_request',
  'unauthenticated',
  'session_expired',
  'csrf_failed',
  'cross_site',
  'not_found',
  'method_not_allowed',
  'too_large',
  'rate_limited',
  'internal',
  'upgrade_unsupported',
  'upstream_unreachable',
  'provider_unavailable',
  'database_unavailable',
  'shutting_down',
  'overloaded',
  'upstream_timeout',
] as const

export type ErrorCode = (typeof errorCodes)[number]

/** The body of every error answer that the gate (not an upstream) makes. */
export interface ErrorBody {
  error: string
  code: ErrorCode
  requestId: string
}

/** What a failed login says in `/login?error=`, beside the provider's own OAuth error codes. */
export const signInProblems = [
  'invalid_state',
  'token_exchange_failed',
  'provider_unavailable',
  'database_unavailable',
] as const

/** Why a session ended; the reason in `event: ended` and in a WebSocket's close frame. */
export const endReasons = [
  'logout',
  'revoked',
  'replaced',
  'expired',
  'grant_ended',
  'backchannel_logout',
] as const

export type EndReason = (typeof endReasons)[number]

/** WebSocket close codes of the gate. 4401 means: the session ended, so do not reconnect. */
export const closeCodes = { goingAway: 1001, sessionEnded: 4401 } as const

/** Names of the server-sent events of `paths.events`. */
export const sessionEvents = { ended: 'ended' } as const

export interface EndedEvent {
  reason: EndReason
}

export interface User {
  sub: string
  name?: string
  email?: string
  picture?: string
  groups?: string[]
}

/** `GET /auth/me` with a session. Instants are ISO 8601. */
export interface Me {
  authenticated: true
  user: User
  session: {
    createdAt: string
    idleExpiresAt: string
    expiresAt: string
    accessTokenExpiresAt: string
  }
  csrfToken: string
}

/** `GET /auth/me` without one (401). */
export interface Anonymous {
  authenticated: false
}

/** `POST /auth/refresh` */
export interface Refreshed {
  accessTokenExpiresAt: string
}

/** `POST /auth/logout` asked by `fetch`. */
export interface LoggedOut {
  success: true
  logoutUrl: string
}

/** One of the caller's own sessions in `GET /auth/sessions`. */
export interface OwnSession {
  id: string
  current: boolean
  createdAt: string
  lastSeenAt: string
  expiresAt: string
  userAgent: string
  ip: string
}

export interface OwnSessions {
  sessions: OwnSession[]
}

/** `DELETE /auth/sessions` */
export interface OthersEnded {
  ended: number
}
