// The process that makes the load: takes one order at a time from the bench, and answers with what it
// measured. A process of its own, so that it and the proxy do not wait for each other's event loop.
import { setTimeout as delay } from 'node:timers/promises'
import { openHttpConnection, prepareGet, type HttpConnection } from './http-connection.ts'
import type { Order, Outcome, Requests } from './orders.ts'
import { pace } from './pace.ts'
import { openWebSocketConnection, type WebSocketConnection } from './websocket-connection.ts'

let held: WebSocketConnection[] = []

/** Counts and latencies of one order. */
function createMeasurement() {
  const startedAt = performance.now()
  const latencies: number[] = []
  let failed = 0
  return {
    answered: (status: number, sentAt: number) => {
      latencies.push(performance.now() - sentAt)
      if (status !== 200) failed += 1
    },
    outcome: (): Outcome => {
      const seconds = (performance.now() - startedAt) / 1000
      const sorted = Float64Array.from(latencies).sort()
      const percentile = (share: number) => sorted[Math.floor(sorted.length * share)] ?? Number.NaN
      return {
        count: sorted.length,
        failed,
        seconds,
        p50Ms: percentile(0.5),
        p99Ms: percentile(0.99),
      }
    },
  }
}

function open(count: number, port: number): Promise<HttpConnection[]> {
  return Promise.all(Array.from({ length: count }, () => openHttpConnection(port)))
}

function prepare({ port, path, headers }: Requests): Buffer[] {
  return headers.map((lines) => prepareGet(port, path, lines))
}

async function loop(order: Extract<Order, { kind: 'loop' }>): Promise<Outcome> {
  const requests = prepare(order)
  const connections = await open(order.connections, order.port)
  const measurement = createMeasurement()
  const endsAt = performance.now() + order.durationMs
  let next = 0
  const run = (connection: HttpConnection) =>
    new Promise<void>((resolve) => {
      const step = () => {
        const at = next
        next += 1
        const sentAt = performance.now()
        const isOver = order.onceEach ? at >= requests.length : sentAt >= endsAt
        const request = requests[at % requests.length]
        if (isOver || !request) return resolve()
        return connection.send(request, (status) => {
          measurement.answered(status, sentAt)
          if (status === 0) resolve()
          else step()
        })
      }
      step()
    })
  await Promise.all(connections.map(run))
  const outcome = measurement.outcome()
  for (const connection of connections) connection.close()
  return outcome
}

async function paced(order: Extract<Order, { kind: 'paced' }>): Promise<Outcome> {
  const requests = prepare(order)
  const idle = await open(order.connections, order.port)
  const all = [...idle]
  const measurement = createMeasurement()
  const due: number[] = [] // a request that finds no idle connection has waited since it was due
  let sent = 0
  const drained = Promise.withResolvers<void>()
  let isOver = false
  const send = (connection: HttpConnection, dueAt: number) => {
    const request = requests[sent % requests.length]
    sent += 1
    if (!request) return
    connection.send(request, (status) => {
      measurement.answered(status, dueAt)
      const waiting = due.shift()
      if (waiting !== undefined) send(connection, waiting)
      else idle.push(connection)
      if (isOver && idle.length === all.length) drained.resolve()
    })
  }
  await pace(order.perSecond, order.durationMs, () => {
    const connection = idle.pop()
    if (connection) send(connection, performance.now())
    else due.push(performance.now())
  })
  isOver = true
  if (idle.length < all.length) await drained.promise
  const outcome = measurement.outcome()
  for (const connection of all) connection.close()
  return outcome
}

async function burst(order: Extract<Order, { kind: 'burst' }>): Promise<Outcome> {
  const targets: { connection: HttpConnection; request: Buffer }[] = []
  for (let at = 0; at < order.count; at += 1) {
    const port = order.ports[at % order.ports.length] ?? 0
    const request = prepareGet(port, order.path, order.headers)
    targets.push({ connection: await openHttpConnection(port), request })
  }
  const measurement = createMeasurement()
  await Promise.all(
    targets.map(({ connection, request }) => {
      const sentAt = performance.now()
      return new Promise<void>((resolve) => {
        connection.send(request, (status) => {
          measurement.answered(status, sentAt)
          resolve()
        })
      })
    }),
  )
  const outcome = measurement.outcome()
  for (const { connection } of targets) connection.close()
  return outcome
}

async function openSockets({ connections, port, path, headers }: Requests) {
  const sockets: WebSocketConnection[] = []
  for (let at = 0; at < connections; at += 50) {
    const batch = Array.from({ length: Math.min(50, connections - at) }, (_, offset) =>
      openWebSocketConnection(port, path, headers[(at + offset) % headers.length] ?? []),
    )
    sockets.push(...(await Promise.all(batch)))
  }
  return sockets
}

async function echo(order: Extract<Order, { kind: 'echo' }>): Promise<Outcome> {
  const sockets = await openSockets(order)
  const startedAt = performance.now()
  let count = 0
  for (const { onMessages, send } of sockets) {
    onMessages((messages) => {
      count += messages
      send(messages)
    })
    send(order.window)
  }
  await delay(order.durationMs) // what is counted is what comes back in that time
  const seconds = (performance.now() - startedAt) / 1000
  const failed = sockets.filter(({ socket }) => socket.destroyed).length
  for (const { socket } of sockets) socket.destroy()
  return { count, failed, seconds, p50Ms: Number.NaN, p99Ms: Number.NaN }
}

async function carryOut(order: Order): Promise<Outcome> {
  switch (order.kind) {
    case 'loop':
      return loop(order)
    case 'paced':
      return paced(order)
    case 'burst':
      return burst(order)
    case 'echo':
      return echo(order)
    case 'hold': {
      const measurement = createMeasurement()
      held = await openSockets(order)
      for (const { socket } of held) socket.resume()
      return { ...measurement.outcome(), count: held.length }
    }
    case 'release': {
      const failed = held.filter(({ socket }) => socket.destroyed).length
      for (const { socket } of held) socket.destroy()
      held = []
      return { ...createMeasurement().outcome(), failed }
    }
  }
}

process.on('message', (order: Order) => {
  carryOut(order).then(
    (outcome) => process.send?.(outcome),
    (error: unknown) => process.send?.({ fault: String(error) }),
  )
})
process.on('disconnect', () => process.exit())
