import { useEffect, useState } from 'react'
import { useSession } from './session/session.tsx'

/** How long until an instant, as a person would say it. */
export function Countdown({ until }: { until: string }) {
  const { now } = useSession()
  const [text, setText] = useState('')
  useEffect(() => {
    const tell = () => setText(describe(Date.parse(until) - now()))
    tell()
    const timer = setInterval(tell, 1000)
    return () => clearInterval(timer)
  }, [until, now])
  return (
    <time className="numbers" dateTime={until} title={new Date(until).toLocaleString()}>
      {text}
    </time>
  )
}

function describe(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000))
  if (seconds < 60) return `in ${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `in ${minutes} min ${seconds % 60} s`
  return `in ${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
