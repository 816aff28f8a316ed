// Issue 4, "Speed": what a login costs a proxied GET.
import { logIn } from '../people.ts'
import { startPeer, type Costs } from '../processes.ts'
import { atLeast, median, round, spread, type Figure, type Scenario } from '../scenario.ts'
import type { Stage } from '../stage.ts'

const connections = 50
const rounds = 9
const roundMs = 1000
const warmUpMs = 2000

interface Lane {
  name: string
  port: number
  costs: Costs
  headers: string[][]
  perSecond: number[]
  cpuMsEach: number[]
}

export const proxiedGet: Scenario = {
  name: 'proxied-get',
  says: `GET of 1 KB on ${connections} connections, in turn through the bare proxy (1), the gate, and the usual stack`,
  run: async (stage) => {
    await using opened = new AsyncDisposableStack()
    const databaseUrl = await stage.createDatabase()
    const people = await logIn(databaseUrl, stage.provider.issuer, connections)
    const upstream = { UPSTREAM: `http://127.0.0.1:${stage.upstreamPort}` }
    const bare = opened.use(await startPeer('bare-proxy', upstream))
    const gate = opened.use(await stage.startGate(databaseUrl))
    const quiet = opened.use(await stage.startGate(databaseUrl, { LOG_LEVEL: 'warn' }))
    const usual = opened.use(
      await startPeer('usual-stack', {
        ...upstream,
        DATABASE_URL: await stage.createDatabase('template0'),
      }),
    )
    const ours = people.map(({ cookie }) => [`Cookie: ${cookie}`])
    const theirs = await Promise.all(people.map(() => logInToUsualStack(usual.port)))

    const lane = (name: string, { port }: { port: number }, costs: Costs, headers: string[][]) => ({
      ...{ name, port, costs, headers },
      perSecond: [],
      cpuMsEach: [],
    })
    const bareLane: Lane = lane('bare http-proxy-middleware', bare, bare, [[]])
    const gateLane: Lane = lane('gate', gate, gate, ours)
    const quietLane: Lane = lane('gate with LOG_LEVEL=warn', quiet, quiet, ours)
    const usualLane: Lane = lane('usual stack', usual, usual, theirs)
    const lanes = [bareLane, gateLane, quietLane, usualLane]
    for (const each of lanes) await measure(stage, each, warmUpMs)
    for (const each of lanes) Object.assign(each, { perSecond: [], cpuMsEach: [] })
    for (let at = 0; at < rounds; at += 1)
      for (const each of lanes) await measure(stage, each, roundMs)

    const ratios = ({ perSecond }: Lane) =>
      perSecond.map((value, at) => value / (bareLane.perSecond[at] ?? Number.NaN))
    const gateRatio = median(ratios(gateLane))
    return [
      ...lanes.map(({ name, perSecond, cpuMsEach }): Figure => ({
        what: name,
        value: `${round(median(perSecond))} requests/s, ${round(median(cpuMsEach) * 1000)} µs of processor each`,
      })),
      { what: 'gate / bare', value: spread(ratios(gateLane)), target: atLeast(gateRatio, 0.9) },
      { what: 'gate with LOG_LEVEL=warn / bare', value: spread(ratios(quietLane)) },
      { what: 'usual stack / bare', value: spread(ratios(usualLane)) },
      {
        what: 'processor time, bare / gate',
        value: round(median(bareLane.cpuMsEach) / median(gateLane.cpuMsEach), 2),
      },
    ]
  },
}

async function measure(stage: Stage, lane: Lane, durationMs: number): Promise<void> {
  const { port, headers, costs } = lane
  const before = costs.cpuMs()
  const { count, failed, seconds } = await stage.load({
    ...{ kind: 'loop', durationMs, port, path: '/api/items', headers, connections },
  })
  if (failed > 0) throw new Error(`${lane.name}: ${failed} of ${count} requests failed`)
  lane.perSecond.push(count / seconds)
  lane.cpuMsEach.push(((costs.cpuMs() ?? Number.NaN) - (before ?? Number.NaN)) / count)
}

async function logInToUsualStack(port: number): Promise<string[]> {
  const answer = await fetch(`http://127.0.0.1:${port}/login`, { method: 'POST' })
  const [cookie = ''] = (answer.headers.getSetCookie()[0] ?? '').split(';')
  return [`Cookie: ${cookie}`]
}
