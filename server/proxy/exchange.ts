// A request under way and its answer, between admission and the last byte. The life of an exchange:
//
//   admission ──▶ asked ──first byte──▶ answering ──▶ over
//      │            │ └─401 invalid_token─▶ renewing ─▶ asked (once)
//      │            └───stale connection──────────────▶ asked (once)
//      └────────────┴── refused: client gone, time out, session over, upstream gone ──▶ over
//
// What ends while answering is cut, never closed as if it were complete.
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import type { LiveSession } from '../sessions/session.ts'
import type { Watched } from '../sessions/watch.ts'
import type { Admitted, Knock } from './admission.ts'
import type { Listed } from './open-list.ts'

export interface Exchange extends Knock, Watched, Listed {
  readonly response: ServerResponse
  readonly cors: Record<string, string>
  /** As it came: `request.headers` becomes what the upstream gets. */
  readonly hasBody: boolean
  timer: NodeJS.Timeout | undefined
  session: LiveSession | undefined
  admitted: Admitted | undefined
  upstreamRequest: ClientRequest | undefined
  isEventStream: boolean
  hasRepeated: boolean
  hasRenewed: boolean
  /** Answered, refused or abandoned: whatever still comes back is not for anyone. */
  isOver: boolean
}

// The library hands its events the request: it carries the exchange, because a WeakMap of all of them
// would cost more than all our other work.
const exchangeKey = Symbol('exchange')
interface CarryingRequest extends IncomingMessage {
  [exchangeKey]?: Exchange
}

export function carry(request: CarryingRequest, exchange: Exchange): void {
  request[exchangeKey] = exchange
}

export function exchangeOf(request: CarryingRequest): Exchange | undefined {
  return request[exchangeKey]
}

export function stopTimer(exchange: Exchange): void {
  clearTimeout(exchange.timer)
  exchange.timer = undefined // so that nobody starts it again
}

export function release(exchange: Exchange): void {
  exchange.isOver = true
  stopTimer(exchange)
}

// RFC 9110 §9.2.2
const idempotentMethods = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

/** Whether sending it twice is the same as sending it once, and can be done: a body is gone once sent. */
export function isRepeatable({ request: { method = '' }, hasBody }: Exchange): boolean {
  return idempotentMethods.has(method) && !hasBody
}
