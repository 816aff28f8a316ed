// The person as the rest of the gate knows them: the few claims of the ID token that a page shows.
import type { IDToken } from 'openid-client'
import type { User } from '../../shared/contract.ts'

/** Only what has the shape that it should have; the person is (`iss`, `sub`), never an e-mail address. */
export function toUser(claims: IDToken): User {
  const { sub, groups } = claims
  const name = text(claims['name']) ?? text(claims['preferred_username'])
  const email = text(claims['email'])
  const picture = httpsUrl(claims['picture'])
  return {
    sub,
    ...(name !== undefined && { name }),
    ...(email !== undefined && { email }),
    ...(picture !== undefined && { picture }),
    ...(Array.isArray(groups) && {
      groups: groups.filter((group) => typeof group === 'string').slice(0, 100),
    }),
  }
}

const text = (value: unknown) =>
  typeof value === 'string' && value !== ''
    ? value.slice(0, 300).replaceAll('\0', '').toWellFormed() // PostgreSQL's JSON takes neither zeros nor halves
    : undefined

function httpsUrl(value: unknown): string | undefined {
  const url = typeof value === 'string' && value.length < 2000 ? URL.parse(value) : null
  return url?.protocol === 'https:' ? url.href : undefined
}
