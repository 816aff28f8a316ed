// Where a WebSocket frame ends in a stream of bytes (RFC 6455 §5.2), so that we can say something of
// our own between two of them. Reads lengths alone: no payload is looked at, copied or kept.

export interface FrameTracker {
  /** Reads on from `from` to the end of the current frame, or of the bytes. Gives where it stopped. */
  advance: (bytes: Uint8Array, from: number) => number
  /** Whether the last byte that was read ended a frame (or none was read yet). */
  atBoundary: () => boolean
  /** Whether a close frame has begun: nothing may follow it (RFC 6455 §5.5.1). */
  isClosing: () => boolean
}

const closeOpcode = 0x8

export function createFrameTracker(): FrameTracker {
  // A header is 2 bytes, then 0, 2 or 8 of length, then 4 of a mask when there is one.
  let headerRead = 0
  let headerLength = 2
  let lengthEnd = 2
  let payloadLeft = 0
  let closing = false

  return {
    advance: (bytes, from) => {
      let at = from
      for (; headerRead < headerLength; at += 1, headerRead += 1) {
        const byte = bytes[at]
        if (byte === undefined) return at
        if (headerRead === 0) {
          closing ||= (byte & 0x0f) === closeOpcode
        } else if (headerRead === 1) {
          const length = byte & 0x7f
          lengthEnd = length === 127 ? 10 : length === 126 ? 4 : 2
          payloadLeft = lengthEnd === 2 ? length : 0
          headerLength = lengthEnd + (byte & 0x80 ? 4 : 0)
        } else if (headerRead < lengthEnd) {
          payloadLeft = payloadLeft * 256 + byte // inexact above 2^53 bytes, which never arrive
        }
      }
      const step = Math.min(payloadLeft, bytes.length - at)
      payloadLeft -= step
      if (payloadLeft === 0) {
        headerRead = 0
        headerLength = 2
      }
      return at + step
    },
    atBoundary: () => headerRead === 0,
    isClosing: () => closing,
  }
}

/** A close frame as a server sends it: unmasked. `reason` is ASCII, and at most 123 characters (RFC 6455 §5.5). */
export function closeFrame(code: number, reason: string): Buffer {
  const frame = Buffer.alloc(4 + reason.length)
  frame[0] = 0x80 | closeOpcode
  frame[1] = 2 + reason.length
  frame.writeUInt16BE(code, 2)
  frame.write(reason, 4, 'latin1')
  return frame
}

/** A ping without a payload. */
export const pingFrame = Buffer.of(0x89, 0x00)
