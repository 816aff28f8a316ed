// What the session says to a person: it will end soon, or it has.
import { useEffect, useRef } from 'react'
import type { EndReason } from '../../shared/contract.ts'
import { useIdleWarning } from './session/idle.ts'
import { useSession } from './session/session.tsx'

/** A minute before the end: a quiet question. Any typing or clicking before that has kept the session already. */
export function IdleDialog() {
  const secondsLeft = useIdleWarning()
  const { stay, logOut } = useSession()
  const dialog = useRef<HTMLDialogElement>(null)
  const isShown = secondsLeft !== undefined

  useEffect(() => {
    if (isShown) dialog.current?.showModal()
    else dialog.current?.close()
  }, [isShown])

  const keep = () => {
    stay().catch(() => undefined) // when it has ended, the notice says so
  }
  return (
    <dialog ref={dialog} aria-labelledby="idle-title" onCancel={keep}>
      <h2 id="idle-title">Are you still there?</h2>
      <p>
        You will be logged out in{' '}
        <strong className="numbers">{secondsLeft === undefined ? '' : `${secondsLeft} s`}</strong>,
        because nothing has happened here for a while.
      </p>
      <div className="row">
        <button type="button" onClick={keep}>
          Stay logged in
        </button>
        <button type="button" className="quiet" onClick={() => void logOut()}>
          Log out
        </button>
      </div>
    </dialog>
  )
}

const endings: Record<EndReason, string> = {
  logout: 'You have logged out.',
  revoked: 'Your session was ended from another device.',
  replaced: 'You have logged in anew elsewhere in this browser.',
  expired: 'Your session has ended, because nothing happened for a while.',
  grant_ended: 'The login service has ended your session.',
  backchannel_logout: 'You have logged out at the login service.',
}

/** The page stays as it was, with what was typed; one click comes back to it. */
export function EndedNotice() {
  const { state, logIn } = useSession()
  if (state.kind !== 'ended') return null
  return (
    <div className="notice" role="alert">
      <p>{endings[state.reason]} What you see is still here.</p>
      <button type="button" onClick={() => logIn()}>
        Log in again
      </button>
    </div>
  )
}
