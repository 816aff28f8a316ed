// What happened that somebody may ask about later: one function an event, and behind all of them one
// that writes the log line, the row and the counter together, so that they can't drift apart. The names
// of OWASP's logging vocabulary stand beside ours. No id, token or secret is ever part of an event.
import type { IncomingMessage } from 'node:http'
import type { EndReason } from '../../shared/contract.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../database/pool.ts'
import { DatabaseUnavailable, type Refusal } from '../errors.ts'
import type { LiveSession } from '../sessions/session.ts'
import type { Log } from './log.ts'

interface SecurityEvent {
  event: string
  /** OWASP Logging Vocabulary. */
  owasp: string
  label?: string | undefined
  subject?: string | undefined
  ip?: string | undefined
  requestId?: string | undefined
  detail?: Record<string, unknown>
  /** Logged and counted, but not stored. */
  withoutRow?: boolean
}

export interface SecurityEventsParts {
  database: Pick<Database, 'query'>
  log: Log
  clock: Clock
  count: (event: string) => void
}

// An attack must not become a flood of rows: what is above this is logged and counted alone.
const rowsPerSecond = 20
const flushMs = 200

export type SecurityEvents = ReturnType<typeof createSecurityEvents>

export function createSecurityEvents(parts: SecurityEventsParts) {
  const { database, log, clock, count } = parts
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

  const record = ({ detail = {}, withoutRow = false, ...facts }: SecurityEvent) => {
    const { event, owasp, label, subject, ip, requestId } = facts
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
    waiting.push({
      at: now,
      event,
      session_label: label,
      subject,
      ip,
      request_id: requestId,
      detail,
    })
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
    loginSucceeded: (
      request: IncomingMessage,
      { label, subject }: { label: string; subject: string },
    ) =>
      record({
        ...from(request),
        event: 'login_succeeded',
        owasp: 'authn_login_success,session_created',
        label,
        subject,
      }),

    loginFailed: (request: IncomingMessage, code: string, cause: unknown) => {
      record({
        ...from(request),
        withoutRow: code === 'invalid_state', // anybody can send one
        event: 'login_failed',
        owasp: 'authn_login_fail',
        detail: { code },
      })
      log.debug({ err: cause, requestId: request.facts.requestId }, 'why a login failed')
    },

    sessionEnded: ({
      label,
      subject,
      reason,
    }: {
      label: string
      subject: string
      reason: EndReason
    }) =>
      record({
        event:
          reason === 'logout'
            ? 'logout'
            : reason === 'expired'
              ? 'session_expired'
              : 'session_revoked',
        owasp: reason === 'expired' ? 'session_expired' : 'authn_token_revoked',
        label,
        subject,
        detail: { reason },
      }),

    tokenRefreshed: ({ label, subject }: LiveSession) =>
      record({
        event: 'token_refreshed',
        owasp: 'authn_token_created,session_renewed',
        label,
        subject,
      }),

    refreshFailed: (
      { label, subject }: LiveSession,
      { ended, fault }: { ended: boolean; fault: object },
    ) =>
      record({
        event: 'refresh_failed',
        owasp: ended ? 'authn_token_reuse' : 'authn_token_fail',
        label,
        subject,
        detail: { ended, fault },
      }),

    backChannelLogout: ({
      requestId,
      ip,
      ended,
    }: {
      requestId: string
      ip: string
      ended: number
    }) =>
      record({
        event: 'backchannel_logout',
        owasp: 'authn_token_revoked',
        requestId,
        ip,
        detail: { ended },
      }),

    backChannelRefused: ({
      requestId,
      ip,
      cause,
    }: {
      requestId: string
      ip: string
      cause: unknown
    }) =>
      record({
        event: 'backchannel_logout_refused',
        withoutRow: true, // anybody can send one
        owasp: 'authn_token_fail',
        requestId,
        ip,
        detail: { cause: cause instanceof Error ? cause.message : 'unknown' },
      }),

    /** A refusal that says something about who knocked; the others are in the request log. */
    refused: (request: IncomingMessage, refusal: Refusal, kind: 'http' | 'upgrade') => {
      const { code } = refusal
      const known = {
        csrf_failed: 'malicious_csrf',
        cross_site: 'malicious_cors',
        rate_limited: 'excess_rate_limit_exceeded',
        session_expired: 'session_use_after_expire',
      }
      const owasp = code in known ? known[code as keyof typeof known] : 'authz_fail' // looked up in between
      const refused = { ...from(request), owasp, withoutRow: isVisitor(request) }
      if (kind === 'upgrade') record({ ...refused, event: 'websocket_refused', detail: { code } })
      else if (code === 'session_expired') record({ ...refused, event: 'session_use_after_end' })
      else if (code in known) record({ ...refused, event: code })
    },

    webSocketOpened: (facts: { requestId: string; sessionLabel: string | undefined }) =>
      log.info({ ...facts, event: 'websocket_opened' }, 'websocket_opened'),

    webSocketClosed: (facts: {
      requestId: string
      sessionLabel: string | undefined
      reason: string
      durationMs: number
    }) => log.info({ ...facts, event: 'websocket_closed' }, 'websocket_closed'),

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
