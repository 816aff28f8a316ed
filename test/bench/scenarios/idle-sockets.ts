// Issue 5, "Speed": what an open WebSocket costs that says nothing.
import { execFileSync } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { logIn } from '../people.ts'
import { startPeer, type Costs } from '../processes.ts'
import { round, type Figure, type Scenario } from '../scenario.ts'

const wanted = 5000
const perSession = 50
const settleMs = 3000

export const idleSockets: Scenario = {
  name: 'idle-sockets',
  says: `memory of ${wanted} idle WebSockets, through the gate and through the bare proxy`,
  run: async (stage) => {
    await using opened = new AsyncDisposableStack()
    const count = Math.min(wanted, Math.floor((openFileLimit() - 200) / 2)) // two files each
    const databaseUrl = await stage.createDatabase()
    const people = await logIn(databaseUrl, stage.provider.issuer, Math.ceil(count / perSession))
    const bare = opened.use(
      await startPeer('bare-proxy', { UPSTREAM: `http://127.0.0.1:${stage.upstreamPort}` }),
    )
    const gate = opened.use(await stage.startGate(databaseUrl))
    const ours = people.map(({ cookie }) => [`Cookie: ${cookie}`, `Origin: ${gate.appUrl}`])

    const measure = async (port: number, costs: Costs, headers: string[][]) => {
      const order = { kind: 'hold', port, path: '/api/socket', headers } as const
      // Once before, so that what the first sockets of a process cost is not counted.
      await stage.load({ ...order, connections: 500 })
      await stage.load({ kind: 'release' })
      await delay(settleMs) // nobody says when a collector is done
      const before = costs.residentBytes()
      const startedAt = performance.now()
      await stage.load({ ...order, connections: count })
      const openedPerSecond = count / ((performance.now() - startedAt) / 1000)
      await delay(settleMs) // nobody says when a collector is done
      const each = (costs.residentBytes() - before) / count / 1024
      const { failed } = await stage.load({ kind: 'release' })
      return { each, failed, openedPerSecond }
    }
    const throughBare = await measure(bare.port, bare, [[]])
    const throughGate = await measure(gate.port, gate, ours)
    const { each, failed } = throughGate
    const figures: Figure[] = [
      {
        what: 'gate',
        value: `${round(each, 1)} KiB a socket`,
        target: { text: '≤ 20 KiB', met: each <= 20 },
      },
      { what: 'bare http-proxy-middleware', value: `${round(throughBare.each, 1)} KiB a socket` },
      {
        what: 'opened',
        value: `${round(throughGate.openedPerSecond)}/s through the gate, ${round(throughBare.openedPerSecond)}/s bare`,
      },
      { what: 'closed meanwhile', value: String(failed), target: { text: '0', met: failed === 0 } },
    ]
    if (count < wanted)
      figures.push({ what: 'sockets', value: `only ${count}, because of the limit of open files` })
    return figures
  },
}

function openFileLimit(): number {
  const limit = execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }).trim()
  return limit === 'unlimited' ? Number.POSITIVE_INFINITY : Number(limit)
}
