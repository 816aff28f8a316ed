// Issue 4, "Speed": what a process remembers of sessions is bounded.
import { logIn } from '../people.ts'
import { below, megabytes, round, type Scenario } from '../scenario.ts'

const sessions = 100_000
const connections = 50

export const sessionsSeen: Scenario = {
  name: 'sessions-seen',
  says: `${sessions} sessions, each seen for the first time`,
  run: async (stage) => {
    await using opened = new AsyncDisposableStack()
    const databaseUrl = await stage.createDatabase()
    const people = await logIn(databaseUrl, stage.provider.issuer, sessions)
    const gate = opened.use(await stage.startGate(databaseUrl))
    const atStart = megabytes(gate.residentBytes())
    let most = atStart
    const timer = setInterval(() => {
      most = Math.max(most, megabytes(gate.residentBytes()))
    }, 250)
    const { count, failed, seconds } = await stage.load({
      ...{ kind: 'loop', onceEach: true, durationMs: 0, connections },
      ...{ port: gate.port, path: '/api/items' },
      headers: people.map(({ cookie }) => [`Cookie: ${cookie}`]),
    })
    clearInterval(timer)
    most = Math.max(most, megabytes(gate.residentBytes()))
    return [
      { what: 'memory at start', value: `${round(atStart)} MB` },
      { what: 'most memory', value: `${round(most)} MB`, target: below(most, 200, 'MB') },
      { what: 'sessions/s, each read and opened', value: round(count / seconds) },
      { what: 'errors', value: String(failed), target: { text: '0', met: failed === 0 } },
    ]
  },
}
