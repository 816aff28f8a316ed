// Issue 3, "Speed": a slow provider is the trouble of those who wait for it, and of nobody else.
import { openHttpConnection, prepareGet } from '../load/http-connection.ts'
import { logIn, type Person } from '../people.ts'
import { median, round, spread, type Scenario } from '../scenario.ts'

const waiting = 200
const others = 20
const perSecond = 300
const providerDelayMs = 5000
const rounds = 7

export const slowProvider: Scenario = {
  name: 'slow-provider',
  says: `${others} sessions at ${perSecond} requests/s while ${waiting} others refresh at a provider that takes ${providerDelayMs / 1000} s`,
  run: async (stage) => {
    await using opened = new AsyncDisposableStack()
    const { provider } = stage
    const databaseUrl = await stage.createDatabase()
    const gate = opened.use(await stage.startGate(databaseUrl))
    const people = await logIn(databaseUrl, provider.issuer, others)
    const headers = people.map(({ cookie }) => [`Cookie: ${cookie}`])
    const paced = (durationMs: number) =>
      stage.load({
        ...{ kind: 'paced', perSecond, durationMs, connections: 100 },
        ...{ port: gate.port, path: '/api/items', headers },
      })
    await paced(2000) // warm
    const normal: number[] = []
    const slow: number[] = []
    let failed = 0
    let refreshed = 0
    for (let at = 0; at <= rounds; at += 1) {
      const expired = await logIn(databaseUrl, provider.issuer, waiting, {
        tokenExpiresInSeconds: -60,
      })
      // All that costs processor time and is not the gate's is done before the measuring.
      await provider.signAhead(expired.map(({ subject }) => subject))
      const askAll = await prepareToAsk(gate.port, expired)
      normal.push((await paced(providerDelayMs)).p99Ms)
      provider.delayMs = providerDelayMs
      const refreshes = askAll()
      const outcome = await paced(providerDelayMs)
      failed += outcome.failed
      slow.push(outcome.p99Ms)
      refreshed += (await refreshes).filter(Boolean).length
      provider.delayMs = 0
    }
    // The first round warmed what refreshes. Of the medians, because one pause of the collector is
    // either all of a round's slowest 1 %, or none of it.
    normal.shift()
    slow.shift()
    const ratio = median(slow) / median(normal)
    return [
      { what: 'p99 of the others, normally', value: `${spread(normal)} ms` },
      { what: 'p99 of the others, meanwhile', value: `${spread(slow)} ms` },
      { what: 'ratio', value: round(ratio, 2), target: { text: '≤ 2', met: ratio <= 2 } },
      {
        what: 'errors of the others',
        value: String(failed),
        target: { text: '0', met: failed === 0 },
      },
      { what: 'refreshed', value: `${round(refreshed)} of ${waiting * (rounds + 1)}` },
    ]
  },
}

/** A connection for each of these people; the function has all of them ask at once. */
async function prepareToAsk(port: number, people: readonly Person[]) {
  const asking = await Promise.all(
    people.map(async ({ cookie }) => ({
      connection: await openHttpConnection(port),
      request: prepareGet(port, '/api/items', [`Cookie: ${cookie}`]),
    })),
  )
  return () =>
    Promise.all(
      asking.map(async ({ connection, request }) => {
        const status = await new Promise((resolve) => connection.send(request, resolve))
        connection.close()
        return status === 200
      }),
    )
}
