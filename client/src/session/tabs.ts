// The tabs of one browser in step: what one learns of the session the others hear, and one of them
// holds the event stream for all. Messages are only ever sent on by whoever learned something first.
import { paths, sessionEvents, type EndedEvent, type EndReason } from '../../../shared/contract.ts'

export type TabMessage = { kind: 'loggedIn' } | { kind: 'ended'; reason: EndReason }

export interface Tabs {
  tell: (message: TabMessage) => void
  close: () => void
}

const channelName = 'gatehouse-session'
const lockName = 'gatehouse-events'

export function openTabs(onMessage: (message: TabMessage) => void): Tabs {
  const channel = new BroadcastChannel(channelName)
  channel.onmessage = ({ data }: MessageEvent<TabMessage>) => onMessage(data)
  return { tell: (message) => channel.postMessage(message), close: () => channel.close() }
}

/** Listens for the end of the session, in this tab if it is the one that holds the lock. Gives the way to stop. */
export function followSession(
  onEnded: (reason: EndReason) => void,
  onLost: () => void,
): () => void {
  const stop = new AbortController()
  const hold = () =>
    new Promise<void>((resolve) => {
      const events = new EventSource(paths.events)
      events.addEventListener(sessionEvents.ended, ({ data }: MessageEvent<string>) => {
        events.close()
        onEnded((JSON.parse(data) as EndedEvent).reason) // as shared/ says
      })
      // Closed for good: refused with 401, so the session may be over. Otherwise it connects again by itself.
      events.addEventListener('error', () => {
        if (events.readyState === EventSource.CLOSED && !stop.signal.aborted) onLost()
      })
      stop.signal.addEventListener('abort', () => {
        events.close()
        resolve()
      })
    })
  navigator.locks.request(lockName, { signal: stop.signal }, hold).catch((error: unknown) => {
    if (!stop.signal.aborted) throw error
  })
  return () => stop.abort()
}
