// The upstream table as an operator writes it: every row and key checked at start, so that the proxy
// can trust it. Matching a request against it is proxy/upstreams.ts.
import { paths } from '../shared/contract.ts'
import { InvalidValue, parseHttpUrl, type EnvironmentReader } from './environment.ts'

/** One row of the upstream table (contract section 5). */
export interface Upstream {
  /** The prefix that it serves, without a last slash. */
  path: string
  target: URL
  /** What replaces `path` at the start of a request's path; `undefined` leaves it. */
  rewrite: string | undefined
  websocket: boolean
  auth: 'required' | 'optional' | 'none'
  /** Whether a request with its own `Authorization: Bearer` and no session cookie is passed as it is. */
  bearer: boolean
  /** Until the upstream's first byte, a token refresh included. */
  timeoutMs: number
  /** What is allowed; `undefined` allows every method but CONNECT and TRACE. */
  methods: readonly string[] | undefined
}

const keys = ['path', 'target', 'rewrite', 'websocket', 'auth', 'bearer', 'timeoutMs', 'methods']
const defaultTimeoutMs = 25_000 // Heroku's router gives up at 30 s
const pathExpression = /^(\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$/

/** `UPSTREAMS`, or the one row that `API_URL` stands for. */
export function readUpstreams({ read, readOptional, isSet, fault }: EnvironmentReader): Upstream[] {
  const example = `'[{"path":"/api","target":"https://api.example"}]'`
  if (isSet('UPSTREAMS')) {
    if (isSet('API_URL')) fault('API_URL', 'must not be set beside UPSTREAMS', '')
    return readOptional('UPSTREAMS', example, parseUpstreams) ?? []
  }
  const target = read('API_URL', 'https://api.example', parseHttpUrl)
  return target ? parseUpstreams(JSON.stringify([{ path: '/api', target: target.href }])) : []
}

function parseUpstreams(text: string): Upstream[] {
  let rows: unknown
  try {
    rows = JSON.parse(text)
  } catch {
    throw new InvalidValue('must be JSON')
  }
  if (!Array.isArray(rows) || rows.length === 0)
    throw new InvalidValue('must be a JSON array with at least one upstream')
  const upstreams = rows.map(parseUpstream)
  const twice = upstreams.find(
    ({ path }, at) => upstreams.findIndex((other) => other.path === path) !== at,
  )
  if (twice) throw new InvalidValue(`names the path ${twice.path} twice`)
  return upstreams
}

function parseUpstream(row: unknown): Upstream {
  if (typeof row !== 'object' || row === null) throw new InvalidValue('must hold objects')
  const fields = new Map<string, unknown>(Object.entries(row))
  const unknown = [...fields.keys()].find((key) => !keys.includes(key))
  if (unknown)
    throw new InvalidValue(`has an unknown key ${unknown} (known are ${keys.join(', ')})`)

  const field = <Value>(
    key: string,
    fallback: Value,
    is: (value: unknown) => value is Value,
    what: string,
  ): Value => {
    const value = fields.get(key)
    if (value === undefined) return fallback
    if (!is(value)) throw new InvalidValue(`has a ${key} that is not ${what}`)
    return value
  }
  const path = field('path', '', isText, 'text')
  if (!pathExpression.test(path))
    throw new InvalidValue('has a path that is not like /api, without a last slash')
  const own = [paths.auth, paths.live, paths.ready, paths.metrics].find(
    (taken) => path === taken || path.startsWith(`${taken}/`),
  )
  if (own) throw new InvalidValue(`has the path ${path}, but ${own} is the gate's own`)

  const target = parseHttpUrl(field('target', '', isText, 'text'))
  if (target.search || target.hash)
    throw new InvalidValue(`has a target with a query or a fragment`)
  const rewrite = field('rewrite', undefined, isText, 'text')
  if (rewrite && !pathExpression.test(rewrite))
    throw new InvalidValue('has a rewrite that is neither "" nor like /ws')
  const timeoutMs = field(
    'timeoutMs',
    defaultTimeoutMs,
    isPositiveInteger,
    'a whole number of milliseconds',
  )
  const methods = field<readonly string[] | undefined>(
    'methods',
    undefined,
    isMethods,
    'a list of methods like ["GET","POST"]',
  )
  const auth = field('auth', 'required', isAuth, 'required, optional or none')
  const websocket = field('websocket', true, isBoolean, 'true or false')
  const bearer = field('bearer', false, isBoolean, 'true or false')
  return { path, target, rewrite, websocket, auth, bearer, timeoutMs, methods }
}

const isText = (value: unknown): value is string => typeof value === 'string'
const isBoolean = (value: unknown): value is boolean => typeof value === 'boolean'
const isAuth = (value: unknown): value is Upstream['auth'] =>
  value === 'required' || value === 'optional' || value === 'none'
const isPositiveInteger = (value: unknown): value is number =>
  Number.isInteger(value) && Number(value) > 0 && Number(value) <= 600_000
const isMethods = (value: unknown): value is string[] =>
  Array.isArray(value) &&
  value.length > 0 &&
  value.every((method) => isText(method) && /^(?!CONNECT$|TRACE$)[A-Z]+$/.test(method))
