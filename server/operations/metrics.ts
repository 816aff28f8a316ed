// `GET /metrics`: Prometheus text, for whoever has the token; for all others there is nothing here.
import { createHash, timingSafeEqual } from 'node:crypto'
import type { RequestHandler } from 'express'
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import { NotFound } from '../errors.ts'

export interface Metrics {
  requestAnswered: (status: number, durationMs: number) => void
  countEvent: (event: string) => void
  /** A figure that is read when somebody asks. */
  gauge: (name: string, help: string, read: () => number) => void
  handler: (token: string | undefined) => RequestHandler
}

export function createMetrics(): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix: 'gatehouse_' })
  const registers = [registry]
  const requests = new Histogram({
    name: 'gatehouse_request_duration_seconds',
    help: 'From arrival to the end of the answer',
    labelNames: ['status'],
    buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 30],
    registers,
  })
  const events = new Counter({
    name: 'gatehouse_security_events_total',
    help: 'Security events by name',
    labelNames: ['event'],
    registers,
  })
  // Labels are looked up at each request; these five are made once.
  const byClass = [1, 2, 3, 4, 5].map((first) => requests.labels(`${first}xx`))

  return {
    requestAnswered: (status, durationMs) =>
      byClass[Math.floor(status / 100) - 1]?.observe(durationMs / 1000),
    countEvent: (event) => events.inc({ event }),
    gauge: (name, help, read) => {
      const gauge: Gauge = new Gauge({ name, help, registers, collect: () => gauge.set(read()) })
    },
    handler: (token) => async (request, response) => {
      const sent = request.headers.authorization ?? ''
      if (token === undefined || !isSame(sent, `Bearer ${token}`)) throw new NotFound()
      response.type(registry.contentType).send(await registry.metrics())
    },
  }
}

function isSame(one: string, other: string): boolean {
  const hash = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(hash(one), hash(other))
}
