// The environment, parsed once at the edge: values in the shape in which they are used, or every
// fault at once. Secrets are an object of their own, so that the rest may be logged whole.
import { randomBytes } from 'node:crypto'
import proxyAddr from 'proxy-addr'
import { readClientCredentials, type ClientCredentials } from './client-credentials.ts'
import {
  readDatabaseSettings,
  readDatabaseUrl,
  type DatabaseSettings,
} from './database-settings.ts'
import {
  createEnvironmentReader,
  InvalidValue,
  isLoopback,
  parseChoice,
  parseHttpUrl,
  parseList,
  parseOrigin,
  parseText,
  type Environment,
} from './environment.ts'
import { readUpstreams, type Upstream } from './upstream-table.ts'

export interface SessionLifetime {
  idleTimeoutSeconds: number
  absoluteTimeoutSeconds: number
}

export interface Configuration {
  production: boolean
  port: number
  /** The public origin; it alone decides redirect URIs, cookie names and `Secure`. */
  appUrl: URL
  /** Other origins from which the client may be served. */
  frontendOrigins: readonly string[]
  trustedProxies: number | readonly string[]
  database: DatabaseSettings
  provider: {
    issuer: URL
    clientId: string
    scopes: string
    resource: string | undefined
    audience: string | undefined
    sendLogoutHint: boolean
    requireLogoutTokenType: boolean
  }
  upstreams: readonly Upstream[]
  session: SessionLifetime & { sameSite: 'strict' | 'lax' | 'none' }
  refreshBeforeSeconds: number
  webSocketsPerSession: number
  logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent'
  processes: number
}

export interface Secrets {
  databaseUrl: string
  /** Newest first: the first signs and seals, all of them verify and open. */
  session: readonly string[]
  client: ClientCredentials
  metricsToken: string | undefined
}

/** Parses the environment; throws `ConfigurationFaults` with every faulty variable. Pure but for a random development secret. */
export function readConfiguration(environment: Environment): {
  configuration: Configuration
  secrets: Secrets
} {
  const reader = createEnvironmentReader(environment)
  const { read, readOptional, readInteger, fault } = reader
  const production = environment['NODE_ENV'] === 'production'

  const port = readInteger('PORT', 3000, 'the port', 0, 65_535)
  const appUrl = read(
    'APP_URL',
    'https://app.example',
    (text) => new URL(parseOrigin(text)),
    production ? undefined : new URL(`http://localhost:${port}`),
  )
  const https = appUrl?.protocol === 'https:'
  if (production && appUrl && !https && !isLoopback(appUrl)) {
    fault('APP_URL', 'must be https in production', 'https://app.example')
  }

  const sameSite = read('SESSION_SAMESITE', 'lax', parseChoice('strict', 'lax', 'none'), 'strict')
  if (sameSite === 'none' && appUrl && !https) {
    fault('SESSION_SAMESITE', 'can be none only when APP_URL is https', 'lax')
  }
  const idleTimeoutSeconds = readInteger('SESSION_IDLE_TIMEOUT', 3600, 'seconds', 1, 31_536_000)
  const absoluteTimeoutSeconds = readInteger(
    'SESSION_ABSOLUTE_TIMEOUT',
    86_400,
    'seconds',
    1,
    34_560_000,
  )
  if (idleTimeoutSeconds > absoluteTimeoutSeconds) {
    fault('SESSION_IDLE_TIMEOUT', 'must not be longer than SESSION_ABSOLUTE_TIMEOUT', '3600')
  }

  const configuration: Configuration = {
    production,
    port,
    appUrl,
    frontendOrigins: read(
      'FRONTEND_ORIGINS',
      'https://www.example,https://preview.example',
      parseList(parseOrigin),
      [],
    ),
    trustedProxies: read('TRUST_PROXY', '1', parseTrustedProxies, https ? 1 : 0),
    database: readDatabaseSettings(reader, environment),
    provider: {
      issuer: read('OIDC_ISSUER', 'https://login.example', parseIssuer),
      clientId: read('OIDC_CLIENT_ID', 'gatehouse', parseText),
      scopes: read(
        'OIDC_SCOPES',
        '"openid profile email offline_access"',
        parseScopes,
        'openid profile email offline_access',
      ),
      resource: readOptional('OIDC_RESOURCE', 'https://api.example', parseText),
      audience: readOptional('OIDC_AUDIENCE', 'https://api.example', parseText),
      sendLogoutHint:
        read('OIDC_LOGOUT_HINT', 'false', parseChoice('true', 'false'), 'true') === 'true',
      requireLogoutTokenType:
        read('OIDC_LOGOUT_TOKEN_TYPE', 'any', parseChoice('required', 'any'), 'required') ===
        'required',
    },
    upstreams: readUpstreams(reader),
    session: { idleTimeoutSeconds, absoluteTimeoutSeconds, sameSite },
    refreshBeforeSeconds: readInteger('REFRESH_BEFORE', 300, 'seconds', 0, 86_400),
    webSocketsPerSession: readInteger('WEBSOCKETS_PER_SESSION', 50, 'sockets', 1, 10_000),
    logLevel: read(
      'LOG_LEVEL',
      'info',
      parseChoice('debug', 'info', 'warn', 'error', 'silent'),
      'info',
    ),
    processes: readInteger('WEB_CONCURRENCY', 1, 'processes', 1, 64),
  }

  const secrets: Secrets = {
    databaseUrl: readDatabaseUrl(reader),
    session: read(
      'SESSION_SECRET',
      '$(openssl rand -base64 48)',
      parseSessionSecrets,
      production ? undefined : [randomBytes(32).toString('base64url')],
    ),
    client: readClientCredentials(reader, production),
    metricsToken: readOptional('METRICS_TOKEN', '$(openssl rand -base64 24)', parseMetricsToken),
  }

  reader.throwFaults()
  return Object.freeze({
    configuration: Object.freeze(configuration),
    secrets: Object.freeze(secrets),
  })
}

function parseTrustedProxies(text: string): number | string[] {
  if (/^\d{1,2}$/.test(text)) return Number(text)
  const addresses = parseList(parseText)(text)
  try {
    proxyAddr.compile(addresses)
  } catch (error) {
    // proxy-addr answers a bad address with a TypeError, and throws nothing else.
    if (!(error instanceof TypeError)) throw error
    throw new InvalidValue(
      'must be a count of proxies, or addresses, ranges and names like loopback',
    )
  }
  return addresses
}

function parseIssuer(text: string): URL {
  const url = parseHttpUrl(text)
  if (url.search || url.hash) throw new InvalidValue('must be without query and fragment')
  if (url.protocol === 'http:' && !isLoopback(url))
    throw new InvalidValue('must be https (http is for loopback alone)')
  return url
}

function parseScopes(text: string): string {
  const scopes = text.split(/\s+/)
  // OpenID Connect Core §3.1.2.1: without openid it is not a login
  if (!scopes.includes('openid')) throw new InvalidValue('must contain openid')
  return scopes.join(' ')
}

function parseSessionSecrets(text: string): string[] {
  const secrets = parseList(parseText)(text)
  if (secrets.length === 0 || secrets.some((secret) => secret.length < 32)) {
    throw new InvalidValue(
      'must be secrets of at least 32 characters, newest first, with commas between',
    )
  }
  if (secrets.some((secret) => new Set(secret).size < 8)) throw new InvalidValue('must be random')
  return secrets
}

function parseMetricsToken(text: string): string {
  if (text.length < 16) throw new InvalidValue('must have at least 16 characters')
  return text
}
