// The tabs of one browser in step: what one learns of the session the others hear, and one of them holds
// the event stream for all. Only whoever learned something first sends it on; nobody repeats what it heard.
import { paths, sessionEvents, type EndedEvent, type EndReason } from '../../../shared/contract.ts'

export type TabMessage =
  | { kind: 'began' }
  | { kind: 'stayed' }
  | { kind: 'ended'; reason: EndReason }

export interface Tabs {
  tell: (message: TabMessage) => void
  close: () => void
}

const channelName = 'gatehouse-session'
const lockName = 'gatehouse-events'
const firstWaitMs = 1000
const longestWaitMs = 30_000

export function openTabs(onMessage: (message: TabMessage) => void): Tabs {
  const channel = new BroadcastChannel(channelName)
  channel.addEventListener('message', ({ data }: MessageEvent<TabMessage>) => onMessage(data))
  return { tell: (message) => channel.postMessage(message), close: () => channel.close() }
}

/**
 * Listens for the end of the session, in this tab as soon as it is the one that holds the lock. `onGap` is
 * called when an end may have been missed meanwhile. Gives the way to stop.
 */
export function followSession({
  isThere,
  onEnded,
  onGap,
}: {
  /** Whether the browser still has this session, as far as its cookies tell. */
  isThere: () => boolean
  onEnded: (reason: EndReason) => void
  onGap: () => void
}): () => void {
  const stop = new AbortController()
  const { signal } = stop

  const holdStream = () =>
    new Promise<void>((resolve) => {
      let events: EventSource | undefined
      let timer: ReturnType<typeof setTimeout> | undefined
      let failures = 0
      let isFirst = true
      const connect = () => {
        const stream = new EventSource(paths.events)
        events = stream
        stream.addEventListener('open', () => {
          failures = 0
          if (!isFirst) onGap()
          isFirst = false
        })
        stream.addEventListener(sessionEvents.ended, ({ data }: MessageEvent<string>) => {
          stream.close()
          onEnded((JSON.parse(data) as EndedEvent).reason) // as shared/ says
        })
        // By itself it would come back at a fixed pace, and after an answer that is no stream never.
        stream.addEventListener('error', () => {
          stream.close()
          if (signal.aborted) return
          if (failures === 0) onGap()
          failures += 1
          timer = setTimeout(connect, jitter(failures))
        })
      }
      // Whoever held the lock has just heard of the end, and its word of it is on the way to this tab.
      if (isThere()) connect()
      else timer = setTimeout(connect, firstWaitMs)
      signal.addEventListener('abort', () => {
        clearTimeout(timer)
        events?.close()
        resolve()
      })
    })

  // Without TLS, and not on localhost, a browser has no locks: then each tab has its own stream.
  const held =
    'locks' in navigator ? navigator.locks.request(lockName, { signal }, holdStream) : holdStream()
  held.catch((error: unknown) => {
    if (!signal.aborted) throw error
  })
  return () => stop.abort()
}

/** Full jitter: after a deploy, a thousand pages must not knock at the same moment. */
export function jitter(failures: number): number {
  return Math.random() * Math.min(firstWaitMs * 2 ** failures, longestWaitMs)
}
