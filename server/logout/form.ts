// Reads the two small forms that the gate takes. No body parser: one that is mounted too widely would
// swallow what is meant for an upstream.
import type { IncomingMessage } from 'node:http'
import { BadRequest, TooLarge } from '../errors.ts'

const largestBytes = 64 * 1024 // a logout token of a verbose provider has a few KB

/** Whether the body is a form as browsers and providers post it. */
export function isForm(request: IncomingMessage): boolean {
  return /^application\/x-www-form-urlencoded\b/i.test(request.headers['content-type'] ?? '')
}

/** The fields of a form body. Throws `TooLarge`, and `BadRequest` for a field that is there twice. */
export async function readForm(request: IncomingMessage): Promise<Map<string, string>> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request) {
    const piece = Buffer.from(chunk)
    bytes += piece.length
    if (bytes > largestBytes) throw new TooLarge({ headers: { Connection: 'close' } })
    chunks.push(piece)
  }
  const fields = [...new URLSearchParams(Buffer.concat(chunks).toString('utf8'))]
  const form = new Map(fields)
  if (form.size !== fields.length) throw new BadRequest()
  return form
}
