// People who are logged in without having logged in: rows and sealed tokens made with the server's own
// code and inserted in bulk, so that their cookies open.
import { randomBytes, randomUUID } from 'node:crypto'
import pg from 'pg'
import type { Queryable } from '../../server/database/pool.ts'
import { createCsrf } from '../../server/protection/csrf.ts'
import { createSessionCookies } from '../../server/sessions/cookie.ts'
import { hashSessionId } from '../../server/sessions/session.ts'
import { createTokenRows } from '../../server/tokens/rows.ts'
import { createVault } from '../../server/tokens/vault.ts'

export const sessionSecret = 'a-session-secret-of-the-bench-0123456789abcdef'

export interface Person {
  /** The `Cookie` header's value. */
  cookie: string
  csrfToken: string
  subject: string
}

const lifetime = { idleTimeoutSeconds: 3600, absoluteTimeoutSeconds: 86_400 }
const cookies = createSessionCookies(
  { appUrl: new URL('http://localhost'), session: { ...lifetime, sameSite: 'strict' } },
  [sessionSecret],
)
const csrf = createCsrf([sessionSecret])
const batchSize = 5000

/** Logs so many people in. The tokens are new ones, or expired ones with a lifetime below 0. */
export async function logIn(
  databaseUrl: string,
  issuer: string,
  count: number,
  { tokenLifetimeSeconds = 3600 }: { tokenLifetimeSeconds?: number } = {},
): Promise<Person[]> {
  const people: Person[] = []
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    for (let left = count; left > 0; left -= batchSize) {
      const batch = Math.min(left, batchSize)
      people.push(...(await logInBatch(client, issuer, batch, tokenLifetimeSeconds)))
    }
    await client.query('ANALYZE session, token')
  } finally {
    await client.end()
  }
  return people
}

async function logInBatch(
  client: pg.Client,
  issuer: string,
  count: number,
  tokenLifetimeSeconds: number,
): Promise<Person[]> {
  const now = new Date()
  const accessTokenExpiresAt = new Date(now.getTime() + tokenLifetimeSeconds * 1000)
  const tokenValues: unknown[][] = []
  // The rows as the server would write them, taken before they are written one by one.
  const collector: Queryable = {
    query: async (_text, values) => {
      tokenValues.push(values ?? [])
      return []
    },
  }
  const rows = createTokenRows(collector, createVault([sessionSecret], 'tokens'))
  const people: Person[] = []
  const sessionValues: [string, string, string][] = []
  for (let at = 0; at < count; at += 1) {
    const id = randomBytes(32).toString('base64url')
    const sid = hashSessionId(id)
    const subject = randomUUID()
    const user = { sub: subject, name: 'Ada Lovelace', email: 'ada@bench.example' }
    sessionValues.push([sid, JSON.stringify({ passport: { user } }), subject])
    await rows.keep(collector, id, sid, {
      accessToken: randomBytes(525).toString('base64url'), // as long as a signed one with some claims
      refreshToken: `${subject}.${randomUUID()}`,
      idToken: randomBytes(525).toString('base64url'),
      issuedAt: tokenLifetimeSeconds > 0 ? now : new Date(now.getTime() - 3_600_000),
      expiresAt: accessTokenExpiresAt,
    })
    const [line = ''] = cookies.issue({ id, expiresAt: now }, '', now)
    people.push({ cookie: line.split(';')[0] ?? '', csrfToken: csrf.tokenFor({ id }), subject })
  }
  const column = (all: readonly (readonly unknown[])[], at: number) => all.map((row) => row[at])
  await client.query(
    `INSERT INTO session (sid, sess, expire, public_id, issuer, subject, created_at, last_seen_at, user_agent, ip)
     SELECT sid, sess::jsonb, now() + interval '1 day', gen_random_uuid(), $4, subject, now(), now(), 'bench', '127.0.0.1'
     FROM unnest($1::text[], $2::text[], $3::text[]) AS made (sid, sess, subject)`,
    [column(sessionValues, 0), column(sessionValues, 1), column(sessionValues, 2), issuer],
  )
  await client.query(
    `INSERT INTO token (sid, sealed, access_token_issued_at, access_token_expires_at)
     SELECT * FROM unnest($1::text[], $2::bytea[], $3::timestamptz[], $4::timestamptz[])`,
    [0, 1, 2, 3].map((at) => column(tokenValues, at)),
  )
  return people
}

/** Fills the table with sessions of others, whom nobody ever sees. */
export async function addStrangers(databaseUrl: string, count: number): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    await client.query(
      `INSERT INTO session (sid, sess, expire, public_id, issuer, subject, created_at, last_seen_at, user_agent, ip)
       SELECT encode(sha256(number::text::bytea), 'base64'), '{"passport":{"user":{"sub":"stranger","name":"Nobody In Particular"}}}',
         now() + interval '1 day', gen_random_uuid(), 'https://elsewhere.example', number::text, now(), now(), 'bench', '127.0.0.1'
       FROM generate_series(1, $1::integer) AS number`,
      [count],
    )
    await client.query('ANALYZE session')
  } finally {
    await client.end()
  }
}
