// The idle end, from the person's side: typing and clicking keep the session, and a minute before it
// would end they are asked.
import { useEffect, useState } from 'react'
import { useSession } from './session.tsx'

export interface IdleWarning {
  secondsLeft: number
  /** Nothing that the person does can move this end. */
  isFinal: boolean
}

const longestWarningMs = 60_000
const keepAtMostEveryMs = 60_000

/** There when it is time to ask the person. */
export function useIdleWarning(): IdleWarning | undefined {
  const { state, now, check, stay } = useSession()
  const [secondsLeft, setSecondsLeft] = useState<number>()
  const times = state.kind === 'loggedIn' ? state.me.session : undefined
  const endsAtMs = times && Date.parse(times.idleExpiresAt)
  const isFinal = times !== undefined && times.idleExpiresAt === times.expiresAt
  const isWarning = secondsLeft !== undefined

  useEffect(() => {
    setSecondsLeft(undefined)
    if (endsAtMs === undefined) return undefined
    // Of a very short session the last half is enough.
    const warnBeforeMs = Math.min(longestWarningMs, (endsAtMs - now()) / 2)
    let hasAsked = false
    const look = () => {
      const leftMs = endsAtMs - now()
      if (leftMs > warnBeforeMs) return
      // Requests of this and of other tabs may have moved the end since we heard of it.
      if (!hasAsked || leftMs <= 0) void check()
      hasAsked = true
      setSecondsLeft(Math.max(0, Math.ceil(leftMs / 1000)))
    }
    const timer = setInterval(look, 1000)
    return () => clearInterval(timer)
  }, [endsAtMs, now, check])

  useEffect(() => {
    // Once they are asked, only the answer counts.
    if (endsAtMs === undefined || isFinal || isWarning) return undefined
    const gapMs = Math.min(keepAtMostEveryMs, Math.max(1000, (endsAtMs - now()) / 4))
    let keptAtMs = now()
    const keep = () => {
      if (now() - keptAtMs < gapMs) return
      keptAtMs = now()
      stay().catch(() => undefined) // away for a moment: the next key press tries again
    }
    addEventListener('keydown', keep)
    addEventListener('pointerdown', keep)
    return () => {
      removeEventListener('keydown', keep)
      removeEventListener('pointerdown', keep)
    }
  }, [endsAtMs, isFinal, isWarning, now, stay])

  return secondsLeft === undefined ? undefined : { secondsLeft, isFinal }
}
