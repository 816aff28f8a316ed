// Data of a page: loads, says how it is, and comes back by itself when the API does.
import { useCallback, useEffect, useRef, useState } from 'react'
import { ApiError, SessionEndedError, UnreachableError } from './api.ts'
import { useSession, useSessionKey } from './session.tsx'

export interface Loaded<Body> {
  /** The last good answer, also while a newer one is on its way or fails to come. */
  body: Body | undefined
  isLoading: boolean
  failure: Error | undefined
  reload: () => void
}

const mostTries = 8 // then the person decides: a page that nobody looks at must not knock for ever

/** `Body` is what `shared/` says of `path`. */
export function useLoaded<Body>(path: string): Loaded<Body> {
  const { api } = useSession()
  const sessionKey = useSessionKey()
  const [loaded, setLoaded] = useState<Omit<Loaded<Body>, 'reload'>>({
    body: undefined,
    isLoading: true,
    failure: undefined,
  })
  const stopLast = useRef<() => void>(undefined)

  const load = useCallback(() => {
    stopLast.current?.()
    const given = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    stopLast.current = () => {
      given.abort()
      clearTimeout(timer)
    }
    const attempt = async (tries: number) => {
      setLoaded((before) => ({ ...before, isLoading: true }))
      try {
        const body = await api.get<Body>(path, given.signal)
        if (!given.signal.aborted) setLoaded({ body, isLoading: false, failure: undefined })
      } catch (error) {
        if (given.signal.aborted) return
        if (!isExpected(error)) throw error
        setLoaded((before) => ({ ...before, isLoading: false, failure: error }))
        const comesBack =
          error instanceof UnreachableError || (error instanceof ApiError && error.status > 500)
        if (comesBack && tries < mostTries)
          timer = setTimeout(() => void attempt(tries + 1), Math.min(1000 * 2 ** tries, 30_000))
      }
    }
    void attempt(0)
  }, [api, path])

  useEffect(() => {
    if (sessionKey === undefined) return undefined // what is there stays on the page
    load()
    return () => stopLast.current?.()
  }, [load, sessionKey])

  return { ...loaded, reload: load }
}

const isExpected = (error: unknown): error is Error =>
  error instanceof ApiError ||
  error instanceof UnreachableError ||
  error instanceof SessionEndedError
