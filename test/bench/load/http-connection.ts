// One keep-alive connection that sends prepared requests and counts what comes back, on a bare socket:
// the generator shares two cores with what it measures, so it must cost less than any proxy.
import { once } from 'node:events'
import { connect } from 'node:net'

export interface HttpConnection {
  /** Sends one request; the next may follow once `done` was called (pipelining 1). 0: the connection broke. */
  send: (request: Buffer, done: (status: number) => void) => void
  close: () => void
}

const headEnd = Buffer.from('\r\n\r\n')

/** Opens it. Every answer must carry `Content-Length`: what does not is a fault of the bench. */
export async function openHttpConnection(port: number): Promise<HttpConnection> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  let pending: Buffer | undefined
  let answered: ((status: number) => void) | undefined

  const settle = (status: number) => {
    const done = answered
    answered = undefined
    done?.(status)
  }
  socket.on('data', (chunk: Buffer) => {
    const bytes = pending ? Buffer.concat([pending, chunk]) : chunk
    const end = bytes.indexOf(headEnd)
    const head = end === -1 ? undefined : bytes.toString('latin1', 0, end)
    const length = head && /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
    if (head && length === undefined) throw new Error(`an answer without Content-Length: ${head}`)
    if (!head || bytes.length < end + headEnd.length + Number(length)) {
      pending = bytes
      return
    }
    pending = undefined
    settle(Number(head.slice(9, 12)))
  })
  socket.on('error', () => undefined) // `close` follows, and counts as a failed request
  socket.on('close', () => settle(0))

  return {
    send: (request, done) => {
      if (socket.destroyed) return done(0)
      answered = done
      socket.write(request)
      return undefined
    },
    close: () => void socket.destroy(),
  }
}

/** A GET as bytes. `headers` are raw lines without the last line break. */
export function prepareGet(port: number, path: string, headers: readonly string[]): Buffer {
  const lines = [`GET ${path} HTTP/1.1`, `Host: localhost:${port}`, ...headers, '', '']
  return Buffer.from(lines.join('\r\n'), 'latin1')
}
