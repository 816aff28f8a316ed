// Issue 5, "Speed": messages of a WebSocket, there and back.
import { logIn } from '../people.ts'
import { startPeer, type Costs } from '../processes.ts'
import { atLeast, median, round, spread, type Scenario } from '../scenario.ts'

const sockets = 50
const window = 4
const rounds = 9
const roundMs = 1500

export const webSocketMessages: Scenario = {
  name: 'websocket-messages',
  says: `messages of 64 bytes there and back on ${sockets} sockets, ${window} under way on each, in turn through the bare proxy and the gate`,
  run: async (stage) => {
    await using opened = new AsyncDisposableStack()
    const databaseUrl = await stage.createDatabase()
    const people = await logIn(databaseUrl, stage.provider.issuer, sockets)
    const bare = opened.use(
      await startPeer('bare-proxy', { UPSTREAM: `http://127.0.0.1:${stage.upstreamPort}` }),
    )
    const gate = opened.use(await stage.startGate(databaseUrl))
    const ours = people.map(({ cookie }) => [`Cookie: ${cookie}`, `Origin: ${gate.appUrl}`])
    const measure = async (port: number, costs: Costs, headers: string[][]) => {
      const before = costs.cpuMs() ?? Number.NaN
      const { count, failed, seconds } = await stage.load({
        ...{ kind: 'echo', window, durationMs: roundMs, connections: sockets },
        ...{ port, path: '/api/socket', headers },
      })
      if (failed > 0) throw new Error(`${failed} sockets were closed`)
      const cpuMs = (costs.cpuMs() ?? Number.NaN) - before
      return { perSecond: count / seconds, cpuMsEach: cpuMs / count }
    }
    await measure(bare.port, bare, [[]])
    await measure(gate.port, gate, ours)
    const bareFigures: { perSecond: number; cpuMsEach: number }[] = []
    const gateFigures: typeof bareFigures = []
    for (let at = 0; at < rounds; at += 1) {
      bareFigures.push(await measure(bare.port, bare, [[]]))
      gateFigures.push(await measure(gate.port, gate, ours))
    }
    const ratios = gateFigures.map(
      ({ perSecond }, at) => perSecond / (bareFigures[at]?.perSecond ?? Number.NaN),
    )
    const describe = (figures: typeof bareFigures) =>
      `${round(median(figures.map(({ perSecond }) => perSecond)))} messages/s, ${round(median(figures.map(({ cpuMsEach }) => cpuMsEach)) * 1000, 1)} µs of processor each`
    return [
      { what: 'bare http-proxy-middleware', value: describe(bareFigures) },
      { what: 'gate', value: describe(gateFigures) },
      { what: 'gate / bare', value: spread(ratios), target: atLeast(median(ratios), 0.9) },
    ]
  },
}
