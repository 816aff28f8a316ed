// What comes back from an upstream and is passed on as it comes: hints before the answer, then its body.
import type { IncomingMessage, InformationEvent, ServerResponse } from 'node:http'

/** Passes early hints on (RFC 8297), to whom they mean something. */
export function passInformation(
  { request, response }: { request: IncomingMessage; response: ServerResponse },
  information: InformationEvent,
): void {
  // RFC 9110 §15.2: not to an HTTP/1.0 client. 100 is each hop's own.
  if (information.statusCode !== 103 || request.httpVersionMinor === 0 || response.headersSent)
    return
  const { link } = information.headers
  try {
    if (link !== undefined) response.writeEarlyHints({ link })
  } catch (error) {
    // A hint that Node does not take for one is left out; the answer itself will say it.
    if (!(error instanceof TypeError)) throw error
  }
}

/** RFC 9112 §7.1.2: only chunks can be followed by trailers. */
export function canHaveTrailers(
  { request, response }: { request: IncomingMessage; response: ServerResponse },
  { headers, statusCode }: IncomingMessage,
): boolean {
  const hasBody = request.method !== 'HEAD' && statusCode !== 204 && statusCode !== 304
  const isChunked = headers['transfer-encoding'] !== undefined
  return hasBody && isChunked && response.useChunkedEncodingByDefault
}

/** Without chunks (HTTP/1.0) the end of a body is the end of its connection: one that is cut must not end in order. */
export function resetWhenCut(response: ServerResponse): void {
  const destroy = response.destroy.bind(response)
  response.destroy = (error) => {
    if (!response.writableEnded) response.socket?.resetAndDestroy() // what has all been said is not cut
    return destroy(error)
  }
}

/** Copies it with back-pressure; trailers follow, and the head does not wait for a first byte. */
export function passBody(answer: IncomingMessage, response: ServerResponse): void {
  const length = Number(answer.headers['content-length'] ?? Number.NaN)
  let hasBegun = false
  const resume = () => void answer.resume()
  answer.on('data', (chunk: Buffer) => {
    hasBegun = true
    if (chunk.length === length && length <= oneWriteBytes) {
      response.end(chunk.toString('latin1'), 'latin1')
    } else if (!response.write(chunk)) {
      answer.pause()
      response.once('drain', resume)
    }
  })
  answer.on('end', () => {
    hasBegun = true
    if (response.writableEnded) return
    if (answer.rawTrailers.length > 0) response.addTrailers(pairsOf(answer.rawTrailers))
    response.end()
  })
  // The browser hears that an event stream is open before its first event.
  setImmediate(() => {
    if (!hasBegun && !response.destroyed) response.flushHeaders()
  })
}

/** A small body that came whole goes out as text after the head, byte for byte: one buffer for the socket instead of two, measured 4 % of all our time. */
const oneWriteBytes = 16_384

function pairsOf(raw: readonly string[]): [string, string][] {
  const pairs: [string, string][] = []
  for (let at = 0; at < raw.length; at += 2) pairs.push([raw[at] ?? '', raw[at + 1] ?? ''])
  return pairs
}
