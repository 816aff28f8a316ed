// What the gate knows of a request while it is under way: set once, on arrival, before anything else
// sees the request, and read by whoever answers, refuses or logs it.
import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import proxyAddr from 'proxy-addr'

export interface RequestFacts {
  requestId: string
  /** The client's address as far as the trusted proxies vouch for it. */
  ip: string
  /** Whether the next hop is one of our own proxies, whose word on the client is taken. */
  fromTrustedProxy: boolean
  /** By `performance.now()`. */
  arrivedAt: number
  /** A keyed hash of the session's id, for log lines; never the id. */
  sessionLabel: string | undefined
}

declare module 'node:http' {
  interface IncomingMessage {
    facts: RequestFacts
  }
}

// What Heroku's router lets through as a request id; anything else could forge a log line.
const requestIdExpression = /^[A-Za-z0-9+/=-]{20,200}$/

/** Gives each arriving request its facts. `trustedProxies` as in `Configuration`. */
export function createArrival(trustedProxies: number | readonly string[]) {
  const trusts =
    typeof trustedProxies === 'number'
      ? (_address: string, hop: number) => hop < trustedProxies
      : proxyAddr.compile([...trustedProxies])

  return (request: IncomingMessage): void => {
    const claimed = request.headers['x-request-id']
    const requestId =
      typeof claimed === 'string' && requestIdExpression.test(claimed) ? claimed : randomUUID()
    // Aborted before it was read: there is no address any more.
    const peer = request.socket.remoteAddress ?? ''
    const address = peer === '' || trustedProxies === 0 ? peer : proxyAddr(request, trusts)
    const ip = address.replace(/^::ffff:(?=\d+\.)/, '') // an IPv4 address, as a dual-stack socket has it
    request.facts = {
      requestId,
      ip,
      fromTrustedProxy: trusts(peer, 0),
      arrivedAt: performance.now(),
      sessionLabel: undefined,
    }
  }
}
