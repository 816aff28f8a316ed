// `WEB_CONCURRENCY`: several processes on one machine, sharing its port. They share nothing else but the
// database. One that dies is replaced; one that can't start takes the others down with its exit code.
import cluster from 'node:cluster'

const soonMs = 2000

/** In the primary process: runs so many workers until told to stop. Gives the exit code. */
export async function runWorkers(count: number, stop: AbortSignal): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  const startedAt = new Map<number, number>()
  let exitCode = 0

  const fork = () => {
    const worker = cluster.fork()
    startedAt.set(worker.id, performance.now())
  }
  const stopAll = () => {
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGTERM')
    if (Object.keys(cluster.workers ?? {}).length === 0) resolve(exitCode)
  }

  cluster.on('exit', (worker, code) => {
    const livedMs = performance.now() - (startedAt.get(worker.id) ?? 0)
    startedAt.delete(worker.id)
    if (!stop.aborted && code !== 0 && livedMs < soonMs) {
      // It would die again: a fault of configuration, or a port that is taken.
      exitCode = code ?? 1
      stopAll()
    } else if (!stop.aborted && exitCode === 0) {
      fork()
      return
    }
    if (Object.keys(cluster.workers ?? {}).length === 0) resolve(exitCode)
  })
  stop.addEventListener('abort', stopAll)
  for (let started = 0; started < count; started += 1) fork()
  return promise
}

export const isPrimary = cluster.isPrimary
