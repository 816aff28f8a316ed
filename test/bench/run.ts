// `npm run bench`: every scenario, or those that are named (`npm run bench -- proxied-get storm`). What
// counts are ratios between things measured side by side in one run; absolute figures are this machine's.
// Exits with 1 when a target was missed. BENCH_GATE_FLAGS are Node's, for the gates: --cpu-prof.
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { runMigrations } from '../../server/database/migrations.ts'
import { startPostgres } from '../../server/development/postgres.ts'
import type { Figure, Scenario } from './scenario.ts'
import { addedLatency } from './scenarios/added-latency.ts'
import { endToClose } from './scenarios/end-to-close.ts'
import { idleSockets } from './scenarios/idle-sockets.ts'
import { largeBodies } from './scenarios/large-bodies.ts'
import { longTasks } from './scenarios/long-tasks.ts'
import { manySessions } from './scenarios/many-sessions.ts'
import { proxiedGet } from './scenarios/proxied-get.ts'
import { sessionsSeen } from './scenarios/sessions-seen.ts'
import { slowProvider } from './scenarios/slow-provider.ts'
import { storm } from './scenarios/storm.ts'
import { webSocketMessages } from './scenarios/websocket-messages.ts'
import { openStage } from './stage.ts'

const scenarios: readonly Scenario[] = [
  proxiedGet,
  storm,
  slowProvider,
  manySessions,
  sessionsSeen,
  endToClose,
  webSocketMessages,
  idleSockets,
  addedLatency,
  largeBodies,
  longTasks,
]

async function run(): Promise<number> {
  const asked = process.argv.slice(2)
  const unknown = asked.filter((name) => !scenarios.some((scenario) => scenario.name === name))
  if (unknown.length > 0) {
    console.error(`There is no ${unknown.join(', ')}. There is:`)
    for (const { name, says } of scenarios) console.error(`  ${name}: ${says}`)
    return 64 // EX_USAGE
  }
  const chosen = asked.length > 0 ? scenarios.filter(({ name }) => asked.includes(name)) : scenarios
  build()

  const directory = await mkdtemp(join(tmpdir(), 'gatehouse-bench-'))
  // Ctrl-C in the middle leaves nothing behind either.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  await chmod(directory, 0o711) // for root's database, which runs as another user
  try {
    await using postgres = await startPostgres({
      directory: join(directory, 'postgres'),
      settings: { fsync: 'off', full_page_writes: 'off', shared_buffers: '512MB' },
    })
    await runMigrations(postgres.url, { tls: 'off', certificateAuthority: undefined })
    console.log(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'processor'}`)
    let missed = 0
    for (const { name, says, run: measure } of chosen) {
      console.log(`\n${name}: ${says}`)
      const startedAt = performance.now()
      await using stage = await openStage(postgres.url, directory)
      const figures = await measure(stage)
      for (const figure of figures) console.log(`  ${describe(figure)}`)
      console.log(`  took ${((performance.now() - startedAt) / 1000).toFixed(0)} s`)
      missed += figures.filter(({ target }) => target?.met === false).length
    }
    console.log(missed === 0 ? '\nEvery target is met.' : `\n${missed} targets are missed.`)
    return missed === 0 ? 0 : 1
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

function describe({ what, value, target }: Figure): string {
  const verdict = target ? ` [${target.text}: ${target.met ? 'met' : 'MISSED'}]` : ''
  return `${what}: ${value}${verdict}`
}

/** A production start serves the built client, and starts from what was compiled. */
function build(): void {
  const built = spawnSync('npm', ['run', 'build'], { encoding: 'utf8' })
  if (built.status !== 0) throw new Error(`the build failed: ${built.stdout}${built.stderr}`)
}

process.exitCode = await run()
