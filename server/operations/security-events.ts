// What happened that somebody may ask about later: one function an event, and behind all of them one
// that writes the log line, the row and the counter together, so that they can't drift apart. The names
// of OWASP's logging vocabulary stand beside ours. No id, token or secret is ever part of an event.
import type { IncomingMessage } from 'node:http'
import type { EndReason, ErrorCode } from '../../shared/contract.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../database/pool.ts'
import { DatabaseUnavailable, type Refusal } from '../errors.ts'
import type { LiveSession } from '../sessions/session.ts'
import type { Log } from './log.ts'

interface Facts {
  label?: string | undefined
  subject?: string | undefined
  ip?: string
  requestId?: string
  detail?: Record<string, unknown>
  /** Logged and counted, but not stored. */
  withoutRow?: boolean
}

/** Whose it was: the session's keyed hash and the provider's `sub`. */
type Whose = Pick<LiveSession, 'label' | 'subject'>

interface Parts {
  database: Pick<Database, 'query'>
  log: Log
  clock: Clock
  count: (event: string) => void
}

// An attack must not become a flood of rows: what is above this is logged and counted alone.
const rowsPerSecond = 20
const flushMs = 200

export type SecurityEvents = ReturnType<typeof createSecurityEvents>

// Refusals that say something about who knocked; the others are in the request log.
const telling = new Map<ErrorCode, string>([
  ['csrf_failed', 'malicious_csrf'],
  ['cross_site', 'malicious_cors'],
  ['rate_limited', 'excess_rate_limit_exceeded'],
  ['session_expired', 'session_use_after_expire'],
])

export function createSecurityEvents({ database, log, clock, count }: Parts) {
  let waiting: object[] = []
  let timer: NodeJS.Timeout | undefined
  let writing: Promise<void> = Promise.resolve()
  let second = 0
  let rowsThisSecond = 0

  const flush = async () => {
    timer = undefined
    const rows = waiting
    waiting = []
    if (rows.length === 0) return
    try {
      await database.query(
        `INSERT INTO security_event (at, event, session_label, subject, ip, request_id, detail)
         SELECT at, event, session_label, subject, ip, request_id, detail FROM jsonb_to_recordset($1::jsonb)
           AS row (at timestamptz, event text, session_label text, subject text, ip text, request_id text, detail jsonb)`,
        [JSON.stringify(rows)],
      )
    } catch (error) {
      // The log lines are there; nobody's request fails because its trace could not be stored.
      if (!(error instanceof DatabaseUnavailable)) throw error
      log.warn({ err: error, lost: rows.length }, 'security events were logged but not stored')
    }
  }

  /** `owasp` is what OWASP's Logging Vocabulary calls it. */
  const record = (event: string, owasp: string, facts: Facts) => {
    const { label, subject, ip, requestId, detail = {}, withoutRow = false } = facts
    count(event)
    log.info({ event, owasp, session: label, subject, ip, requestId, ...detail }, event)
    const now = clock.now()
    const thisSecond = Math.floor(now.getTime() / 1000)
    if (thisSecond !== second) {
      second = thisSecond
      rowsThisSecond = 0
    }
    if (withoutRow || rowsThisSecond >= rowsPerSecond) return
    rowsThisSecond += 1
    const ids = { session_label: label, request_id: requestId }
    waiting.push({ at: now, event, subject, ip, detail, ...ids })
    timer ??= setTimeout(() => {
      writing = flush()
    }, flushMs)
  }

  const from = ({ facts }: IncomingMessage) => ({
    ip: facts.ip,
    requestId: facts.requestId,
    label: facts.sessionLabel,
  })

  /** Who has no session leaves no row, however often it knocks (contract section 2); a cookie alone proves nothing. */
  const isVisitor = ({ facts }: IncomingMessage) => facts.sessionLabel === undefined

  return {
    loginSucceeded: (request: IncomingMessage, subject: string) => {
      const facts = { ...from(request), subject }
      record('login_succeeded', 'authn_login_success,session_created', facts)
    },

    loginFailed: (request: IncomingMessage, code: string, cause: unknown) => {
      const withoutRow = code === 'invalid_state' // anybody can send one
      record('login_failed', 'authn_login_fail', { ...from(request), detail: { code }, withoutRow })
      log.debug({ err: cause, requestId: request.facts.requestId }, 'why a login failed')
    },

    sessionEnded: ({ label, subject }: Whose, reason: EndReason) => {
      const facts = { label, subject, detail: { reason } }
      if (reason === 'logout') record('logout', 'authn_token_revoked', facts)
      else if (reason === 'expired') record('session_expired', 'session_expired', facts)
      else record('session_revoked', 'authn_token_revoked', facts)
    },

    tokenRefreshed: ({ label, subject }: Whose) =>
      record('token_refreshed', 'authn_token_created,session_renewed', { label, subject }),

    refreshFailed: ({ label, subject }: Whose, detail: { ended: boolean; fault: object }) => {
      const owasp = detail.ended ? 'authn_token_reuse' : 'authn_token_fail'
      record('refresh_failed', owasp, { label, subject, detail })
    },

    backChannelLogout: (request: IncomingMessage, ended: number) =>
      record('backchannel_logout', 'authn_token_revoked', { ...from(request), detail: { ended } }),

    backChannelRefused: (request: IncomingMessage, { message }: Error) => {
      const facts = { ...from(request), detail: { cause: message }, withoutRow: true } // anybody can send one
      record('backchannel_logout_refused', 'authn_token_fail', facts)
    },

    refused: (request: IncomingMessage, { code }: Refusal, kind: 'http' | 'upgrade') => {
      const known = telling.get(code)
      const facts = { ...from(request), withoutRow: isVisitor(request) }
      if (kind === 'upgrade')
        record('websocket_refused', known ?? 'authz_fail', { ...facts, detail: { code } })
      else if (known)
        record(code === 'session_expired' ? 'session_use_after_end' : code, known, facts)
    },

    // Log lines alone: sockets come and go by the thousand, and a process may have no database to write to.
    webSocketOpened: (facts: object) =>
      log.info({ ...facts, event: 'websocket_opened' }, 'websocket_opened'),
    webSocketClosed: (facts: object) =>
      log.info({ ...facts, event: 'websocket_closed' }, 'websocket_closed'),
    started: (detail: Record<string, unknown>) =>
      log.info({ event: 'started', owasp: 'sys_startup', ...detail }, 'started'),
    stopped: (detail: Record<string, unknown>) =>
      log.info({ event: 'stopped', owasp: 'sys_shutdown', ...detail }, 'stopped'),

    [Symbol.asyncDispose]: async () => {
      clearTimeout(timer)
      await writing
      await flush()
    },
  }
}
