// Issue 3, "Speed": a slow provider is the trouble of those who wait for it, and of nobody else.
import { logIn } from '../people.ts'
import { median, round, spread, type Scenario } from '../scenario.ts'

const waiting = 200
const others = 20
const perSecond = 300
const providerDelayMs = 5000
const rounds = 3

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
    for (let at = 0; at < rounds; at += 1) {
      const expired = await logIn(databaseUrl, provider.issuer, waiting, {
        tokenExpiresInSeconds: -60,
      })
      normal.push((await paced(3000)).p99Ms)
      provider.delayMs = providerDelayMs
      const refreshes = Promise.all(
        expired.map(async ({ cookie }) => {
          const answer = await fetch(`${gate.appUrl}/api/items`, { headers: { cookie } })
          await answer.arrayBuffer()
          return answer.ok
        }),
      )
      const outcome = await paced(providerDelayMs)
      failed += outcome.failed
      slow.push(outcome.p99Ms)
      refreshed += (await refreshes).filter(Boolean).length
      provider.delayMs = 0
    }
    const ratios = slow.map((value, at) => value / (normal[at] ?? Number.NaN))
    const ratio = median(ratios)
    return [
      { what: 'p99 of the others, normally', value: `${spread(normal)} ms` },
      { what: 'p99 of the others, meanwhile', value: `${spread(slow)} ms` },
      { what: 'ratio', value: spread(ratios), target: { text: '≤ 2', met: ratio <= 2 } },
      {
        what: 'errors of the others',
        value: String(failed),
        target: { text: '0', met: failed === 0 },
      },
      { what: 'refreshed', value: `${round(refreshed)} of ${waiting * rounds}` },
    ]
  },
}
