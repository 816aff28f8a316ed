// Issue 5: bodies pass, they are not collected; and an event is on its way at once.
import { once } from 'node:events'
import { request as send, type IncomingMessage } from 'node:http'
import { logIn, type Person } from '../people.ts'
import { below, megabytes, round, spread, type Scenario } from '../scenario.ts'
import type { RunningGate } from '../stage.ts'

const bytes = 1e9
const events = 100
const block = Buffer.alloc(64 * 1024, 'x')

export const largeBodies: Scenario = {
  name: 'large-bodies',
  says: '1 GB up, 1 GB down, and an event stream through the gate',
  run: async (stage) => {
    await using opened = new AsyncDisposableStack()
    const databaseUrl = await stage.createDatabase()
    const [person] = await logIn(databaseUrl, stage.provider.issuer, 1)
    if (!person) throw new Error('nobody is logged in')
    const gate = opened.use(await stage.startGate(databaseUrl))
    let most = 0
    const look = () => {
      most = Math.max(most, megabytes(gate.residentBytes()))
    }
    const timer = setInterval(look, 100)
    const timed = async (work: () => Promise<number>) => {
      const startedAt = performance.now()
      const passed = await work()
      if (passed !== bytes) throw new Error(`${passed} bytes arrived, not ${bytes}`)
      return `${round(megabytes(bytes) / ((performance.now() - startedAt) / 1000))} MB/s`
    }
    const up = await timed(() => upload(gate, person))
    const down = await timed(() => download(gate, person))
    look()
    clearInterval(timer)
    const delays = await receiveEvents(gate, person)
    const latest = Math.max(...delays)
    return [
      { what: '1 GB up', value: up },
      { what: '1 GB down', value: down },
      { what: 'most memory', value: `${round(most)} MB`, target: below(most, 200, 'MB') },
      {
        what: 'an event, from its writing to its arrival',
        value: `${spread(delays)} ms`,
        target: below(latest, 50, 'ms, the latest'),
      },
    ]
  },
}

function ask(
  { port, appUrl }: RunningGate,
  path: string,
  { cookie, csrfToken }: Person,
  method = 'GET',
) {
  const headers = { cookie, origin: appUrl, 'x-csrf-token': csrfToken }
  const length = method === 'POST' ? { 'content-length': String(bytes) } : {}
  return send({ port, path, method, headers: { ...headers, ...length } })
}

async function answerOf(request: ReturnType<typeof send>): Promise<IncomingMessage> {
  const [answer] = (await once(request, 'response')) as [IncomingMessage] // as Node's types have it
  if (answer.statusCode !== 200) throw new Error(`answered with ${answer.statusCode}`)
  return answer
}

async function upload(gate: RunningGate, person: Person): Promise<number> {
  const request = ask(gate, '/api/upload', person, 'POST')
  const answered = answerOf(request)
  for (let left = bytes; left > 0; left -= block.length) {
    const chunk = left < block.length ? block.subarray(0, left) : block
    if (!request.write(chunk)) await once(request, 'drain')
  }
  request.end()
  let text = ''
  for await (const chunk of await answered) text += String(chunk)
  return Number(text)
}

async function download(gate: RunningGate, person: Person): Promise<number> {
  const request = ask(gate, `/api/download?bytes=${bytes}`, person)
  request.end()
  const answer = await answerOf(request)
  let passed = 0
  answer.on('data', (chunk: Buffer) => {
    passed += chunk.length
  })
  await once(answer, 'end')
  return passed
}

async function receiveEvents(gate: RunningGate, person: Person): Promise<number[]> {
  const request = ask(gate, '/api/events', person)
  request.end()
  const answer = await answerOf(request)
  const delays: number[] = []
  for await (const chunk of answer) {
    const now = performance.timeOrigin + performance.now()
    for (const [, writtenAt] of String(chunk).matchAll(/data: ([\d.]+)\n/g))
      delays.push(now - Number(writtenAt))
    if (delays.length >= events) break
  }
  return delays
}
