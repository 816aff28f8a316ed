// Where you are logged in, and the way to end it there.
import { useRef, useState } from 'react'
import {
  paths,
  type OthersEnded,
  type OwnSession,
  type OwnSessions,
} from '../../../shared/contract.ts'
import { Failure } from '../parts/failure.tsx'
import { PageTitle } from '../parts/page-title.tsx'
import { SkeletonLines } from '../parts/skeleton.tsx'
import { Ago, Countdown, Instant } from '../parts/times.tsx'
import { useLoaded } from '../session/loaded.ts'
import { useSession } from '../session/session.tsx'

export default function Devices() {
  const { api, state } = useSession()
  const { body, failure, isLoading, reload } = useLoaded<OwnSessions>(paths.sessions)
  const [said, setSaid] = useState('')
  const question = useRef<HTMLDialogElement>(null)
  const sessions = body?.sessions.toSorted(
    (one, other) => Number(other.current) - Number(one.current),
  )
  const others = sessions?.filter(({ current }) => !current) ?? []
  const isOver = state.kind !== 'loggedIn'

  const attempt = (work: Promise<string>) => {
    setSaid('')
    work.then(
      (sentence) => {
        setSaid(sentence)
        reload()
      },
      (error: unknown) => setSaid(error instanceof Error ? error.message : 'It failed.'),
    )
  }
  const end = async ({ id, userAgent }: OwnSession) => {
    await api.send('DELETE', `${paths.sessions}/${id}`)
    return `The session on ${describeDevice(userAgent)} has ended.`
  }
  const endOthers = async () => {
    const { ended } = await api.send<OthersEnded>('DELETE', paths.sessions)
    return ended === 1 ? 'One other session has ended.' : `${ended} other sessions have ended.`
  }

  return (
    <>
      <PageTitle name="Devices">
        <div className="row">
          <button type="button" className="button" disabled={isLoading || isOver} onClick={reload}>
            Refresh
          </button>
          <button
            type="button"
            className="button danger"
            disabled={others.length === 0 || isOver}
            onClick={() => question.current?.showModal()}
          >
            End all others
          </button>
        </div>
      </PageTitle>
      <p role="status" className="hint">
        {said}
      </p>
      {failure && <Failure failure={failure} onRetry={reload} />}
      {!sessions && !failure && (
        <div className="card">
          <SkeletonLines count={3} />
        </div>
      )}
      <ul className="devices" aria-busy={isLoading}>
        {sessions?.map((session) => (
          <Device
            key={session.id}
            session={session}
            isOver={isOver}
            onEnd={() => attempt(end(session))}
          />
        ))}
      </ul>
      {sessions && others.length === 0 && (
        <p className="empty">
          You are logged in nowhere else. When you log in on another device, it stands here, and you
          can end it.
        </p>
      )}

      <dialog ref={question} className="dialog" aria-labelledby="others-title">
        <h2 id="others-title">End all other sessions?</h2>
        <p>Whoever uses them is logged out at once, in every tab. This one stays.</p>
        <form method="dialog" className="row">
          <button type="submit" className="button danger" onClick={() => attempt(endOthers())}>
            End {others.length === 1 ? 'one session' : `${others.length} sessions`}
          </button>
          <button type="submit" className="button">
            Keep them
          </button>
        </form>
      </dialog>
    </>
  )
}

function Device({
  session,
  isOver,
  onEnd,
}: {
  session: OwnSession
  isOver: boolean
  onEnd: () => void
}) {
  const device = describeDevice(session.userAgent)
  return (
    <li className="card device">
      <svg width="28" height="28" viewBox="0 0 32 32" aria-hidden="true">
        <path
          d={
            isHandheld(session.userAgent)
              ? 'M9 3h14v26H9zM14 25h4v1.5h-4z'
              : 'M3 5h26v17H3zM11 25h10v3H11z'
          }
        />
      </svg>
      <div>
        <h2>
          {device} {session.current && <span className="tag">This one</span>}
        </h2>
        <p className="soft">
          {session.ip}, logged in <Instant at={session.createdAt} />
        </p>
        <p className="soft">
          Last seen <Ago at={session.lastSeenAt} />, ends in{' '}
          <Countdown until={session.expiresAt} after="a moment" />
        </p>
      </div>
      {!session.current && (
        <button
          type="button"
          className="button"
          disabled={isOver}
          onClick={onEnd}
          aria-label={`End the session on ${device}`}
        >
          End
        </button>
      )}
    </li>
  )
}

// In this order: each of them says that it is also the ones below.
const browsers: [RegExp, string][] = [
  [/Edg\//, 'Edge'],
  [/OPR\//, 'Opera'],
  [/Firefox\//, 'Firefox'],
  [/Chrome\//, 'Chrome'],
  [/Safari\//, 'Safari'],
]
const systems: [RegExp, string][] = [
  [/iPhone|iPad/, 'iOS'],
  [/Android/, 'Android'],
  [/Windows/, 'Windows'],
  [/Mac OS X/, 'macOS'],
  [/Linux/, 'Linux'],
]

const isHandheld = (userAgent: string) => /iPhone|Android/.test(userAgent)

function describeDevice(userAgent: string): string {
  const find = (known: [RegExp, string][]) =>
    known.find(([expression]) => expression.test(userAgent))?.[1]
  const browser = find(browsers)
  const system = find(systems)
  if (browser !== undefined) return system === undefined ? browser : `${browser} on ${system}`
  return userAgent.slice(0, 40) || 'Unknown device'
}
