// Issue 5, "Speed": what the gate adds to an answer's time when it is half busy.
import { logIn } from '../people.ts'
import { startPeer } from '../processes.ts'
import { median, round, spread, type Scenario } from '../scenario.ts'

const connections = 50
const rounds = 7
const roundMs = 2000

export const addedLatency: Scenario = {
  name: 'added-latency',
  says: 'at half of what the gate can do, evenly paced: answer times through the gate against straight from the upstream, in turn',
  run: async (stage) => {
    await using opened = new AsyncDisposableStack()
    const databaseUrl = await stage.createDatabase()
    const people = await logIn(databaseUrl, stage.provider.issuer, connections)
    const gate = opened.use(await stage.startGate(databaseUrl))
    const headers = people.map(({ cookie }) => [`Cookie: ${cookie}`])
    const through = { port: gate.port, path: '/api/items', headers, connections }
    const straight = { ...through, port: stage.upstreamPort }
    const bare = opened.use(
      await startPeer('bare-proxy', { UPSTREAM: `http://127.0.0.1:${stage.upstreamPort}` }),
    )
    const throughBare = { ...through, port: bare.port }
    await stage.load({ kind: 'loop', durationMs: 2000, ...throughBare })

    await stage.load({ kind: 'loop', durationMs: 2000, ...through })
    const full = await stage.load({ kind: 'loop', durationMs: 2000, ...through })
    const perSecond = full.count / full.seconds / 2
    const p50: number[] = []
    const p99: number[] = []
    const bareP99: number[] = []
    const direct: number[] = []
    for (let at = 0; at < rounds; at += 1) {
      const base = await stage.load({ kind: 'paced', perSecond, durationMs: roundMs, ...straight })
      const gated = await stage.load({ kind: 'paced', perSecond, durationMs: roundMs, ...through })
      const bared = await stage.load({
        kind: 'paced',
        perSecond,
        durationMs: roundMs,
        ...throughBare,
      })
      if (base.failed + gated.failed + bared.failed > 0) throw new Error('requests failed')
      p50.push(gated.p50Ms - base.p50Ms)
      p99.push(gated.p99Ms - base.p99Ms)
      bareP99.push(bared.p99Ms - base.p99Ms)
      direct.push(base.p50Ms)
    }
    const [added50, added99] = [median(p50), median(p99)]
    return [
      { what: 'pace', value: `${round(perSecond)} requests/s` },
      { what: 'straight, p50', value: `${spread(direct)} ms` },
      {
        what: 'added to p50',
        value: `${spread(p50)} ms`,
        target: { text: '≤ 0.3 ms', met: added50 <= 0.3 },
      },
      {
        what: 'added to p99',
        value: `${spread(p99)} ms`,
        target: { text: '≤ 3 ms', met: added99 <= 3 },
      },
      { what: 'added to p99 by the bare proxy', value: `${spread(bareP99)} ms` },
    ]
  },
}
