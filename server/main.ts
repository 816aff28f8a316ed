// The process: configuration, gate, listen, drain. Knows no embedded part: whoever starts it has set
// the variables.
import { once } from 'node:events'
import { readConfiguration } from './configuration.ts'
import { findMissingMigrations } from './database/migrations.ts'
import { ConfigurationFaults } from './environment.ts'
import { DatabaseUnavailable } from './errors.ts'
import { createGate, type Gate } from './gate.ts'
import { isPrimary, runWorkers } from './operations/cluster.ts'
import { drain } from './operations/shutdown.ts'

const longestEndMs = 25_000 // Heroku kills after 30 s

const stop = new AbortController()
// Heroku signals every process of a dyno, perhaps twice; to hear it again changes nothing.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.abort())

async function run(): Promise<number> {
  // For `npm run build`: Node keeps what it compiled of all that was imported (NODE_COMPILE_CACHE), and a
  // start from that needs half the time and 25 MB less, because nothing loads the TypeScript compiler.
  if (process.argv.includes('--load-only')) return 0
  const { configuration, secrets } = readConfiguration(process.env)
  if (isPrimary && configuration.processes > 1)
    return runWorkers(configuration.processes, stop.signal)

  await using gate = await createGate(configuration, secrets)
  const { events, log, server } = gate
  // A bug that nobody caught costs one request, not everybody's.
  process.on('unhandledRejection', (error) =>
    log.error({ err: error }, 'a bug: nobody caught this'),
  )
  const missing = await findMissing(gate)
  if (missing.length > 0) {
    console.error(
      `the database lacks ${missing.join(', ')}: run "npm run migrate" (Heroku's release phase does)`,
    )
    return 1
  }
  server.listen(configuration.port)
  await once(server, 'listening')
  events.started({ port: configuration.port, origin: configuration.appUrl.origin, configuration })

  if (!stop.signal.aborted) await once(stop.signal, 'abort')
  const leave = () => {
    log.warn({}, 'not everything had ended when the time was up')
    process.exit(0)
  }
  setTimeout(leave, longestEndMs).unref()
  const finished = await drain(gate)
  events.stopped({ finished })
  return 0
}

/** What the schema is behind by. A database that is down is no reason not to start: `/readyz` says so, and it comes back. */
async function findMissing({ database, log }: Gate): Promise<string[]> {
  try {
    return await findMissingMigrations(database)
  } catch (error) {
    if (!(error instanceof DatabaseUnavailable)) throw error
    log.warn({ err: error }, 'the database does not answer yet')
    return []
  }
}

try {
  process.exitCode = await run()
} catch (error) {
  if (error instanceof ConfigurationFaults) {
    console.error(error.message)
    process.exitCode = 78 // EX_CONFIG
  } else {
    console.error(error)
    process.exitCode = 1
  }
} finally {
  if (process.connected) process.disconnect() // a worker's line to the primary would hold it
  // Something that should have ended may hold the process: it has had its time.
  setTimeout(() => process.exit(), 2000).unref()
}
