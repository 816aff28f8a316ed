import { useRef, useState } from 'react'
import { csrfHeader } from '../../../../shared/contract.ts'
import type { Echo } from '../../../../shared/example-api.ts'
import { readCsrfToken } from '../../session/api.ts'
import { useSession } from '../../session/session.tsx'

type State =
  | { kind: 'idle' }
  | { kind: 'sending'; share: number }
  | { kind: 'sent'; echo: Echo }
  | { kind: 'cancelled' }
  | { kind: 'failed' }

/** A file through the gate, as a stream; an XMLHttpRequest, because `fetch` tells nothing of what was sent. */
export function Upload() {
  const { check } = useSession()
  const [state, setState] = useState<State>({ kind: 'idle' })
  const sending = useRef<XMLHttpRequest>(undefined)

  const send = (file: File) => {
    const request = new XMLHttpRequest()
    sending.current = request
    request.open('POST', '/api/echo')
    request.setRequestHeader(csrfHeader, readCsrfToken() ?? '')
    request.upload.onprogress = ({ loaded, total }) =>
      setState({ kind: 'sending', share: loaded / total })
    request.onabort = () => setState({ kind: 'cancelled' })
    request.onerror = () => setState({ kind: 'failed' })
    request.onload = () => {
      if (request.status === 401) void check()
      setState(
        request.status === 200
          ? { kind: 'sent', echo: JSON.parse(request.responseText) as Echo }
          : { kind: 'failed' },
      )
    }
    setState({ kind: 'sending', share: 0 })
    request.send(file)
  }

  return (
    <section className="card" aria-labelledby="upload-title">
      <div className="card-head">
        <h2 id="upload-title">Upload</h2>
        {state.kind === 'sending' && (
          <button type="button" className="quiet" onClick={() => sending.current?.abort()}>
            Cancel
          </button>
        )}
      </div>
      <label className="file">
        <span>Choose a file: the API counts and hashes it, and keeps nothing.</span>
        <input
          type="file"
          onChange={({ target }) => {
            const [file] = target.files ?? []
            if (file) send(file)
            target.value = ''
          }}
        />
      </label>
      <progress
        max={1}
        value={state.kind === 'sending' ? state.share : state.kind === 'sent' ? 1 : 0}
        aria-label="How much has been sent"
      />
      <p className="hint" role="status">
        {state.kind === 'sent' && (
          <>
            {state.echo.length.toLocaleString()} bytes, SHA-256{' '}
            <code>{state.echo.sha256.slice(0, 16)}…</code>
          </>
        )}
        {state.kind === 'cancelled' && 'Cancelled.'}
        {state.kind === 'failed' && 'It did not arrive. Please try again.'}
      </p>
    </section>
  )
}
