// Issue 4, "Speed": the size of the table is nobody's trouble.
import { addStrangers, logIn } from '../people.ts'
import { atLeast, median, round, spread, type Scenario } from '../scenario.ts'
import type { RunningGate } from '../stage.ts'

const few = 1000
const many = 1_000_000
const rounds = 7
const roundMs = 1000
const connections = 50

export const manySessions: Scenario = {
  name: 'many-sessions',
  says: `requests of ${few} sessions with ${many} rows in the table against ${few}, in turn`,
  run: async (stage) => {
    await using opened = new AsyncDisposableStack()
    const start = async (strangers: number) => {
      const databaseUrl = await stage.createDatabase()
      await addStrangers(databaseUrl, strangers)
      const gate: RunningGate = opened.use(await stage.startGate(databaseUrl))
      const logInSome = async () =>
        (await logIn(databaseUrl, stage.provider.issuer, few)).map(({ cookie }) => [
          `Cookie: ${cookie}`,
        ])
      const load = async (headers: string[][], onceEach: boolean, durationMs: number) => {
        const order = { kind: 'loop', port: gate.port, path: '/api/items', connections } as const
        const { count, failed, seconds } = await stage.load({
          ...order,
          headers,
          onceEach,
          durationMs,
        })
        if (failed > 0) throw new Error(`${failed} of ${count} requests failed`)
        return count / seconds
      }
      return { logInSome, load, known: await logInSome() }
    }
    const small = await start(0)
    const big = await start(many - few)
    for (const { load, known } of [small, big]) await load(known, false, 2000)

    const known: number[] = []
    const firstSeen: number[] = []
    for (let at = 0; at < rounds; at += 1) {
      const base = await small.load(small.known, false, roundMs)
      known.push((await big.load(big.known, false, roundMs)) / base)
    }
    for (let at = 0; at < 3; at += 1) {
      const base = await small.load(await small.logInSome(), true, 0)
      firstSeen.push((await big.load(await big.logInSome(), true, 0)) / base)
    }
    return [
      {
        what: `requests/s with ${many} rows / with ${few}`,
        value: spread(known),
        target: atLeast(median(known), 0.95),
      },
      {
        what: 'the same, each session for the first time (read from the database)',
        value: spread(firstSeen),
      },
      { what: 'rounds', value: round(rounds) },
    ]
  },
}
