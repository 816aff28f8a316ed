import { useCallback, useEffect, useState } from 'react'
import { SessionEndedError } from './session/api.ts'
import { useSession } from './session/session.tsx'

export type Resource<Body> =
  | { kind: 'loading' }
  | { kind: 'ready'; body: Body }
  | { kind: 'failed'; sentence: string }

/** What `GET path` answers, and the way to ask again. */
export function useResource<Body>(path: string): [Resource<Body>, () => void] {
  const { api } = useSession()
  const [resource, setResource] = useState<Resource<Body>>({ kind: 'loading' })
  const [times, setTimes] = useState(0)

  useEffect(() => {
    const left = new AbortController()
    api.get<Body>(path, left.signal).then(
      (body) => setResource({ kind: 'ready', body }),
      (error: unknown) => {
        if (left.signal.aborted || error instanceof SessionEndedError) return
        const isOffline = error instanceof TypeError
        const sentence = isOffline
          ? 'There is no connection.'
          : error instanceof Error
            ? error.message
            : 'It failed.'
        setResource({ kind: 'failed', sentence })
      },
    )
    return () => left.abort()
  }, [api, path, times])

  return [resource, useCallback(() => setTimes((before) => before + 1), [])]
}
