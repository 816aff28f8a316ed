import { useCallback, useEffect, useRef, useState, type SubmitEvent } from 'react'
import { useSearchParams } from 'wouter'
import type { Tick } from '../../../../shared/example-api.ts'
import { useDraft } from '../../session/draft.ts'
import { useWebSocket, type ConnectionState } from '../../session/web-socket.ts'
import { Chart, type ChartHandle } from './chart.tsx'

const stateNames: Record<ConnectionState, string> = {
  connecting: 'Connecting…',
  open: 'Live',
  waiting: 'Disconnected, trying again…',
  ended: 'Ended with the session',
}
const rates = ['1', '10', '50']
const tellEveryMs = 500 // figures that change faster can't be read

interface Summary {
  count: number
  last: number | undefined
}

/** A WebSocket through the gate: its state, what arrives as a chart, and a word back. */
export function Feed() {
  const [search, setSearch] = useSearchParams()
  const rate = search.get('rate') ?? '1'
  const [echo, setEcho] = useState('')
  const [summary, setSummary] = useState<Summary>({ count: 0, last: undefined })
  const chart = useRef<ChartHandle>(null)
  const counted = useRef(0)

  // However fast they come: the chart draws itself once a frame, and React hears of it twice a second.
  const { state, send } = useWebSocket(`/api/ws?rate=${encodeURIComponent(rate)}`, (text) => {
    const tick = parseTick(text)
    if (!tick) return setEcho(text)
    counted.current += 1
    chart.current?.add(tick.value)
  })
  useEffect(() => {
    const timer = setInterval(() => {
      const next = { count: counted.current, last: chart.current?.last() }
      setSummary((before) => (before.count === next.count ? before : next))
    }, tellEveryMs)
    return () => clearInterval(timer)
  }, [])

  return (
    <section className="card" data-panel="feed" aria-labelledby="feed-title">
      <div className="card-head">
        <h2 id="feed-title">Live feed</h2>
        <span className="connection" data-state={state} role="status">
          {stateNames[state]}
        </span>
      </div>
      <div className="feed-figures">
        <p>
          <span className="numbers figure">
            {summary.last === undefined ? '–' : summary.last.toFixed(1)}
          </span>
          <span className="soft">last value</span>
        </p>
        <p>
          <span className="numbers figure">{summary.count.toLocaleString()}</span>
          <span className="soft">messages</span>
        </p>
        <fieldset className="choice">
          <legend className="soft">Messages a second</legend>
          {rates.map((name) => (
            <label key={name}>
              <input
                type="radio"
                name="rate"
                checked={rate === name}
                onChange={() => setSearch({ rate: name }, { replace: true })}
              />
              <span>{name}</span>
            </label>
          ))}
        </fieldset>
      </div>
      <Chart
        handle={chart}
        label={`The last values, now ${summary.last ?? 'none'}, from 0 to 100`}
      />
      <Say canSend={state === 'open'} onSend={send} />
      <p className="hint echo" aria-live="polite">
        {echo === '' ? 'The API says back what you send.' : `The API says: ${echo}`}
      </p>
    </section>
  )
}

function Say({ canSend, onSend }: { canSend: boolean; onSend: (text: string) => void }) {
  const [draft, setDraft] = useDraft('feed')
  const submit = useCallback(
    (event: SubmitEvent) => {
      event.preventDefault()
      if (!canSend || draft === '') return // Enter comes here whatever the button says
      onSend(draft)
      setDraft('')
    },
    [canSend, draft, onSend, setDraft],
  )
  return (
    <form className="say" onSubmit={submit}>
      <label>
        <span className="visually-hidden">Say something to the API</span>
        <input
          type="text"
          value={draft}
          autoComplete="off"
          maxLength={500}
          placeholder="Say something…"
          onChange={({ target }) => setDraft(target.value)}
        />
      </label>
      <button type="submit" className="button" disabled={!canSend || draft === ''}>
        Send
      </button>
    </form>
  )
}

function parseTick(text: string): Tick | undefined {
  try {
    const message: unknown = JSON.parse(text)
    if (typeof message !== 'object' || message === null) return undefined
    return 'type' in message && message.type === 'tick' ? (message as Tick) : undefined // as shared/ says
  } catch (error) {
    if (error instanceof SyntaxError) return undefined // an echo of what a person typed
    throw error
  }
}
