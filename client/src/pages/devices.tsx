import { useState } from 'react'
import {
  paths,
  type OthersEnded,
  type OwnSession,
  type OwnSessions,
} from '../../../shared/contract.ts'
import { useResource } from '../resource.ts'
import { useSession } from '../session/session.tsx'

/** Where you are logged in, and the way to end it there. */
export default function Devices() {
  const { api, check } = useSession()
  const [sessions, reload] = useResource<OwnSessions>(paths.sessions)
  const [said, setSaid] = useState('')

  const end = async ({ id, current }: OwnSession) => {
    await api.send('DELETE', `${paths.sessions}/${id}`)
    if (current) return check()
    setSaid('That session has ended.')
    return reload()
  }
  const endOthers = async () => {
    const { ended } = await api.send<OthersEnded>('DELETE', paths.sessions)
    setSaid(ended === 1 ? 'One other session has ended.' : `${ended} other sessions have ended.`)
    reload()
  }
  const attempt = (work: Promise<void>) => {
    work.catch((error: unknown) => setSaid(error instanceof Error ? error.message : 'It failed.'))
  }
  const all = sessions.kind === 'ready' ? sessions.body.sessions : []

  return (
    <>
      <div className="card-head">
        <h1>Devices</h1>
        <button
          type="button"
          className="danger"
          disabled={all.length < 2}
          onClick={() => attempt(endOthers())}
        >
          End all others
        </button>
      </div>
      <p role="status" className="hint">
        {said}
      </p>
      {sessions.kind === 'loading' && <div className="skeleton tall" />}
      {sessions.kind === 'failed' && (
        <p className="failure" role="alert">
          {sessions.sentence}{' '}
          <button type="button" className="link" onClick={reload}>
            Try again
          </button>
        </p>
      )}
      <ul className="devices">
        {all.map((session) => (
          <li key={session.id} className="card">
            <div>
              <h2>
                {describeDevice(session.userAgent)}{' '}
                {session.current && <span className="status running">This one</span>}
              </h2>
              <p className="hint">
                {session.ip} · since{' '}
                <time dateTime={session.createdAt}>
                  {new Date(session.createdAt).toLocaleString()}
                </time>{' '}
                · last seen{' '}
                <time dateTime={session.lastSeenAt}>
                  {new Date(session.lastSeenAt).toLocaleTimeString()}
                </time>
              </p>
            </div>
            <button type="button" className="quiet" onClick={() => attempt(end(session))}>
              End
              <span className="visually-hidden">
                {' '}
                the session on {describeDevice(session.userAgent)}
              </span>
            </button>
          </li>
        ))}
      </ul>
    </>
  )
}

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

function describeDevice(userAgent: string): string {
  const named = (known: [RegExp, string][]) =>
    known.find(([expression]) => expression.test(userAgent))?.[1]
  const browser = named(browsers)
  return browser === undefined
    ? userAgent.slice(0, 40) || 'Unknown device'
    : `${browser} on ${named(systems) ?? 'an unknown system'}`
}
