import type { ReactNode } from 'react'
import { Countdown } from '../countdown.tsx'
import { useMe } from '../session/session.tsx'

/** Who you are, as the login service said it; and until when. Never a token: there is none here. */
export default function Account() {
  const { user, session } = useMe()
  return (
    <>
      <h1>Account</h1>
      <section className="card" aria-labelledby="person-title">
        <div className="person">
          {user.picture === undefined ? (
            <span className="initial" aria-hidden="true">
              {(user.name ?? user.sub).slice(0, 1).toUpperCase()}
            </span>
          ) : (
            <img src={user.picture} alt="" width="64" height="64" referrerPolicy="no-referrer" />
          )}
          <h2 id="person-title">{user.name ?? user.sub}</h2>
        </div>
        <dl>
          <Fact name="E-mail">{user.email ?? 'not given'}</Fact>
          <Fact name="Groups">{user.groups?.join(', ') ?? 'none'}</Fact>
          <Fact name="Known as">
            <code>{user.sub}</code>
          </Fact>
        </dl>
      </section>
      <section className="card" aria-labelledby="session-title">
        <h2 id="session-title">This session</h2>
        <dl>
          <Fact name="Logged in">
            <time dateTime={session.createdAt}>{new Date(session.createdAt).toLocaleString()}</time>
          </Fact>
          <Fact name="Ends without activity">
            <Countdown until={session.idleExpiresAt} />
          </Fact>
          <Fact name="Ends at the latest">
            <Countdown until={session.expiresAt} />
          </Fact>
          <Fact name="Access token renewed">
            <Countdown until={session.accessTokenExpiresAt} />, on the server, by itself
          </Fact>
        </dl>
      </section>
    </>
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
