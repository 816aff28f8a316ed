// The readable cookie that proves an unsafe request to be ours. It comes and goes with the session, so it
// also tells, without asking the gate, whether there may be one. Worthless without the session's cookie.
import { csrfCookieNames } from '../../../shared/contract.ts'

const names: readonly string[] = Object.values(csrfCookieNames)

function findCookie(): { name: string; value: string } | undefined {
  for (const pair of document.cookie.split('; ')) {
    const at = pair.indexOf('=')
    const name = pair.slice(0, at)
    if (names.includes(name)) return { name, value: pair.slice(at + 1) }
  }
  return undefined
}

export function findCsrfToken(): string | undefined {
  return findCookie()?.value
}

/** Removes the cookie of a session that is over, and never that of one which came after it. */
export function forgetCsrfToken(token: string): void {
  const found = findCookie()
  if (found?.value !== token) return
  // A `__Host-` cookie can be written, also to remove it, only as Secure and for the whole origin.
  const secure = found.name === csrfCookieNames.https ? '; Secure' : ''
  document.cookie = `${found.name}=; Path=/; Max-Age=0; SameSite=Strict${secure}`
}
