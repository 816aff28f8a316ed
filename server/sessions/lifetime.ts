// When a session ends by itself. Pure. Both limits hold, and activity moves only the idle one
// (contract section 2): proxied requests, WebSocket handshakes and `POST /auth/refresh`.
import type { SessionLifetime } from '../configuration.ts'

/** When the session ends if nobody is active any more: never later than its absolute end. */
export function idleExpiresAt(lastSeenAt: Date, expiresAt: Date, lifetime: SessionLifetime): Date {
  const idleEnd = lastSeenAt.getTime() + lifetime.idleTimeoutSeconds * 1000
  return new Date(Math.min(idleEnd, expiresAt.getTime()))
}

export function isExpired(
  lastSeenAt: Date,
  expiresAt: Date,
  lifetime: SessionLifetime,
  now: Date,
): boolean {
  const idleMs = now.getTime() - lastSeenAt.getTime()
  return idleMs >= lifetime.idleTimeoutSeconds * 1000 || now.getTime() >= expiresAt.getTime()
}

/** Whoever was last active at this instant or before is idle now. */
export function idleSince(lifetime: SessionLifetime, now: Date): Date {
  return new Date(now.getTime() - lifetime.idleTimeoutSeconds * 1000)
}
