// A streamed answer that can be stopped: server-sent events over `fetch`, because an EventSource would
// ask for an answer again that has come to its end.
import { useEffect, useRef, useState } from 'react'
import { useSession } from './session.tsx'

export interface StreamState<Event> {
  kind: 'idle' | 'running' | 'done' | 'stopped' | 'failed'
  events: Event[]
}

export function useEventStream<Event>(): {
  state: StreamState<Event>
  start: (path: string) => void
  stop: () => void
} {
  const { check } = useSession()
  const [state, setState] = useState<StreamState<Event>>({ kind: 'idle', events: [] })
  const running = useRef<AbortController>(undefined)
  useEffect(() => () => running.current?.abort(), [])

  const run = async (path: string, signal: AbortSignal) => {
    try {
      const response = await fetch(path, { signal, headers: { Accept: 'text/event-stream' } })
      if (response.status === 401) void check()
      if (!response.ok || !response.body) throw new TypeError(`the answer was ${response.status}`)
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
      let rest = ''
      for (;;) {
        const { done, value } = await reader.read()
        if (done) break
        const parts = (rest + value).split('\n\n')
        rest = parts.pop() ?? ''
        const events = parts.flatMap((part) => parseEvent<Event>(part))
        setState((before) => ({ kind: 'running', events: [...before.events, ...events] }))
      }
      setState(({ events }) => ({ kind: 'done', events }))
    } catch {
      // Stopped by the person, or broken on the way; what has come stays.
      setState(({ events }) => ({ kind: signal.aborted ? 'stopped' : 'failed', events }))
    }
  }

  return {
    state,
    start: (path) => {
      running.current?.abort()
      const controller = new AbortController()
      running.current = controller
      setState({ kind: 'running', events: [] })
      void run(path, controller.signal)
    },
    stop: () => running.current?.abort(),
  }
}

function parseEvent<Event>(part: string): Event[] {
  const data = part
    .split('\n')
    .flatMap((line) => (line.startsWith('data: ') ? [line.slice(6)] : []))
  return data.length > 0 ? [JSON.parse(data.join('\n')) as Event] : [] // the caller names what the API sends
}
