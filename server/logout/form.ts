// Reads the two small forms that the gate takes. No body parser: one that is mounted too widely would
// swallow what is meant for an upstream.
import type { IncomingMessage } from 'node:http'
import { BadRequest, TooLarge } from '../errors.ts'

const withinMs = 10_000
const closing = { headers: { Connection: 'close' } } // there is no end of the body to wait for
const largestBytes = 64 * 1024 // a logout token of a verbose provider has a few KB

/** Whether the body is a form as browsers and providers post it. */
export function isForm(request: IncomingMessage): boolean {
  return /^application\/x-www-form-urlencoded\b/i.test(request.headers['content-type'] ?? '')
}

/** The fields of a form body, which has 10 s to come. Throws `TooLarge`, and `BadRequest` for a field that is there twice. */
export async function readForm(request: IncomingMessage): Promise<Map<string, string>> {
  const fields = [...new URLSearchParams(await readBody(request))]
  const form = new Map(fields)
  if (form.size !== fields.length) throw new BadRequest()
  return form
}

function readBody(request: IncomingMessage): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const chunks: Buffer[] = []
  let bytes = 0
  const late = setTimeout(() => reject(new BadRequest(closing)), withinMs)
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > largestBytes) reject(new TooLarge(closing))
    else chunks.push(chunk)
  })
  request.once('end', () => resolve(Buffer.concat(chunks).toString('utf8')))
  request.once('error', (cause) => reject(new BadRequest({ cause }))) // who sent it has gone
  return promise.finally(() => clearTimeout(late))
}
