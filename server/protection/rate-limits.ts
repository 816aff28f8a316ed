// How often one address may knock at `/auth`. Whole offices share an address, so the limits are for
// machines, not for people; each process counts for itself.
import type { RequestHandler } from 'express'
import { ipKeyGenerator, rateLimit } from 'express-rate-limit'
import { RateLimited } from '../errors.ts'

const windowMs = 60_000

function createRateLimit(limit: number): RequestHandler {
  return rateLimit({
    windowMs,
    limit,
    standardHeaders: false,
    legacyHeaders: false,
    validate: false, // it would look at Express's own idea of the address; ours is below
    keyGenerator: (request) => ipKeyGenerator(request.facts.ip),
    handler: (_request, _response, next) =>
      next(new RateLimited({ retryAfterSeconds: windowMs / 1000 })),
  })
}

/** A login costs the provider work and a browser a cookie: 120 a minute is an office at nine o'clock. */
export const createLoginLimit = () => createRateLimit(120)

/** Everything else at `/auth`: ten tabs that ask each second are still let through. */
export const createAuthLimit = () => createRateLimit(1200)
