// The rows that hold a session's tokens: kept at login, replaced by a refresh if nobody else did, gone
// with the session. What leaves this file is opened; what enters the database is sealed.
import { channel } from '../database/notifications.ts'
import type { Queryable } from '../database/pool.ts'
import type { Grant } from '../provider/provider.ts'
import type { LiveSession, SessionIdHash } from '../sessions/session.ts'
import type { Vault } from './vault.ts'

/** A session's tokens as a row has them. `version` counts the refreshes. */
export interface StoredTokens {
  grant: Grant
  version: number
}

export type ReadTokens =
  | { kind: 'stored'; tokens: StoredTokens }
  /** There is no row: the session is over. */
  | { kind: 'gone' }
  /** No secret of ours opens it (any more). */
  | { kind: 'unreadable' }

export interface TokenRows {
  keep: (transaction: Queryable, id: string, sid: SessionIdHash, grant: Grant) => Promise<void>
  read: (session: LiveSession) => Promise<ReadTokens>
  /** Takes the right to refresh this version for so long, and reads it; `gone` when another one has it, or the version is gone by. */
  takeLease: (session: LiveSession, version: number, leaseMs: number) => Promise<ReadTokens>
  /** Gives it back after a refresh that brought nothing. */
  returnLease: (session: LiveSession, version: number) => Promise<void>
  /** Stores the next version and tells the other processes; `false` when this version is not there any more. */
  replace: (session: LiveSession, version: number, grant: Grant) => Promise<boolean>
}

type Sealed = Pick<Grant, 'accessToken' | 'refreshToken' | 'idToken'>

interface Row {
  sealed: Buffer
  version: number
  access_token_issued_at: Date
  access_token_expires_at: Date
}

const columns = 'sealed, version, access_token_issued_at, access_token_expires_at'
const notify = `pg_notify('${channel}', json_build_object('event', 'refreshed', 'sid', sid, 'version', version)::text)`

export function createTokenRows(database: Queryable, vault: Vault): TokenRows {
  const seal = (id: string, sid: SessionIdHash, { accessToken, refreshToken, idToken }: Grant) =>
    vault.seal(JSON.stringify({ accessToken, refreshToken, idToken }), sid, id)

  const open = (session: LiveSession, [row]: Row[]): ReadTokens => {
    if (!row) return { kind: 'gone' }
    const text = vault.open(row.sealed, session.sid, session.id)
    if (text === undefined) return { kind: 'unreadable' }
    const opened = JSON.parse(text) as Sealed // authenticated, so it is what `seal` wrote
    const grant = {
      ...opened,
      issuedAt: row.access_token_issued_at,
      expiresAt: row.access_token_expires_at,
    }
    return { kind: 'stored', tokens: { grant, version: row.version } }
  }

  return {
    keep: async (transaction, id, sid, grant) => {
      await transaction.query(
        'INSERT INTO token (sid, sealed, access_token_issued_at, access_token_expires_at) VALUES ($1, $2, $3, $4)',
        [sid, seal(id, sid, grant), grant.issuedAt, grant.expiresAt],
      )
    },

    read: async (session) =>
      open(
        session,
        await database.query<Row>(`SELECT ${columns} FROM token WHERE sid = $1`, [session.sid]),
      ),

    // The database's clock alone decides about leases: those of two machines may differ.
    takeLease: async (session, version, leaseMs) =>
      open(
        session,
        await database.query<Row>(
          `UPDATE token SET lease_until = now() + $3 * interval '1 millisecond'
           WHERE sid = $1 AND version = $2 AND (lease_until IS NULL OR lease_until < now())
           RETURNING ${columns}`,
          [session.sid, version, leaseMs],
        ),
      ),

    returnLease: async (session, version) => {
      await database.query(
        `WITH returned AS (UPDATE token SET lease_until = NULL WHERE sid = $1 AND version = $2 RETURNING sid, version)
         SELECT ${notify} FROM returned`,
        [session.sid, version],
      )
    },

    replace: async (session, version, grant) => {
      const replaced = await database.query(
        `WITH replaced AS (UPDATE token SET sealed = $3, access_token_issued_at = $4,
             access_token_expires_at = $5, version = version + 1, lease_until = NULL
           WHERE sid = $1 AND version = $2 RETURNING sid, version)
         SELECT ${notify} FROM replaced`,
        [
          session.sid,
          version,
          seal(session.id, session.sid, grant),
          grant.issuedAt,
          grant.expiresAt,
        ],
      )
      return replaced.length > 0
    },
  }
}
