// What a session is to the rest of the gate. Only lookup.ts makes one, so that whoever holds a
// `LiveSession` knows that it was looked up and was alive.
import { hash } from 'node:crypto'
import type { EndReason, User } from '../../shared/contract.ts'

declare const hashed: unique symbol

/** The SHA-256 of a session id: all that the database, notifications and other parts know of it. */
export type SessionIdHash = string & { readonly [hashed]: true }

export function hashSessionId(id: string): SessionIdHash {
  // The one place where the brand is given.
  return hash('sha256', id, 'base64url') as SessionIdHash
}

export interface LiveSession {
  /** The id in the cookie. The key of the session's tokens derives from it; it goes nowhere else. */
  readonly id: string
  readonly sid: SessionIdHash
  /** A keyed hash for log lines. */
  readonly label: string
  /** What `/auth/sessions` calls it. */
  readonly publicId: string
  readonly user: User
  readonly issuer: string
  readonly subject: string
  readonly createdAt: Date
  /** The absolute end. */
  readonly expiresAt: Date
}

/** What a request's cookies say. `dead`: there is a session cookie, and it opens nothing (any more). */
export type Found =
  | { kind: 'live'; session: LiveSession }
  | { kind: 'none' }
  /** `wasSession`: it is well signed, so there was a session. `clear`: `Set-Cookie` lines. */
  | { kind: 'dead'; wasSession: boolean; clear: readonly string[] }

export interface SessionEnded {
  sid: SessionIdHash
  reason: EndReason
}
