import type { StreamEvent } from '../../../../shared/example-api.ts'
import { useEventStream } from '../../session/event-stream.ts'

/** An answer that comes word by word, with a way to stop it. */
export function StreamedAnswer() {
  const { state, start, stop } = useEventStream<StreamEvent>()
  const { events, kind } = state
  const count = events[0]?.count ?? 1
  const isRunning = kind === 'running'
  return (
    <section className="card" data-panel="answer" aria-labelledby="answer-title">
      <div className="card-head">
        <h2 id="answer-title">Streamed answer</h2>
        {/* One button, so that the focus stays on it */}
        <button
          type="button"
          className="button"
          onClick={() => (isRunning ? stop() : start('/api/stream?count=24'))}
        >
          {isRunning ? 'Stop' : kind === 'idle' ? 'Ask' : 'Ask again'}
        </button>
      </div>
      <progress max={count} value={events.length} aria-label="How much of the answer has come" />
      <p
        className={kind === 'idle' ? 'streamed soft' : 'streamed'}
        aria-live="polite"
        aria-busy={isRunning}
      >
        {kind === 'idle'
          ? 'Ask, and a sentence arrives word by word, as the API writes it.'
          : events.map(({ text }) => text).join(' ')}
      </p>
      <p className="hint" role="status">
        {kind === 'stopped' && 'Stopped. The API has stopped as well.'}
        {kind === 'done' && 'That was all of it.'}
        {kind === 'failed' && <span className="problem">The answer broke off. Ask again.</span>}
      </p>
    </section>
  )
}
