// `GET /healthz` and `GET /readyz`: alive while it can answer; ready when what it needs is there.
import type { RequestHandler } from 'express'
import { findMissingMigrations } from '../database/migrations.ts'
import type { Database } from '../database/pool.ts'
import { DatabaseUnavailable } from '../errors.ts'
import type { Provider } from '../provider/provider.ts'

const rememberedMs = 1000

export const live: RequestHandler = (_request, response) => {
  response.set('Cache-Control', 'no-store').json({ live: true })
}

interface Parts {
  database: Pick<Database, 'query'>
  provider: Pick<Provider, 'isKnown'>
  /** Whether the other processes' messages come in. Without them it is slower, and still right: no reason not to be ready. */
  isListening: () => boolean
  isStopping: () => boolean
}

/** 200 when the database answers, every migration is in and the provider is known; else 503 and which is missing. */
export function createReady(parts: Parts): RequestHandler {
  const { database, provider, isListening, isStopping } = parts
  // Whoever asks more often than once a second is told what was found for the one before.
  let found: { at: number; missing: ReturnType<typeof findMissing> } | undefined
  const lookOnce = () => {
    if (!found || performance.now() - found.at > rememberedMs)
      found = { at: performance.now(), missing: findMissing(database) }
    return found.missing
  }

  return async (_request, response) => {
    const missing = await lookOnce()
    const state = {
      database: missing !== undefined,
      migrations: missing?.length === 0,
      provider: provider.isKnown(),
      running: !isStopping(),
    }
    const ready = Object.values(state).every(Boolean)
    response
      .status(ready ? 200 : 503)
      .set('Cache-Control', 'no-store')
      .json({ ready, ...state, notifications: isListening() })
  }
}

async function findMissing(database: Pick<Database, 'query'>): Promise<string[] | undefined> {
  try {
    return await findMissingMigrations(database)
  } catch (error) {
    if (error instanceof DatabaseUnavailable) return undefined
    throw error
  }
}
