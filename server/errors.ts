// The catalogue of refusals, read as the contract's table of errors, and the one pure function that
// turns any error into an answer: for Express, for a refused upgrade, and for the callback's redirect.
import { STATUS_CODES } from 'node:http'
import type { ErrorBody, ErrorCode } from '../shared/contract.ts'

export type AnswerHeaders = Readonly<Record<string, string | string[]>>

export interface RefusalOptions {
  /** Becomes `Retry-After`. */
  retryAfterSeconds?: number
  headers?: AnswerHeaders
  cause?: unknown
}

/** An error that ends a request and has an answer. Everything else is a bug, and answered 500. */
export abstract class Refusal extends Error {
  abstract readonly status: number
  abstract readonly code: ErrorCode
  readonly headers: AnswerHeaders
  readonly retryAfterSeconds: number | undefined

  constructor(sentence: string, options: RefusalOptions = {}) {
    super(sentence, { cause: options.cause })
    this.retryAfterSeconds = options.retryAfterSeconds
    this.headers = options.headers ?? {}
  }
}

const refusal = (status: number, code: ErrorCode, sentence: string, retryAfterSeconds?: number) =>
  class extends Refusal {
    override readonly name = code
    readonly status = status
    readonly code = code

    constructor(options: RefusalOptions = {}) {
      super(sentence, { ...(retryAfterSeconds !== undefined && { retryAfterSeconds }), ...options })
    }
  }

export class BadRequest extends refusal(400, 'bad_request', 'This request is not valid.') {}
export class Unauthenticated extends refusal(401, 'unauthenticated', 'Please log in.') {}
export class SessionExpired extends refusal(
  401,
  'session_expired',
  'Your session has ended. Please log in again.',
) {}
export class CsrfFailed extends refusal(
  403,
  'csrf_failed',
  'This request does not prove that our own page sent it. Please reload the page.',
) {}
export class CrossSite extends refusal(
  403,
  'cross_site',
  'Requests from other sites are not allowed.',
) {}
export class NotFound extends refusal(404, 'not_found', 'There is nothing here.') {}
export class MethodNotAllowed extends refusal(
  405,
  'method_not_allowed',
  'This method is not allowed here.',
) {}
export class TooLarge extends refusal(413, 'too_large', 'This request is too large.') {}
export class HeadersTooLarge extends refusal(
  431,
  'too_large',
  'The headers of this request are too large.',
) {}
export class RateLimited extends refusal(
  429,
  'rate_limited',
  'Too many requests. Please wait a moment.',
  60,
) {}
export class TooManySockets extends refusal(
  429,
  'rate_limited',
  'Too many open WebSockets. Please close some.',
  10,
) {}
export class UpgradeUnsupported extends refusal(
  501,
  'upgrade_unsupported',
  'Only WebSocket upgrades are supported.',
) {}
export class UpstreamUnreachable extends refusal(
  502,
  'upstream_unreachable',
  'The service behind this page does not answer.',
) {}
export class ProviderUnavailable extends refusal(
  503,
  'provider_unavailable',
  'The login service does not answer. Please try again soon.',
  5,
) {}
export class DatabaseUnavailable extends refusal(
  503,
  'database_unavailable',
  'The session store does not answer. Please try again soon.',
  5,
) {}
export class ShuttingDown extends refusal(
  503,
  'shutting_down',
  'This server is restarting. Please try again soon.',
  2,
) {}
export class Overloaded extends refusal(
  503,
  'overloaded',
  'Too many requests are under way. Please try again soon.',
  2,
) {}
export class UpstreamTimeout extends refusal(
  504,
  'upstream_timeout',
  'The service behind this page took too long.',
) {}

export class Internal extends refusal(
  500,
  'internal',
  'Something went wrong here. It has been noted.',
) {}

export interface Answer {
  status: number
  headers: Record<string, string | string[]>
  body: ErrorBody
}

/** The refusal that an error is: itself, or `Internal` with the error as its cause. */
export function toRefusal(error: unknown): Refusal {
  return error instanceof Refusal ? error : new Internal({ cause: error })
}

/** What a refused request is told. Pure; nothing of a bug, a cause or a stack is in it. */
export function answerTo(error: unknown, requestId: string): Answer {
  const refused = toRefusal(error)
  return {
    status: refused.status,
    headers: {
      'Content-Type': 'application/json; charset=utf-8',
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
      ...(refused.retryAfterSeconds !== undefined && {
        'Retry-After': String(refused.retryAfterSeconds),
      }),
      ...refused.headers,
    },
    body: { error: refused.message, code: refused.code, requestId },
  }
}

/** The same as bytes, for a socket that nobody has made a response for: a refused upgrade, or what is no request. */
export function rawAnswerTo(error: unknown, requestId: string, more: AnswerHeaders = {}): string {
  const { status, headers, body } = answerTo(error, requestId)
  const text = JSON.stringify(body)
  const all = {
    ...headers,
    ...more,
    ...(requestId !== '' && { 'X-Request-ID': requestId }),
    'Content-Length': String(Buffer.byteLength(text)),
    Connection: 'close',
  }
  const lines = Object.entries(all).flatMap(([name, values]) =>
    [values].flat().map((value) => `${name}: ${value}`),
  )
  return [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`, ...lines, '', text].join('\r\n')
}
