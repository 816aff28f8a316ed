// An upload that shows how far it is: XMLHttpRequest, because `fetch` does not tell.
import { useEffect, useRef, useState } from 'react'
import { csrfHeaders, SessionEndedError, toFailure } from './api.ts'
import { useSession } from './session.tsx'

export type UploadState<Body> =
  | { kind: 'idle' }
  | { kind: 'sending'; sentBytes: number; totalBytes: number }
  | { kind: 'done'; body: Body }
  | { kind: 'cancelled' }
  | { kind: 'failed'; message: string }

/** `Body` is what `shared/` says of the answer at `path`. */
export function useUpload<Body>(path: string): {
  state: UploadState<Body>
  start: (file: Blob) => void
  cancel: () => void
} {
  const { check } = useSession()
  const [state, setState] = useState<UploadState<Body>>({ kind: 'idle' })
  const running = useRef<XMLHttpRequest>(undefined)
  useEffect(() => () => running.current?.abort(), [])

  const start = (file: Blob) => {
    running.current?.abort()
    const request = new XMLHttpRequest()
    running.current = request
    const become = (next: UploadState<Body>) => running.current === request && setState(next)
    become({ kind: 'sending', sentBytes: 0, totalBytes: file.size })
    request.upload.addEventListener('progress', ({ loaded }) =>
      become({ kind: 'sending', sentBytes: loaded, totalBytes: file.size }),
    )
    request.addEventListener('abort', () => become({ kind: 'cancelled' }))
    request.addEventListener('error', () =>
      become({ kind: 'failed', message: 'The connection broke on the way.' }),
    )
    request.addEventListener('load', () => {
      if (request.status >= 200 && request.status < 300) {
        become({ kind: 'done', body: JSON.parse(request.responseText) as Body }) // as shared/ says
        return
      }
      const contentType = request.getResponseHeader('Content-Type')
      const failure = toFailure(request.status, contentType, request.responseText)
      if (failure instanceof SessionEndedError) void check()
      become({ kind: 'failed', message: failure.message })
    })
    request.open('POST', path)
    for (const [name, value] of Object.entries(csrfHeaders())) request.setRequestHeader(name, value)
    request.setRequestHeader('Content-Type', 'application/octet-stream')
    request.send(file)
  }

  return { state, start, cancel: () => running.current?.abort() }
}
