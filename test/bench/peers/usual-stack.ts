// The usual stack: express-session in PostgreSQL, passport, http-proxy-middleware. Put together as its
// documentation shows it, with the access token in the session: each request reads and touches a row.
import http from 'node:http'
import connectPgSimple from 'connect-pg-simple'
import express from 'express'
import session from 'express-session'
import { createProxyMiddleware } from 'http-proxy-middleware'
import passport from 'passport'
import pg from 'pg'
import { listenAndTell } from './listen.ts'

interface Person {
  sub: string
  accessToken: string
}

const PostgresStore = connectPgSimple(session)
passport.serializeUser((user, done) => done(null, user))
passport.deserializeUser((user: Express.User, done) => done(null, user))

const app = express()
app.use(
  session({
    store: new PostgresStore({
      pool: new pg.Pool({ connectionString: process.env['DATABASE_URL'], max: 10 }),
      createTableIfMissing: true,
    }),
    secret: 'a-secret-of-the-usual-stack',
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: 3_600_000, httpOnly: true, sameSite: 'lax' },
  }),
)
app.use(passport.session())
app.post('/login', (request, response, next) => {
  const person: Person = { sub: 'ada', accessToken: 'x'.repeat(700) }
  request.login(person, (error: unknown) => (error ? next(error) : response.sendStatus(204)))
})
const relay = createProxyMiddleware({
  target: process.env['UPSTREAM'] ?? '',
  changeOrigin: true,
  agent: new http.Agent({ keepAlive: true }),
  on: {
    proxyReq: (upstreamRequest, request) => {
      const { user } = request as typeof request & { user?: Person } // passport puts it there
      upstreamRequest.setHeader('Authorization', `Bearer ${user?.accessToken}`)
    },
  },
})
app.use((request, response, next) => {
  if (!request.isAuthenticated()) response.sendStatus(401)
  else if (request.url.startsWith('/api/')) void relay(request, response, next)
  else next()
})
listenAndTell(http.createServer(app))
