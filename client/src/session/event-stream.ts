// A streamed answer that can be stopped: server-sent events over `fetch`, because an EventSource would
// ask again for an answer that has come to its end.
import { useEffect, useRef, useState } from 'react'
import { SessionEndedError } from './api.ts'
import { useSession } from './session.tsx'

export interface StreamState<Event> {
  kind: 'idle' | 'running' | 'done' | 'stopped' | 'failed'
  /** What has come so far. It stays when the stream breaks. */
  events: Event[]
}

/** `Event` is what `shared/` says of the path that is given to `start`. */
export function useEventStream<Event>(): {
  state: StreamState<Event>
  start: (path: string) => void
  stop: () => void
} {
  const { api } = useSession()
  const [state, setState] = useState<StreamState<Event>>({ kind: 'idle', events: [] })
  const running = useRef<AbortController>(undefined)
  useEffect(() => () => running.current?.abort(), [])

  const run = async (path: string, signal: AbortSignal) => {
    const become = (kind: StreamState<Event>['kind'], more: Event[] = []) => {
      if (running.current?.signal === signal)
        setState(({ events }) => ({ kind, events: [...events, ...more] }))
    }
    try {
      const response = await api.open(path, { signal, headers: { Accept: 'text/event-stream' } })
      for await (const event of readEvents<Event>(response)) become('running', [event])
      become('done')
    } catch (error) {
      if (signal.aborted) become('stopped')
      else if (isBroken(error)) become('failed')
      else throw error
    }
  }

  return {
    state,
    start: (path) => {
      running.current?.abort()
      running.current = new AbortController()
      setState({ kind: 'running', events: [] })
      void run(path, running.current.signal)
    },
    stop: () => running.current?.abort(),
  }
}

const isBroken = (error: unknown) =>
  error instanceof TypeError || // cut on the way
  error instanceof SessionEndedError ||
  (error instanceof Error && ['ApiError', 'UnreachableError'].includes(error.name))

async function* readEvents<Event>(response: Response): AsyncGenerator<Event> {
  if (!response.body) return
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    const blocks = (rest + value.replaceAll('\r', '')).split('\n\n')
    rest = blocks.pop() ?? ''
    for (const block of blocks) {
      const data = block
        .split('\n')
        .flatMap((line) => (line.startsWith('data:') ? [line.slice(5).trimStart()] : []))
      if (data.length > 0) yield JSON.parse(data.join('\n')) as Event // the caller names what the API sends
    }
  }
}
