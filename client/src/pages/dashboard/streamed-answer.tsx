import type { StreamEvent } from '../../../../shared/example-api.ts'
import { useEventStream } from '../../session/event-stream.ts'

/** An answer that comes word by word, with a way to stop it. */
export function StreamedAnswer() {
  const { state, start, stop } = useEventStream<StreamEvent>()
  const { events, kind } = state
  const count = events[0]?.count ?? 1
  return (
    <section className="card" aria-labelledby="stream-title">
      <div className="card-head">
        <h2 id="stream-title">Streamed answer</h2>
        {kind === 'running' ? (
          <button type="button" className="quiet" onClick={stop}>
            Stop
          </button>
        ) : (
          <button type="button" className="quiet" onClick={() => start('/api/stream?count=24')}>
            {kind === 'idle' ? 'Ask' : 'Ask again'}
          </button>
        )}
      </div>
      <progress max={count} value={events.length} aria-label="How much of the answer has come" />
      <p className="streamed" aria-live="polite" aria-busy={kind === 'running'}>
        {kind === 'idle'
          ? 'Ask for a sentence, and watch it arrive word by word.'
          : events.map(({ text }) => text).join(' ')}
      </p>
      {kind === 'stopped' && <p className="hint">Stopped. The API has stopped as well.</p>}
      {kind === 'failed' && (
        <p className="failure" role="alert">
          The answer broke off.
        </p>
      )}
    </section>
  )
}
