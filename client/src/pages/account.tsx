// Who you are, as the login service said it; until when; and what the API saw. Never a token: none is here.
import { useState, type ReactNode } from 'react'
import type { WhoAmI } from '../../../shared/example-api.ts'
import { Failure } from '../parts/failure.tsx'
import { PageTitle } from '../parts/page-title.tsx'
import { SkeletonLines } from '../parts/skeleton.tsx'
import { Countdown, Instant } from '../parts/times.tsx'
import { useLoaded } from '../session/loaded.ts'
import { useMe, useSession } from '../session/session.tsx'

export default function Account() {
  return (
    <>
      <PageTitle name="Account" />
      <div className="account">
        <Person />
        <Times />
        <SeenByApi />
      </div>
    </>
  )
}

function Person() {
  const { user } = useMe()
  const name = user.name ?? user.sub
  return (
    <section className="card" aria-labelledby="person-title">
      <div className="person">
        {user.picture === undefined ? (
          <span className="portrait" aria-hidden="true">
            {initials(name)}
          </span>
        ) : (
          <img
            className="portrait"
            src={user.picture}
            alt=""
            width="72"
            height="84"
            referrerPolicy="no-referrer"
          />
        )}
        <div>
          <h2 id="person-title">{name}</h2>
          {user.email !== undefined && <p className="soft">{user.email}</p>}
        </div>
      </div>
      <dl className="facts">
        <Fact name="Groups">
          {user.groups && user.groups.length > 0
            ? user.groups.map((group) => (
                <span key={group} className="tag">
                  {group}
                </span>
              ))
            : 'None'}
        </Fact>
        <Fact name="Known here as">
          <code>{user.sub}</code>
        </Fact>
      </dl>
    </section>
  )
}

function Times() {
  const { session } = useMe()
  const { state, stay } = useSession()
  const [said, setSaid] = useState('')
  return (
    <section className="card" aria-labelledby="times-title">
      <div className="card-head">
        <h2 id="times-title">This session</h2>
        <button
          type="button"
          className="button"
          disabled={state.kind !== 'loggedIn'}
          onClick={() => {
            stay().then(
              () => setSaid('The idle time begins anew.'),
              (error: unknown) => setSaid(error instanceof Error ? error.message : 'It failed.'),
            )
          }}
        >
          Keep it
        </button>
      </div>
      <dl className="facts">
        <Fact name="Logged in">
          <Instant at={session.createdAt} />
        </Fact>
        <Fact name="Ends without activity in">
          <Countdown until={session.idleExpiresAt} after="now" />
        </Fact>
        <Fact name="Ends at the latest in">
          <Countdown until={session.expiresAt} after="now" />
        </Fact>
        <Fact name="Access token is good for">
          <Countdown until={session.accessTokenExpiresAt} after="renewed with the next call" />
        </Fact>
      </dl>
      <p className="hint" role="status">
        {said}
      </p>
    </section>
  )
}

/** The claims of the access token: the API told us, the browser has no token to look into. */
function SeenByApi() {
  const { body, failure, isLoading, reload } = useLoaded<WhoAmI>('/api/whoami')
  return (
    <section className="card wide" aria-labelledby="claims-title" aria-busy={isLoading}>
      <h2 id="claims-title">What the API knows of you</h2>
      <p className="soft">
        The claims of the access token, as the API read them. The token itself never came here.
      </p>
      {failure && <Failure failure={failure} onRetry={reload} />}
      {!body && !failure && <SkeletonLines count={8} />}
      {body && (
        <dl className="facts">
          {inOrder(body.claims).map(([name, value]) => (
            <Fact key={name} name={claimNames[name] ?? name}>
              {isInstant(name) && typeof value === 'number' ? (
                <Instant at={new Date(value * 1000).toISOString()} />
              ) : (
                describeValue(value)
              )}
            </Fact>
          ))}
        </dl>
      )}
    </section>
  )
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}

// RFC 7519 §4.1 and RFC 9068 §2.2
const claimNames: Record<string, string> = {
  name: 'Name',
  email: 'E-mail',
  sub: 'Subject',
  groups: 'Groups',
  scope: 'Allows',
  iss: 'Issued by',
  aud: 'Meant for',
  client_id: 'Asked for by',
  auth_time: 'Logged in',
  iat: 'Issued',
  nbf: 'Valid from',
  exp: 'Valid until',
  jti: 'Token number',
}

/** What people know first; what we have no name for last, as it came. */
function inOrder(claims: Record<string, unknown>): [string, unknown][] {
  const known = Object.keys(claimNames)
  const rank = (name: string) => (known.includes(name) ? known.indexOf(name) : known.length)
  return Object.entries(claims).toSorted(([one], [other]) => rank(one) - rank(other))
}

const isInstant = (claim: string) => ['exp', 'iat', 'nbf', 'auth_time'].includes(claim)

function describeValue(value: unknown): string {
  if (typeof value === 'string') return value
  if (Array.isArray(value)) return value.map((item: unknown) => describeValue(item)).join(', ')
  return JSON.stringify(value)
}

function initials(name: string): string {
  const words = name.split(/\s+/).filter((word) => word !== '')
  return [words[0], words.length > 1 ? words.at(-1) : undefined]
    .map((word) => word?.slice(0, 1).toUpperCase() ?? '')
    .join('')
}
