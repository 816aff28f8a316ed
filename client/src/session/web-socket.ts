// A WebSocket that comes back: with growing, random waits, so that a thousand pages do not knock at
// once after a deploy. When the session has ended it stays closed.
import { useEffect, useRef, useState } from 'react'
import { closeCodes } from '../../../shared/contract.ts'
import { useSession } from './session.tsx'

export type ConnectionState = 'connecting' | 'open' | 'waiting' | 'ended'

const firstWaitMs = 500
const longestWaitMs = 30_000

/** Connects while the component is there. `onMessage` gets each text message. */
export function useWebSocket(
  path: string,
  onMessage: (text: string) => void,
): { state: ConnectionState; send: (text: string) => void } {
  const { check, state: session } = useSession()
  const [state, setState] = useState<ConnectionState>('connecting')
  const socket = useRef<WebSocket>(undefined)
  const handler = useRef(onMessage)
  useEffect(() => {
    handler.current = onMessage
  })
  const isAllowed = session.kind === 'loggedIn'

  useEffect(() => {
    if (!isAllowed) return undefined
    let timer: ReturnType<typeof setTimeout> | undefined
    let failures = 0
    let isOver = false

    const connect = () => {
      setState('connecting')
      const opened = new WebSocket(path)
      socket.current = opened
      opened.onopen = () => {
        failures = 0
        setState('open')
      }
      opened.onmessage = ({ data }) => {
        if (typeof data === 'string') handler.current(data)
      }
      opened.onclose = ({ code }) => {
        if (isOver) return
        if (code === closeCodes.sessionEnded) {
          setState('ended')
          void check()
          return
        }
        setState('waiting')
        failures += 1
        if (failures % 3 === 0) void check() // a refusal looks like any failure: it may be the session
        timer = setTimeout(
          connect,
          Math.random() * Math.min(firstWaitMs * 2 ** failures, longestWaitMs),
        )
      }
    }
    connect()
    return () => {
      isOver = true
      clearTimeout(timer)
      socket.current?.close(1000)
    }
  }, [path, isAllowed, check])

  return {
    state,
    send: (text) => socket.current?.readyState === WebSocket.OPEN && socket.current.send(text),
  }
}
