// The composition root: every part is made here, once, and wired in the order in which a request meets
// it. Three doors: the proxied paths (the hot path, without Express), `/auth` and operations, the client.
import express, { Router } from 'express'
import { paths } from '../shared/contract.ts'
import { createMe, createRefreshRoute } from './account/me.ts'
import {
  createEndOtherSessions,
  createEndSession,
  createListSessions,
} from './account/own-sessions.ts'
import { createSessionEventStreams } from './account/session-events.ts'
import { systemClock, type Clock } from './clock.ts'
import type { Configuration, Secrets } from './configuration.ts'
import { openNotifications } from './database/notifications.ts'
import { openDatabase, type Queryable } from './database/pool.ts'
import { NotFound } from './errors.ts'
import { createLoginRoutes } from './login/routes.ts'
import { createBackChannelLogout } from './logout/back-channel.ts'
import { createLogout } from './logout/logout.ts'
import { createConnections } from './operations/connections.ts'
import { createErrorAnswer } from './operations/error-answer.ts'
import { createReady, live } from './operations/health.ts'
import { createLog, createRequestLog, type Log } from './operations/log.ts'
import { createMetrics } from './operations/metrics.ts'
import { createSecurityEvents, type SecurityEvents } from './operations/security-events.ts'
import type { Drainable } from './operations/shutdown.ts'
import { openPages } from './pages.ts'
import { createCrossSiteRule } from './protection/cross-site.ts'
import { createCsrf } from './protection/csrf.ts'
import { createGuard } from './protection/guard.ts'
import { createAuthLimit, createLoginLimit } from './protection/rate-limits.ts'
import { createSecurityHeaders } from './protection/security-headers.ts'
import { openProvider } from './provider/provider.ts'
import { createProxy } from './proxy/proxy.ts'
import { createArrival } from './request-facts.ts'
import { createSessionCookies } from './sessions/cookie.ts'
import { createReaper } from './sessions/reaper.ts'
import { createSessions } from './sessions/sessions.ts'
import { createRefresh } from './tokens/refresh.ts'
import { createTokenRows } from './tokens/rows.ts'
import { createTokens } from './tokens/tokens.ts'
import { createVault, deriveServerKey } from './tokens/vault.ts'

export interface Gate extends Drainable {
  database: Queryable
  log: Log
  events: Pick<SecurityEvents, 'started' | 'stopped'>
}

/** Builds the gate. Nothing listens yet, and nothing need be up. Disposing it releases all that it opened. */
export async function createGate(
  configuration: Configuration,
  secrets: Secrets,
  {
    clock = systemClock,
    log = createLog(configuration.logLevel),
  }: { clock?: Clock; log?: Log } = {},
): Promise<Gate> {
  await using opened = new AsyncDisposableStack() // a start that fails closes what it had opened
  const { appUrl, frontendOrigins, production, upstreams } = configuration
  let stopping = false

  // What everything stands on
  const metrics = createMetrics()
  const database = opened.use(openDatabase(secrets.databaseUrl, configuration.database, log))
  const notifications = opened.use(openNotifications(database, log))
  const cookies = createSessionCookies(configuration, secrets.session)
  const events = opened.use(
    createSecurityEvents({ database, log, clock, count: metrics.countEvent }),
  )

  // Sessions and their tokens
  const labelKey = deriveServerKey(secrets.session, 'session label')
  const sessions = opened.use(
    createSessions({
      database,
      notifications,
      cookies,
      lifetime: configuration.session,
      labelKey,
      clock,
      events,
      log,
    }),
  )
  opened.use(createReaper({ database, sessions, clock, log }))
  const provider = opened.use(
    openProvider({
      configuration: configuration.provider,
      appUrl,
      credentials: secrets.client,
      clock,
      log,
    }),
  )
  const rows = createTokenRows(database, createVault(secrets.session, 'tokens'))
  const refresh = createRefresh({ rows, provider, sessions, notifications, events, log })
  const { refreshBeforeSeconds } = configuration
  const tokens = opened.use(
    createTokens({ rows, refresh, sessions, notifications, clock, refreshBeforeSeconds }),
  )

  // What every request has to pass
  const crossSite = createCrossSiteRule({
    appUrl,
    frontendOrigins,
    sessionCookie: cookies.names.session,
  })
  const csrf = createCsrf(secrets.session)
  const guard = createGuard({ sessions, cookies, crossSite, csrf, clock })

  // The proxied paths
  const proxy = opened.use(
    createProxy({
      upstreams,
      cookieNames: cookies.names,
      webSocketsPerSession: configuration.webSocketsPerSession,
      sessions,
      tokens,
      crossSite,
      csrf,
      events,
      clock,
    }),
  )

  // `/auth`
  const eventStreams = opened.use(createSessionEventStreams({ guard, sessions, clock }))
  const loginRoutes = createLoginRoutes({
    configuration,
    secrets: secrets.session,
    ...{ database, provider, sessions, tokens, cookies, guard, csrf, clock, events },
  })
  const auth = Router({ caseSensitive: true, strict: true })
    .use(crossSite.forExpress)
    .use([paths.login, paths.callback], createLoginLimit())
    .use(createAuthLimit())
    .use(loginRoutes)
    .get(paths.me, createMe({ guard, sessions, tokens, csrf }))
    .post(paths.refresh, createRefreshRoute({ guard, sessions, tokens }))
    .get(paths.events, eventStreams.handler)
    .get(paths.sessions, createListSessions({ guard, sessions }))
    .delete(
      `${paths.sessions}/:id`,
      createEndSession({ guard, sessions, tokens, provider, cookies }),
    )
    .delete(paths.sessions, createEndOtherSessions({ guard, sessions }))
    .post(paths.logout, createLogout({ crossSite, guard, sessions, tokens, provider, cookies }))
    .post(paths.backChannelLogout, createBackChannelLogout({ provider, sessions, clock, events }))

  // The door, and the client behind it
  const { server, closeUnused, isAnswering } = createConnections()
  const pages = opened.use(await openPages(production, server))

  const app = express()
  app.disable('x-powered-by').disable('etag').enable('case sensitive routing')
  app.use(createSecurityHeaders({ appUrl, production, formTargets: provider.logoutOrigin }))
  app.get(paths.live, live)
  app.get(
    paths.ready,
    createReady({
      database,
      provider,
      isListening: notifications.listening,
      isStopping: () => stopping,
    }),
  )
  app.get(paths.metrics, metrics.handler(secrets.metricsToken))
  app.use((request, response, next) => {
    // Below `/auth` nothing falls through to the client.
    if (!isUnder(paths.auth, request.path)) return next()
    return auth(request, response, (error?: unknown) => next(error ?? new NotFound()))
  })
  app.use(pages.handler)
  app.use(createErrorAnswer({ log, events }))

  const logBug = (error: unknown) => log.error({ err: error }, 'a proxied request failed') // answered already
  const arrive = createArrival(configuration.trustedProxies)
  const logRequest = createRequestLog(log, (request, status, durationMs) => {
    metrics.requestAnswered(status, durationMs)
    // The answer is out: whoever was busy when the shutdown began is not waited for any longer.
    if (stopping) request.socket.destroySoon()
  })
  server.on('request', (request, response) => {
    arrive(request)
    logRequest(request, response)
    if (stopping) response.shouldKeepAlive = false
    if (proxy.serves(request.url ?? '')) return void proxy.http(request, response).catch(logBug)
    response.setHeader('X-Request-ID', request.facts.requestId)
    return app(request, response)
  })
  server.on('upgrade', (request, socket, head) => {
    if (pages.ownsUpgrade(request)) return
    // RFC 9110 §7.8: the answer to what came before it would end up in the middle of its frames.
    if (isAnswering(socket)) return void socket.destroy()
    arrive(request)
    proxy.upgrade(request, socket, head).catch(logBug)
  })
  metrics.gauge('gatehouse_websockets', 'Open WebSockets', () => proxy.counts().sockets)
  metrics.gauge(
    'gatehouse_session_cache_bytes',
    'Estimated size of the sessions remembered',
    sessions.cachedBytes,
  )
  metrics.gauge(
    'gatehouse_database_waiting',
    'Queries that wait for a connection',
    () => database.connections().waiting,
  )

  const owned = opened.move()
  return {
    server,
    database,
    log,
    events,
    closeLongLived: async () => {
      stopping = true
      closeUnused()
      eventStreams.close()
      await proxy.closeSockets()
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

const isUnder = (prefix: string, path: string) => path === prefix || path.startsWith(`${prefix}/`)
