// A WebSocket that comes back, with growing, random waits. When the session has ended it stays closed
// until there is another one.
import { useCallback, useEffect, useEffectEvent, useRef, useState } from 'react'
import { closeCodes, endReasons, type EndReason } from '../../../shared/contract.ts'
import { useSession, useSessionKey } from './session.tsx'
import { jitter } from './tabs.ts'

export type ConnectionState = 'connecting' | 'open' | 'waiting' | 'ended'

/** Connects while the component is there. `onMessage` gets each text message. */
export function useWebSocket(
  path: string,
  onMessage: (text: string) => void,
): { state: ConnectionState; send: (text: string) => void } {
  const { check, hearEnd } = useSession()
  const sessionKey = useSessionKey()
  const [state, setState] = useState<ConnectionState>('connecting')
  const socket = useRef<WebSocket>(undefined)
  const receive = useEffectEvent(onMessage)

  useEffect(() => {
    if (sessionKey === undefined) {
      setState('ended')
      return undefined
    }
    let failures = 0
    let isOver = false

    const connect = () => {
      setState('connecting')
      const opened = new WebSocket(path)
      socket.current = opened
      opened.addEventListener('open', () => {
        failures = 0
        setState('open')
      })
      opened.addEventListener('message', ({ data }) => {
        if (typeof data === 'string' && !isOver) receive(data)
      })
      opened.addEventListener('close', ({ code, reason }) => {
        if (isOver) return
        if (code === closeCodes.sessionEnded) {
          setState('ended')
          hearEnd(parseReason(reason))
          return
        }
        setState('waiting')
        failures += 1
        // A refused handshake looks like any failure from here: it may be the session.
        if (failures % 3 === 0) void check()
        timer = setTimeout(connect, jitter(failures))
      })
    }
    let timer = setTimeout(connect, 0)
    return () => {
      isOver = true
      clearTimeout(timer)
      socket.current?.close(1000)
    }
  }, [path, sessionKey, check, hearEnd])

  const send = useCallback((text: string) => {
    if (socket.current?.readyState === WebSocket.OPEN) socket.current.send(text)
  }, [])
  return { state, send }
}

const parseReason = (text: string): EndReason =>
  endReasons.find((reason) => reason === text) ?? 'expired'
