// Issue 3, "Speed": everybody asks at the moment at which the token expires.
import { logIn } from '../people.ts'
import { below, round, type Scenario } from '../scenario.ts'

const requests = 1000
const warmUps = 3
const providerDelayMs = 200

export const storm: Scenario = {
  name: 'storm',
  says: `${requests} requests at once over 2 processes on one session with an expired token; the provider takes ${providerDelayMs} ms`,
  run: async (stage) => {
    await using opened = new AsyncDisposableStack()
    const { provider } = stage
    const databaseUrl = await stage.createDatabase()
    const one = opened.use(await stage.startGate(databaseUrl))
    const other = opened.use(await stage.startGate(databaseUrl))
    const storm = (cookie = '') =>
      stage.load({
        ...{ kind: 'burst', ports: [one.port, other.port], path: '/api/items' },
        ...{ headers: [`Cookie: ${cookie}`], count: requests },
      })
    // A process that has just started is not what is measured here; and the same storm without a
    // refresh tells what the machine itself takes.
    const [warm] = await logIn(databaseUrl, provider.issuer, 1)
    for (let at = 0; at < warmUps; at += 1) await storm(warm?.cookie)
    const calm = await storm(warm?.cookie)
    const [person] = await logIn(databaseUrl, provider.issuer, 1, { tokenLifetimeSeconds: -60 })
    provider.delayMs = providerDelayMs
    const before = provider.tokenRequests()
    const { failed, p50Ms, p99Ms } = await storm(person?.cookie)
    const asked = provider.tokenRequests() - before
    const answerMs = provider.longestAnswerMs()
    return [
      { what: 'token requests', value: String(asked), target: { text: '1', met: asked === 1 } },
      { what: 'errors', value: String(failed), target: { text: '0', met: failed === 0 } },
      { what: "the provider's own answer", value: `${round(answerMs)} ms` },
      { what: 'p99 of the same storm with a token that holds', value: `${round(calm.p99Ms)} ms` },
      { what: 'p50', value: `${round(p50Ms)} ms` },
      {
        what: 'p99',
        value: `${round(p99Ms)} ms`,
        target: below(p99Ms, Math.round(answerMs + 250), 'ms'),
      },
    ]
  },
}
