// `/auth/login` and `/auth/callback`: the only places where a session is born, and the only ones where
// express-session and passport are at work.
import { randomBytes } from 'node:crypto'
import {
  Router,
  type ErrorRequestHandler,
  type Request,
  type RequestHandler,
  type Response,
} from 'express'
import session from 'express-session'
import passport from 'passport'
import { paths, signInProblemPath, type User } from '../../shared/contract.ts'
import type { Clock } from '../clock.ts'
import type { Configuration } from '../configuration.ts'
import type { Database } from '../database/pool.ts'
import { BadRequest, DatabaseUnavailable, ProviderUnavailable } from '../errors.ts'
import type { Csrf } from '../protection/csrf.ts'
import type { Guard } from '../protection/guard.ts'
import { AuthorizationFailed, TokenExchangeFailed } from '../provider/faults.ts'
import type { LoggedIn, Provider } from '../provider/provider.ts'
import type { SessionCookies } from '../sessions/cookie.ts'
import { hashSessionId } from '../sessions/session.ts'
import type { Sessions } from '../sessions/sessions.ts'
import { SessionStore } from '../sessions/store.ts'
import type { Tokens } from '../tokens/tokens.ts'
import { createVault } from '../tokens/vault.ts'
import { createLoginCookies, type LoginInProgress } from './login-cookie.ts'
import { parseReturnTo } from './return-to.ts'
import { ProviderStrategy, type StrategyOptions } from './strategy.ts'
import { toUser } from './user.ts'

export interface LoginEvents {
  loginSucceeded: (request: Request, subject: string) => void
  loginFailed: (request: Request, code: string, cause: unknown) => void
}

interface Parts {
  configuration: Pick<Configuration, 'appUrl' | 'frontendOrigins'>
  secrets: readonly string[]
  database: Database
  provider: Provider
  sessions: Sessions
  tokens: Tokens
  cookies: SessionCookies
  guard: Guard
  csrf: Csrf
  clock: Clock
  events: LoginEvents
}

/** A callback that this browser did not begin, or has finished before. */
class InvalidState extends Error {
  override readonly name = 'InvalidState'
}

export function createLoginRoutes(parts: Parts): Router {
  const { configuration, provider, sessions, tokens, guard, csrf, clock, events } = parts
  const { cookies } = parts
  const loginCookies = createLoginCookies({
    prefix: cookies.names.loginPrefix,
    secure: configuration.appUrl.protocol === 'https:',
    vault: createVault(parts.secrets, 'login cookie'),
    clock,
  })
  const authenticator = new passport.Authenticator()
  authenticator.use(new ProviderStrategy(provider))
  authenticator.serializeUser<User>((user, done) => done(null, user as User)) // logIn below passes a User

  const expressSession = session({
    name: cookies.names.session,
    secret: [...parts.secrets],
    store: new SessionStore(parts.database),
    genid: createRandom,
    resave: false,
    saveUninitialized: false,
  })

  /** Runs our strategy. `undefined` when it was answered with a redirect, which passport does itself. */
  const authenticate = (request: Request, response: Response, options: StrategyOptions) =>
    new Promise<LoggedIn | undefined>((resolve, reject) => {
      if (options.act === 'begin') response.once('close', () => resolve(undefined))
      const authenticateOnce: unknown = authenticator.authenticate(
        'provider',
        options,
        (error: Error, loggedIn?: LoggedIn) => (loggedIn ? resolve(loggedIn) : reject(error)),
      )
      // passport types its middleware loosely; this is what it is.
      ;(authenticateOnce as RequestHandler)(request, response, reject)
    })

  /** passport's logIn: a new session id (against fixation), and the record in memory. The row is written by `begin`. */
  const takeNewSession = (request: Request, user: User) =>
    new Promise<{ id: string; record: object }>((resolve, reject) => {
      request.logIn(user, (error: Error | undefined) => {
        if (error) return reject(error)
        const born = { id: request.sessionID, record: request.session }
        // We write the row and the cookies ourselves, at once and before the answer: express-session
        // must not do it again while the answer goes out.
        Reflect.deleteProperty(request, 'session')
        return resolve(born)
      })
    })

  const failed = (request: Request, response: Response, error: unknown) => {
    const code = problemOf(error)
    if (code === undefined) throw error
    events.loginFailed(request, code, error)
    response.redirect(302, `${signInProblemPath}?error=${code}`)
  }

  const logIn: RequestHandler = async (request, response) => {
    const query = readOnce(request)
    if (!query) throw new BadRequest()
    const previous = await guard.findForNavigation(request, response)
    const maxAge = query.get('max_age')
    if (maxAge !== null && !/^\d{1,9}$/.test(maxAge)) throw new BadRequest()
    const login: LoginInProgress = {
      state: createRandom(),
      nonce: createRandom(),
      codeVerifier: createRandom(), // RFC 7636 §4.1
      maxAgeSeconds: maxAge === null ? undefined : Number(maxAge),
      acrValues: query.get('acr_values') ?? undefined,
      returnTo: parseReturnTo(
        query.get('returnTo'),
        configuration.appUrl,
        configuration.frontendOrigins,
      ),
      previousSession: previous?.sid,
      startedAt: clock.now().getTime(),
    }
    const passedOn = Object.fromEntries(
      passedOnNames.flatMap((name) => (query.has(name) ? [[name, query.get(name) ?? '']] : [])),
    )
    response.appendHeader('Set-Cookie', loginCookies.begin(login, request.headers.cookie))
    try {
      await authenticate(request, response, { act: 'begin', login, passedOn })
    } catch (error) {
      response.removeHeader('Set-Cookie')
      // A person who clicked gets a page, a program the error itself.
      if (!request.headers.accept?.includes('text/html')) throw error
      failed(request, response, error)
    }
  }

  const finishLogin = async (request: Request, response: Response) => {
    const query = readOnce(request)
    const state = query?.get('state') ?? ''
    const login = query && loginCookies.find(state, request.headers.cookie)
    if (state !== '') response.appendHeader('Set-Cookie', loginCookies.clear(state))
    // Before anything else of the answer is believed, `error` included: RFC 9700 §4.7
    if (!login) throw new InvalidState()

    const callbackUrl = new URL(paths.callback, configuration.appUrl)
    callbackUrl.search = query.toString()
    const loggedIn = await authenticate(request, response, { act: 'finish', login, callbackUrl })
    if (!loggedIn) return undefined
    const { grant, claims } = loggedIn
    const revoke = () => grant.refreshToken !== undefined && provider.revoke(grant.refreshToken)
    if (response.destroyed) {
      await revoke() // whoever has gone would leave a session that nobody has the cookie of
      return undefined
    }

    const atCallback = cookies.read(request.headers.cookie)
    const isOurs = atCallback.kind === 'unverified' && cookies.signedBy(atCallback) >= 0
    const before = [login.previousSession, isOurs ? hashSessionId(atCallback.id) : undefined]
    const user = toUser(claims)
    const { id, record } = await takeNewSession(request, user)
    try {
      const born = await sessions.begin(
        {
          id,
          record,
          issuer: provider.issuer,
          subject: claims.sub,
          providerSessionId: typeof claims['sid'] === 'string' ? claims['sid'] : undefined,
          userAgent: request.headers['user-agent'] ?? '',
          ip: request.facts.ip,
          replaces: before.filter((sid) => sid !== undefined),
        },
        (transaction, sid) => tokens.keep(transaction, id, sid, grant),
      )
      request.facts.sessionLabel = born.label
      events.loginSucceeded(request, claims.sub)
      response.appendHeader(
        'Set-Cookie',
        cookies.issue({ id, expiresAt: born.expiresAt }, csrf.tokenFor({ id }), clock.now()),
      )
      response.appendHeader(
        'Set-Cookie',
        loginCookies.carryOver(login, born.sid, request.headers.cookie),
      )
    } catch (error) {
      void revoke() // never throws, and nobody waits for it
      throw error
    }
    return login.returnTo
  }

  const callback: RequestHandler = async (request, response) => {
    try {
      const returnTo = await finishLogin(request, response)
      if (returnTo !== undefined) response.redirect(302, returnTo)
    } catch (error) {
      failed(request, response, error)
    }
  }

  // With a cookie that is not Strict express-session looks for the former session, and the database may be away.
  const notLookedFor: ErrorRequestHandler = (error: unknown, request, response, _next) =>
    failed(request, response, error)

  return Router()
    .get(paths.login, logIn)
    .get(paths.callback, expressSession, callback, notLookedFor)
}

const createRandom = () => randomBytes(32).toString('base64url')

const passedOnNames = ['prompt', 'login_hint', 'max_age', 'acr_values', 'ui_locales']

/** The query, unless a parameter is in it twice: two readers could take different ones (RFC 6749 §3.1). */
function readOnce(request: Request): URLSearchParams | undefined {
  const query = new URL(request.originalUrl, 'http://localhost').searchParams
  const names = [...query.keys()]
  return new Set(names).size === names.length ? query : undefined
}

/** The CODE of `/login?error=CODE`; `undefined` for a bug. */
function problemOf(error: unknown): string | undefined {
  if (error instanceof InvalidState) return 'invalid_state'
  if (error instanceof AuthorizationFailed) return error.code
  if (error instanceof TokenExchangeFailed) return 'token_exchange_failed'
  if (error instanceof ProviderUnavailable || error instanceof DatabaseUnavailable)
    return error.code
  return undefined
}
