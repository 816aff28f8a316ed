// Where a login leads in the end: a path on this origin, or a page of a listed frontend; for everything
// else `/`. A login must not lend its good name to another site (RFC 9700 §4.11).

declare const checked: unique symbol

/** A place on one of our own origins; only `parseReturnTo` makes one. */
export type ReturnTo = string & { readonly [checked]: true }

const longest = 1000 // it travels in the login cookie
const start = '/' as ReturnTo // our own front page is always ours

/** Never throws; what is not surely ours is `/`. */
export function parseReturnTo(
  value: string | null,
  appUrl: URL,
  frontendOrigins: readonly string[],
): ReturnTo {
  if (value === null || value.length > longest || !isPlain(value)) return start
  const url = URL.parse(value, appUrl.href)
  if (!url) return start
  if (value.startsWith('/')) {
    // `/..//evil` has become `//evil` by now
    const path = url.pathname + url.search + url.hash
    return url.origin === appUrl.origin && isPlain(path) ? (path as ReturnTo) : start
  }
  const isListed = frontendOrigins.includes(url.origin) && value.startsWith(url.origin)
  return isListed ? (url.href as ReturnTo) : start
}

/** Whether browsers and servers agree on what it means, decoded once or twice as well: no second host, no control characters. */
function isPlain(value: string): boolean {
  for (let text = value, times = 0; times < 3; times += 1) {
    // An encoded space is an ordinary one; a naked one is trimmed by some, and then what follows counts.
    const odd = times === 0 ? /[\x00-\x20\x7f\\]/ : /[\x00-\x1f\x7f\\]/
    if (odd.test(text) || text.startsWith('//')) return false
    try {
      const decoded = decodeURIComponent(text.split(/[?#]/)[0] ?? '')
      if (decoded === text) return true
      text = decoded
    } catch (error) {
      if (error instanceof URIError) return false
      throw error
    }
  }
  return true
}
