// The composition root: every part is made here, once, and wired in the order in which a request meets
// it. Three doors: the proxied paths (the hot path, without Express), `/auth` and operations, the client.
import http, { type ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import express, { Router, type ErrorRequestHandler } from 'express'
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
import {
  answerTo,
  BadRequest,
  HeadersTooLarge,
  NotFound,
  rawAnswerTo,
  toRefusal,
} from './errors.ts'
import { createLoginCookies } from './login/login-cookie.ts'
import { createLoginRoutes } from './login/routes.ts'
import { createBackChannelLogout } from './logout/back-channel.ts'
import { createLogout } from './logout/logout.ts'
import { createReady, live } from './operations/health.ts'
import { createLog, createRequestLog, type Log } from './operations/log.ts'
import { createMetrics } from './operations/metrics.ts'
import { createSecurityEvents, type SecurityEvents } from './operations/security-events.ts'
import { watchUnusedConnections, type Drainable } from './operations/shutdown.ts'
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
import { SessionStore } from './sessions/store.ts'
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
  const secure = appUrl.protocol === 'https:'
  const loginCookies = createLoginCookies({
    prefix: cookies.names.loginPrefix,
    secure,
    vault: createVault(secrets.session, 'login cookie'),
    clock,
  })
  const store = new SessionStore(database)
  const eventStreams = opened.use(createSessionEventStreams({ guard, sessions, clock }))
  const loginRoutes = createLoginRoutes({
    configuration,
    secrets: secrets.session,
    ...{ provider, sessions, store, tokens, cookies, loginCookies, guard, csrf, clock, events },
  })
  const auth = Router({ caseSensitive: true, strict: true })
    .use((request, response, next) => {
      response.set({ 'Cache-Control': 'no-store', ...crossSite.corsHeaders(request) })
      if (crossSite.isPreflight(request))
        response.set(crossSite.preflightHeaders(request)).status(204).end()
      else next()
    })
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

  const server = http.createServer({
    keepAliveTimeout: 95_000, // above that of the router in front, which reuses connections for 90 s
    headersTimeout: 96_000,
    requestTimeout: 0, // an upload may take as long as it takes; its headers may not
    keepAlive: true, // of TCP: a browser that vanished from a quiet stream is noticed
    keepAliveInitialDelay: 30_000,
    shouldUpgradeCallback: ({ headers }) => headers.upgrade?.toLowerCase() === 'websocket',
  })
  const closeUnused = watchUnusedConnections(server)
  const pages = opened.use(await openPages(production, server))

  const errorAnswer: ErrorRequestHandler = (error: unknown, request, response, _next) => {
    // Express's router throws it for a path that can't be decoded.
    const refusal = error instanceof URIError ? new BadRequest() : toRefusal(error)
    if (refusal.status === 500)
      log.error({ err: error, requestId: request.facts.requestId }, 'a request failed')
    events.refused(request, refusal, 'http')
    if (response.headersSent) return response.destroy()
    const { status, headers, body } = answerTo(refusal, request.facts.requestId)
    return response.writeHead(status, { ...headers }).end(JSON.stringify(body))
  }

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
  app.use((request, _response, next) =>
    isUnder(paths.auth, request.path) ? auth(request, _response, next) : next(),
  )
  app.use((request, _response, next) =>
    next(isUnder(paths.auth, request.path) ? new NotFound() : undefined),
  )
  app.use(pages.handler)
  app.use(errorAnswer)

  const logBug = (error: unknown) => log.error({ err: error }, 'a proxied request failed') // answered already
  const arrive = createArrival(configuration.trustedProxies)
  const logRequest = createRequestLog(log, (request, status, durationMs) => {
    metrics.requestAnswered(status, durationMs)
    // The answer is out: whoever was busy when the shutdown began is not waited for any longer.
    if (stopping) request.socket.destroySoon()
  })
  server.on('request', (request, response) => {
    arrive(request)
    request.socket.lastResponse = response
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
  server.on('clientError', (error: Error & { code?: string }, socket) => {
    if (!socket.writable || error.code === 'ECONNRESET' || !canBeTold(socket))
      return void socket.destroy()
    const refusal = error.code === 'HPE_HEADER_OVERFLOW' ? new HeadersTooLarge() : new BadRequest()
    socket.once('finish', () => socket.destroy())
    return void socket.end(rawAnswerTo(refusal, ''))
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

declare module 'node:net' {
  interface Socket {
    /** To the newest request that came on it. */
    lastResponse?: ServerResponse
  }
}

const lastResponseOn = (socket: Duplex) =>
  socket instanceof Socket ? socket.lastResponse : undefined

/** Whether a request on this connection is not answered yet, or not to its end. */
const isAnswering = (socket: Duplex) => lastResponseOn(socket)?.writableFinished === false

/** Whether what is wrong with the bytes of a connection can be answered: not into the answer to another request, nor in its place. */
function canBeTold(socket: Duplex): boolean {
  const last = lastResponseOn(socket)
  if (!last || last.writableFinished) return true
  const isItsTurn = last.socket !== null && !last.headersSent
  return isItsTurn && !last.req.complete // the fault is in its own body
}

const isUnder = (prefix: string, path: string) => path === prefix || path.startsWith(`${prefix}/`)
