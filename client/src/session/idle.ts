// The idle end, from the person's side: typing and clicking keep the session, and a minute before it
// would end they are asked.
import { useEffect, useState } from 'react'
import { useSession } from './session.tsx'

const warnBeforeMs = 60_000
const keepAtMostEveryMs = 60_000

/** The seconds left when it is time to ask the person, otherwise `undefined`. */
export function useIdleWarning(): number | undefined {
  const { state, now, check, stay } = useSession()
  const [secondsLeft, setSecondsLeft] = useState<number>()
  const endsAt = state.kind === 'loggedIn' ? Date.parse(state.me.session.idleExpiresAt) : undefined
  const isFinal =
    state.kind === 'loggedIn' && state.me.session.idleExpiresAt === state.me.session.expiresAt

  useEffect(() => {
    setSecondsLeft(undefined)
    if (endsAt === undefined) return undefined
    let asked = false
    const look = () => {
      const leftMs = endsAt - now()
      if (leftMs > warnBeforeMs) return
      // Requests of this and other tabs may have moved the end since we heard of it.
      if (!asked) {
        asked = true
        void check()
      } else if (leftMs <= 0) void check()
      setSecondsLeft(Math.max(0, Math.ceil(leftMs / 1000)))
    }
    const timer = setInterval(look, 1000)
    return () => clearInterval(timer)
  }, [endsAt, now, check])

  useEffect(() => {
    if (endsAt === undefined || isFinal) return undefined
    let keptAt = now()
    const gapMs = Math.min(keepAtMostEveryMs, Math.max(5000, (endsAt - keptAt) / 4))
    const onInput = () => {
      if (now() - keptAt < gapMs) return
      keptAt = now()
      stay().catch(() => undefined) // it will be seen to have ended, if it has
    }
    addEventListener('keydown', onInput)
    addEventListener('pointerdown', onInput)
    return () => {
      removeEventListener('keydown', onInput)
      removeEventListener('pointerdown', onInput)
    }
  }, [endsAt, isFinal, now, stay])

  return secondsLeft
}
