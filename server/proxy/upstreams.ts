// Which upstream a request target belongs to, and the path that the upstream sees: one function for
// HTTP and upgrades, on the target as it came. What could mean another path to an upstream than it
// means here is refused, never repaired.
import { BadRequest } from '../errors.ts'
import type { Upstream } from '../upstream-table.ts'

export interface Route {
  upstream: Upstream
  /** Path and query for the upstream, its base path and the rewrite included. */
  target: string
}

export interface UpstreamTable {
  /** Whether the proxy answers this target: an upstream's path, any evil form of one, and what is no origin-form at all. Never throws. */
  serves: (target: string) => boolean
  /** `undefined` for a path of nobody. Throws `BadRequest` for a target that has two meanings. */
  match: (target: string) => Route | undefined
}

interface Row {
  upstream: Upstream
  prefix: string
  /** What stands for the prefix in the upstream's path. */
  replacement: string
}

export function createUpstreamTable(upstreams: readonly Upstream[]): UpstreamTable {
  const rows: Row[] = upstreams
    .map((upstream) => ({
      upstream,
      prefix: upstream.path,
      replacement:
        upstream.target.pathname.replace(/\/$/, '') + (upstream.rewrite ?? upstream.path),
    }))
    .sort((one, other) => other.prefix.length - one.prefix.length) // the longest match wins
  const deepest = Math.max(...rows.map(({ prefix }) => prefix.split('/').length - 1))

  const findRow = (target: string): Row | undefined => {
    for (const row of rows) {
      if (target.startsWith(row.prefix) && endsSegment(target, row.prefix.length)) return row
    }
    return undefined
  }

  /** Nobody's path as it is written, and yet an upstream's for somebody who reads it more freely. */
  const isDisguised = (target: string) => {
    if (!isOriginForm(target)) return true
    const path = pathOf(target)
    if (isPlain(path) && !path.includes('//')) return false
    return readingsOf(path, deepest).some((reading) => findRow(reading) !== undefined)
  }

  /** One row's path as it is written, and a more special row's for somebody who reads it more freely: whose rules would hold? */
  const isInDispute = (path: string, { prefix }: Row) =>
    rows.length > 1 &&
    (!isPlain(path) || path.includes('//') || path.includes(';')) &&
    readingsOf(path, deepest).some(
      (reading) => (findRow(reading)?.prefix.length ?? 0) > prefix.length,
    )

  return {
    serves: (target) => findRow(target) !== undefined || isDisguised(target),
    match: (target) => {
      const row = findRow(target)
      if (!row) {
        if (isDisguised(target)) throw new BadRequest()
        return undefined
      }
      const path = pathOf(target)
      if (!isPlain(path) && hasSecondMeaning(path)) throw new BadRequest()
      if (isInDispute(path, row)) throw new BadRequest()
      const outgoing = row.replacement + target.slice(row.prefix.length)
      // Stripping a prefix must not make a host of what follows: `/api//evil` is not `//evil`.
      if (outgoing.startsWith('//')) throw new BadRequest()
      return {
        upstream: row.upstream,
        target: outgoing.startsWith('/') ? outgoing : `/${outgoing}`,
      }
    },
  }
}

/** RFC 9112 §3.2.1. `//host/path` has the form, but every URL parser reads a host in it. */
const isOriginForm = (target: string) => target.startsWith('/') && !target.startsWith('//')

const slash = 0x2f
const questionMark = 0x3f
const numberSign = 0x23
const dot = 0x2e
const percent = 0x25
const backslash = 0x5c
const isControl = (code: number) => code <= 0x20 || code === 0x7f

function endsSegment(target: string, at: number): boolean {
  if (target.length === at) return true
  const next = target.charCodeAt(at)
  return next === slash || next === questionMark || next === numberSign
}

function pathOf(target: string): string {
  const query = target.indexOf('?')
  return query === -1 ? target : target.slice(0, query)
}

/** Whether no closer look is needed, as with nearly every path: one scan. */
function isPlain(path: string): boolean {
  for (let at = 0; at < path.length; at += 1) {
    const code = path.charCodeAt(at)
    if (code === percent || code === backslash || code === numberSign || isControl(code))
      return false
    if (code === dot && path.charCodeAt(at - 1) === slash) return false
  }
  return true
}

/** Whether it has a dot segment, a backslash or a control character, as it is or decoded once or twice (RFC 3986 §7.3). A fragment is no part of a request target. */
function hasSecondMeaning(path: string): boolean {
  if (path.includes('#')) return true
  const once = decode(path)
  return leadsElsewhere(path) || leadsElsewhere(once) || leadsElsewhere(decode(once))
}

function leadsElsewhere(path: string): boolean {
  for (let at = 0; at < path.length; at += 1) {
    const code = path.charCodeAt(at)
    if (code === backslash || (isControl(code) && code !== 0x20)) return true
  }
  // A servlet container takes the parameters off first: `..;x` is a dot segment there. Decoded, what was
  // part of a segment may end one.
  return /\/\.{1,2}(?=[/;?#]|$)/.test(path)
}

/** Every `%XX`, byte for byte: what is no escape stays, so that a second look finds what it makes. */
const decode = (path: string) =>
  path.includes('%')
    ? path.replace(/%([0-9a-f]{2})/gi, (_, digits: string) =>
        String.fromCharCode(Number.parseInt(digits, 16)),
      )
    : path

/**
 * Where the most forgiving reader would come by, and where it would end up. Of what is deeper than any
 * prefix nothing is said: to write all of it down for each segment would take quadratic time.
 */
function readingsOf(path: string, depth: number): string[] {
  const segments: string[] = []
  const readings: string[] = []
  const read = decode(decode(path))
    .replaceAll('\\', '/')
    .replace(/[\x00-\x20\x7f]/g, '')
  for (const segment of read.split('/')) {
    const [name = ''] = segment.split(';')
    if (name === '..') segments.pop()
    else if (name !== '.' && name !== '') segments.push(name)
    if (segments.length <= depth) readings.push(`/${segments.join('/')}`)
  }
  return readings
}

/** Plain fields: a `URL`'s are computed at each look, and the relay looks at each request. */
export function originOf({ protocol, host, hostname, port }: URL) {
  const isTls = protocol === 'https:'
  return {
    protocol,
    host,
    hostname: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? (isTls ? 443 : 80) : Number(port),
    pathname: '',
  }
}
