// The proof that our own page sent an unsafe request: a value bound to the session, which only a page
// of this origin can read from its cookie and put into a header (RFC 10017 §6.1.3.3).
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { csrfHeader } from '../../shared/contract.ts'
import { CsrfFailed } from '../errors.ts'
import type { LiveSession } from '../sessions/session.ts'
import { deriveServerKey } from '../tokens/vault.ts'

export interface Csrf {
  tokenFor: (session: Pick<LiveSession, 'id'>) => string
  /** Throws `CsrfFailed` for an unsafe method without the session's token, in the header or as given. */
  check: (request: IncomingMessage, session: Pick<LiveSession, 'id'>, fromForm?: string) => void
}

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS'])
const headerName = csrfHeader.toLowerCase()

/** `secrets` is newest first; a token of any of them holds, so that a rotation breaks no open page. */
export function createCsrf(secrets: readonly string[]): Csrf {
  const keys = secrets.map((secret) => deriveServerKey([secret], 'csrf'))
  const tokenBy = (key: Buffer, id: string) =>
    createHmac('sha256', key).update(id).digest('base64url')

  return {
    tokenFor: ({ id }) => tokenBy(keys[0] ?? Buffer.alloc(0), id),
    check: (request, session, fromForm) => {
      if (safeMethods.has(request.method ?? '')) return
      const sent = Buffer.from(String(request.headers[headerName] || fromForm || ''))
      const isOurs = keys.some((key) => {
        const expected = Buffer.from(tokenBy(key, session.id))
        return expected.length === sent.length && timingSafeEqual(expected, sent)
      })
      if (!isOurs) throw new CsrfFailed()
    },
  }
}
