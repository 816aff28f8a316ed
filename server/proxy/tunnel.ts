// An open WebSocket: two sockets that live and die together, and the few frames that are ours.
//
//   open ──end()──▶ ending ──our close frame──▶ closed
//    │                 └── no boundary in time ──▶ closed
//    └── either side goes ──▶ closed
import type { Socket } from 'node:net'
import { closeFrame, createFrameTracker, pingFrame } from './frames.ts'

export interface Tunnel {
  /** Says why in a close frame, as soon as the frame under way has ended; then both sides close. */
  end: (code: number, reason: string) => void
  /** To be called each second: pings a browser that was sent nothing, and lets go of one that does not answer. */
  tick: () => void
  /** Why it has ended. */
  reason: () => string
}

const pingAfterTicks = 25 // Heroku's router cuts what was silent for 55 s
const boundaryMs = 1000 // a frame that has not ended by then is cut
const partingMs = 3000 // for what is still on its way, and the other side's answer

/** Takes both sockets over. The library pipes what comes from the browser; the other way is ours, to know where frames end. */
export function openTunnel(browser: Socket, upstream: Socket): Tunnel {
  const frames = createFrameTracker()
  let state: 'open' | 'ending' | 'closed' = 'open'
  let timer: NodeJS.Timeout | undefined
  let farewell: Buffer | undefined
  let reason = ''
  let quietTicks = 0 // since something was last sent to the browser
  let readAtPing = -1 // how many bytes had come from the browser then

  /** When the browser's end is the first to be seen: it may only answer the upstream's close frame. */
  const whoClosed = () => (frames.isClosing() ? 'upstream' : 'browser')

  const part = () => {
    clearTimeout(timer)
    timer = partFrom(browser)
  }

  const sayFarewell = () => {
    state = 'closed'
    if (farewell && !frames.isClosing()) browser.end(farewell)
    else browser.end()
    upstream.destroy()
    part()
  }

  const upstreamGone = () => {
    reason ||= 'upstream'
    browser.end()
    part()
  }
  upstream.once('end', upstreamGone)
  upstream.once('close', upstreamGone)
  browser.once('end', () => {
    reason ||= whoClosed()
    part()
  })
  browser.once('close', () => {
    state = 'closed'
    clearTimeout(timer)
    upstream.destroy() // a socket that was destroyed does not end its pipes
  })

  upstream.unpipe(browser)
  upstream.on('data', (chunk: Buffer) => {
    if (state === 'closed') return // what it had buffered still comes after its end
    quietTicks = 0
    let at = 0
    while (at < chunk.length) {
      at = frames.advance(chunk, at)
      if (state === 'ending' && frames.atBoundary()) {
        browser.write(chunk.subarray(0, at))
        return sayFarewell()
      }
    }
    if (!browser.write(chunk) && state === 'open') upstream.pause()
  })
  browser.on('drain', () => upstream.resume())
  upstream.resume()

  return {
    end: (code, why) => {
      reason ||= why
      if (state !== 'open') return
      state = 'ending'
      farewell = closeFrame(code, why)
      // Nothing that a session's owner says after its end reaches the upstream.
      browser.unpipe(upstream)
      browser.resume()
      if (frames.atBoundary()) return sayFarewell()
      timer = setTimeout(() => browser.destroy(), boundaryMs)
      upstream.resume()
    },
    tick: () => {
      if (state !== 'open') return
      quietTicks += 1
      // A browser that reads slowly is not silent, nor is one whose upstream does: TCP looks after them.
      if (quietTicks < pingAfterTicks) return
      if (browser.writableLength > 0 || upstream.writableNeedDrain) return
      if (readAtPing === browser.bytesRead) {
        reason ||= 'silent'
        browser.destroy()
      } else if (frames.atBoundary() && !frames.isClosing()) {
        browser.write(pingFrame)
        quietTicks = 0
        readAtPing = browser.bytesRead
      }
    },
    reason: () => reason || whoClosed(),
  }
}

/** Gives a browser to which all is said a moment to close, and no more: a peer that is gone never does. */
export function partFrom(browser: Socket): NodeJS.Timeout | undefined {
  if (browser.destroyed) return undefined
  browser.resume() // unread bytes would make a reset of our close, and what we said might be lost
  const timer = setTimeout(() => browser.destroy(), partingMs)
  browser.once('close', () => clearTimeout(timer))
  return timer
}
