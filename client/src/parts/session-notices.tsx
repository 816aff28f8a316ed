// What the session says to a person: it will end soon, or it has.
import { useEffect, useRef } from 'react'
import type { EndReason } from '../../../shared/contract.ts'
import { useIdleWarning } from '../session/idle.ts'
import { useSession } from '../session/session.tsx'
import { describeSeconds } from './times.tsx'

/** What the session has to say over whatever page is open. */
export function SessionNotices() {
  const warning = useIdleWarning()
  return (
    <>
      <IdleDialog secondsLeft={warning?.isFinal === false ? warning.secondsLeft : undefined} />
      <EndNotice finalSeconds={warning?.isFinal === true ? warning.secondsLeft : undefined} />
    </>
  )
}

/** A minute before the idle end: a quiet question. Typing or clicking before that has kept the session already. */
function IdleDialog({ secondsLeft }: { secondsLeft: number | undefined }) {
  const { stay, logOut } = useSession()
  const dialog = useRef<HTMLDialogElement>(null)
  const isShown = secondsLeft !== undefined

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
        keep()
      }}
    >
      {isShown && (
        <>
          <p className="numbers countdown" role="timer">
            {describeSeconds(secondsLeft)}
          </p>
          <h2 id="idle-title">Are you still there?</h2>
          <p id="idle-text">Nothing has happened here for a while, so you will be logged out.</p>
          <div className="row">
            <button type="button" className="button primary" onClick={keep}>
              Stay logged in
            </button>
            <button
              type="button"
              className="button"
              onClick={() => {
                logOut().catch(() => undefined) // as above: the end comes by itself
              }}
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

/**
 * The page stays as it was, with what was typed and where the cursor was; one click comes back to it. The
 * same before an end that nothing can move: whoever is typing then must not be stopped by a question.
 */
function EndNotice({ finalSeconds }: { finalSeconds: number | undefined }) {
  const { state, logIn } = useSession()
  const isEnded = state.kind === 'ended'
  const isShown = isEnded || finalSeconds !== undefined
  return (
    <div className={isShown ? 'end-notice' : undefined}>
      <p role="alert">
        {isEnded && (
          <>
            <strong>{endings[state.reason]}</strong> What you typed is still here.
          </>
        )}
        {finalSeconds !== undefined && (
          <>
            <strong>Your session is about to reach its longest time.</strong> Log in again, and you
            are back here with what you typed.
          </>
        )}
      </p>
      {finalSeconds !== undefined && (
        <span className="numbers" role="timer">
          {describeSeconds(finalSeconds)}
        </span>
      )}
      {isShown && (
        <button type="button" className="button primary" onClick={() => logIn()}>
          Log in again
        </button>
      )}
    </div>
  )
}
