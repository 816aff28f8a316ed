import { useEffect, useRef, useState } from 'react'
import type { Tick } from '../../../../shared/example-api.ts'
import { useDraft } from '../../draft.ts'
import { useWebSocket, type ConnectionState } from '../../session/web-socket.ts'

const most = 60
const names: Record<ConnectionState, string> = {
  connecting: 'Connecting…',
  open: 'Live',
  waiting: 'Disconnected, trying again…',
  ended: 'Ended with the session',
}

/** A WebSocket through the gate: its state, a small chart of what arrives, and a word back. */
export function Feed() {
  const [values, setValues] = useState<number[]>([])
  const [echo, setEcho] = useState('')
  const [draft, setDraft] = useDraft('feed')
  const arrived = useRef<number[]>([])
  const frame = useRef(0)

  // However fast they come, the page is drawn once a frame.
  const draw = () => {
    frame.current = 0
    const fresh = arrived.current
    arrived.current = []
    setValues((before) => [...before, ...fresh].slice(-most))
  }
  useEffect(() => () => cancelAnimationFrame(frame.current), [])

  const rate = new URLSearchParams(location.search).get('rate')
  const { state, send } = useWebSocket(
    rate === null ? '/api/ws' : `/api/ws?rate=${encodeURIComponent(rate)}`,
    (text) => {
      const tick = parseTick(text)
      if (!tick) return setEcho(text)
      arrived.current.push(tick.value)
      frame.current ||= requestAnimationFrame(draw)
    },
  )

  return (
    <section className="card" aria-labelledby="feed-title">
      <div className="card-head">
        <h2 id="feed-title">Live feed</h2>
        <span className={`state ${state}`} role="status">
          {names[state]}
        </span>
      </div>
      <Chart values={values} />
      <form
        className="row"
        onSubmit={(event) => {
          event.preventDefault()
          send(draft)
          setDraft('')
        }}
      >
        <label className="grow">
          <span className="visually-hidden">Say something to the API</span>
          <input
            value={draft}
            onChange={({ target }) => setDraft(target.value)}
            placeholder="Say something…"
          />
        </label>
        <button type="submit" disabled={state !== 'open' || draft === ''}>
          Send
        </button>
      </form>
      <p className="echo" aria-live="polite">
        {echo === '' ? 'The API says back what you send.' : `The API says: ${echo}`}
      </p>
    </section>
  )
}

function Chart({ values }: { values: number[] }) {
  const points = values
    .map((value, at) => `${(at / (most - 1)) * 300},${80 - (value / 100) * 76}`)
    .join(' ')
  const last = values.at(-1)
  return (
    <figure className="chart">
      <svg
        viewBox="0 0 300 84"
        role="img"
        aria-label={last === undefined ? 'No values yet' : `The last value is ${last}`}
        preserveAspectRatio="none"
      >
        <polyline points={points} />
      </svg>
      <figcaption className="numbers">{last === undefined ? '–' : last.toFixed(1)}</figcaption>
    </figure>
  )
}

function parseTick(text: string): Tick | undefined {
  try {
    const message: unknown = JSON.parse(text)
    const isTick =
      typeof message === 'object' &&
      message !== null &&
      'type' in message &&
      message.type === 'tick'
    return isTick ? (message as Tick) : undefined // the API's own kind of message, as shared/ says
  } catch (error) {
    if (error instanceof SyntaxError) return undefined // an echo of what a person typed
    throw error
  }
}
