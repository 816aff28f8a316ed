// Calls back at an even pace, finer than a timer's millisecond: a thread sleeps on a futex and wakes us.
// Spinning would be more exact still, and would take the core that the proxy needs.
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'

const program = `
  const { parentPort, workerData: { everyMs, count } } = require('node:worker_threads')
  const cell = new Int32Array(new SharedArrayBuffer(4))
  const startedAt = performance.now()
  for (let at = 1; at <= count; at += 1) {
    const waitMs = startedAt + at * everyMs - performance.now()
    if (waitMs > 0) Atomics.wait(cell, 0, 0, waitMs)
    parentPort.postMessage(0)
  }
`

/** Calls `act` at `perSecond` for so long; done when the last call was made. */
export async function pace(perSecond: number, durationMs: number, act: () => void): Promise<void> {
  const everyMs = 1000 / perSecond
  const count = Math.round(durationMs / everyMs)
  const worker = new Worker(program, { eval: true, workerData: { everyMs, count } })
  worker.on('message', act)
  await once(worker, 'exit')
}
