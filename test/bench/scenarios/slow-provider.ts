// Issue 3, "Speed": a slow provider is the trouble of those who wait for it, and of nobody else.
import { setTimeout as delay } from 'node:timers/promises'
import { openHttpConnection, prepareGet } from '../load/http-connection.ts'
import { logIn, type Person } from '../people.ts'
import { median, round, spread, type Scenario } from '../scenario.ts'

const waiting = 200
const others = 20
const perSecond = 300
const providerDelayMs = 5000
const rounds = 7
// Refreshed at half its life; and given up 5 s before its end, because it might end on its way.
const tokenLifetimeSeconds = 12

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
      const loggedInAt = performance.now()
      const expiring = await logIn(databaseUrl, provider.issuer, waiting, { tokenLifetimeSeconds })
      // All that costs processor time and is not a refresh is done before the measuring.
      await provider.signAhead(expiring.map(({ subject }) => subject))
      const askAll = await prepareToAsk(gate.port, expiring)
      await askAll()
      normal.push((await paced(providerDelayMs)).p99Ms)
      const expireAt = loggedInAt + tokenLifetimeSeconds * 1000 - 4000
      await delay(expireAt - performance.now()) // by then no token of theirs is sent any more
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
        return status === 200
      }),
    )
}
