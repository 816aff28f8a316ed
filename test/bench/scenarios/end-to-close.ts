// Issue 4, "Speed": from the logout to the closed WebSocket, here and in another process.
import { once } from 'node:events'
import { WebSocket } from 'ws'
import { closeCodes } from '../../../shared/contract.ts'
import { logIn, type Person } from '../people.ts'
import { below, round, spread, type Scenario } from '../scenario.ts'
import type { RunningGate } from '../stage.ts'

const times = 30

export const endToClose: Scenario = {
  name: 'end-to-close',
  says: `${times} logouts, each with a WebSocket in the same process and one in another; from sending the logout to the close`,
  run: async (stage) => {
    await using opened = new AsyncDisposableStack()
    const databaseUrl = await stage.createDatabase()
    const one = opened.use(await stage.startGate(databaseUrl))
    const other = opened.use(await stage.startGate(databaseUrl, { APP_URL: one.appUrl }))
    const people = await logIn(databaseUrl, stage.provider.issuer, times)
    const same: number[] = []
    const elsewhere: number[] = []
    for (const person of people) {
      const sockets = await Promise.all([
        openSocket(one, one, person),
        openSocket(other, one, person),
      ])
      const startedAt = performance.now()
      const closed = sockets.map(async (socket) => {
        const [code] = await once(socket, 'close')
        if (code !== closeCodes.sessionEnded) throw new Error(`closed with ${String(code)}`)
        return performance.now() - startedAt
      })
      const [answer, here = Number.NaN, there = Number.NaN] = await Promise.all([
        logOut(one, person),
        ...closed,
      ])
      if (answer !== 200) throw new Error(`the logout was answered with ${answer}`)
      same.push(here)
      elsewhere.push(there)
    }
    const [worst, worstElsewhere] = [Math.max(...same), Math.max(...elsewhere)]
    return [
      {
        what: 'same process',
        value: `${spread(same, 1)} ms`,
        target: below(worst, 100, 'ms, the worst'),
      },
      {
        what: 'other process',
        value: `${spread(elsewhere, 1)} ms`,
        target: below(worstElsewhere, 500, 'ms, the worst'),
      },
      { what: 'logouts', value: round(times) },
    ]
  },
}

async function openSocket({ port }: RunningGate, { appUrl }: RunningGate, { cookie }: Person) {
  const socket = new WebSocket(`ws://localhost:${port}/api/socket`, {
    origin: appUrl,
    headers: { cookie },
  })
  await once(socket, 'open')
  return socket
}

async function logOut({ appUrl }: RunningGate, { cookie, csrfToken }: Person): Promise<number> {
  const headers = { cookie, origin: appUrl, 'x-csrf-token': csrfToken }
  const answer = await fetch(`${appUrl}/auth/logout`, { method: 'POST', headers })
  await answer.arrayBuffer()
  return answer.status
}
