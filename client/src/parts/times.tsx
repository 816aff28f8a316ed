// Instants as people say them.
import { useEffect, useState } from 'react'
import { useSession } from '../session/session.tsx'

const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' })
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto', style: 'short' })

/** The gate's time, again each `everyMs`. */
function useNow(everyMs: number): number {
  const { now } = useSession()
  const [nowMs, setNowMs] = useState(now)
  useEffect(() => {
    const timer = setInterval(() => setNowMs(now()), everyMs)
    return () => clearInterval(timer)
  }, [everyMs, now])
  return nowMs
}

/** How long until an instant: `59 min 12 s`; `after` once it has passed. */
export function Countdown({ until, after }: { until: string; after: string }) {
  const leftSeconds = Math.ceil((Date.parse(until) - useNow(1000)) / 1000)
  return (
    <time className="numbers" dateTime={until} title={dateTime.format(new Date(until))}>
      {leftSeconds > 0 ? describeSeconds(leftSeconds) : after}
    </time>
  )
}

/** How long ago an instant is. */
export function Ago({ at }: { at: string }) {
  const seconds = Math.round((Date.parse(at) - useNow(10_000)) / 1000)
  return (
    <time dateTime={at} title={dateTime.format(new Date(at))}>
      {describeAgo(Math.min(0, seconds))}
    </time>
  )
}

export function Instant({ at }: { at: string }) {
  return <time dateTime={at}>{dateTime.format(new Date(at))}</time>
}

export function describeSeconds(seconds: number): string {
  const minutes = Math.floor(seconds / 60)
  const hours = Math.floor(minutes / 60)
  if (hours > 0) return `${hours} h ${minutes % 60} min`
  return minutes > 0 ? `${minutes} min ${String(seconds % 60).padStart(2, '0')} s` : `${seconds} s`
}

function describeAgo(seconds: number): string {
  if (seconds > -20) return 'just now'
  if (seconds > -90) return relative.format(Math.round(seconds), 'second')
  if (seconds > -5400) return relative.format(Math.round(seconds / 60), 'minute')
  if (seconds > -129_600) return relative.format(Math.round(seconds / 3600), 'hour')
  return relative.format(Math.round(seconds / 86_400), 'day')
}
