// What the session says to a person: it will end soon, or it has.
import { useEffect, useRef } from 'react'
import type { EndReason } from '../../../shared/contract.ts'
import { useIdleWarning } from '../session/idle.ts'
import { useSession } from '../session/session.tsx'
import { describeSeconds } from './times.tsx'

/** A minute before the end: a quiet question. Typing or clicking before that has kept the session already. */
export function IdleDialog() {
  const warning = useIdleWarning()
  const { stay, logIn, logOut } = useSession()
  const dialog = useRef<HTMLDialogElement>(null)
  const isShown = warning !== undefined

  useEffect(() => {
    if (isShown) dialog.current?.showModal()
    else dialog.current?.close()
  }, [isShown])

  const keep = () => {
    stay().catch(() => undefined) // the countdown goes on, and in the end the notice says that it has ended
  }
  return (
    <dialog
      ref={dialog}
      className="dialog"
      aria-labelledby="idle-title"
      aria-describedby="idle-text"
      onCancel={(event) => {
        event.preventDefault()
        if (!warning?.isFinal) keep()
      }}
    >
      {warning && (
        <>
          <p className="numbers countdown" role="timer">
            {describeSeconds(warning.secondsLeft)}
          </p>
          <h2 id="idle-title">
            {warning.isFinal ? 'Your session ends soon' : 'Are you still there?'}
          </h2>
          <p id="idle-text">
            {warning.isFinal
              ? 'It has reached its longest time. Log in again now, and you are back at this place with what you typed.'
              : 'Nothing has happened here for a while, so you will be logged out.'}
          </p>
          <div className="row">
            <button
              type="button"
              className="button primary"
              onClick={warning.isFinal ? () => logIn() : keep}
            >
              {warning.isFinal ? 'Log in again' : 'Stay logged in'}
            </button>
            <button
              type="button"
              className="button"
              onClick={() => void logOut().catch(() => undefined)}
            >
              Log out
            </button>
          </div>
        </>
      )}
    </dialog>
  )
}

const endings: Record<EndReason, string> = {
  logout: 'You have logged out.',
  revoked: 'Your session was ended from another device.',
  replaced: 'You have logged in anew in this browser.',
  expired: 'Your session has ended: its time was over.',
  grant_ended: 'The login service has ended your session.',
  backchannel_logout: 'You were logged out at the login service.',
}

/** The page stays as it was, with what was typed and where the cursor was; one click comes back to it. */
export function EndedNotice() {
  const { state, logIn } = useSession()
  return (
    <div className="ended" role="alert">
      {state.kind === 'ended' && (
        <div className="ended-notice">
          <p>
            <strong>{endings[state.reason]}</strong> What you typed is still here.
          </p>
          <button type="button" className="button primary" onClick={() => logIn()}>
            Log in again
          </button>
        </div>
      )}
    </div>
  )
}
