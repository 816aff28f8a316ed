import { useState } from 'react'
import type { Echo } from '../../../../shared/example-api.ts'
import { useUpload } from '../../session/upload.ts'

/** A file through the gate, as it is read: with progress, and a way to stop it. */
export function Upload() {
  const { state, start, cancel } = useUpload<Echo>('/api/echo')
  const [name, setName] = useState('')
  const isSending = state.kind === 'sending'

  const take = (files: FileList | null) => {
    const [file] = files ?? []
    if (!file) return
    setName(file.name)
    start(file)
  }

  return (
    <section className="card" data-panel="upload" aria-labelledby="upload-title">
      <div className="card-head">
        <h2 id="upload-title">Upload</h2>
        <button type="button" className="button" disabled={!isSending} onClick={cancel}>
          Cancel
        </button>
      </div>
      <label className="drop">
        <input
          type="file"
          disabled={isSending}
          onChange={({ target }) => {
            take(target.files)
            target.value = '' // the same file can be chosen again
          }}
        />
        <strong>Choose a file, or drop one here</strong>
        <span className="soft">The API counts and hashes it, and keeps nothing.</span>
      </label>
      <progress
        max={1}
        value={
          isSending
            ? state.sentBytes / Math.max(1, state.totalBytes)
            : state.kind === 'done'
              ? 1
              : 0
        }
        aria-label="How much has been sent"
      />
      <p className="hint upload-result" role="status">
        {isSending &&
          `${name}: ${describeBytes(state.sentBytes)} of ${describeBytes(state.totalBytes)}`}
        {state.kind === 'done' && (
          <>
            {name}: {describeBytes(state.body.length)}, SHA-256{' '}
            <code>{state.body.sha256.slice(0, 12)}…</code>
          </>
        )}
        {state.kind === 'cancelled' && 'Cancelled. Nothing was kept.'}
        {state.kind === 'failed' && (
          <span className="problem">It did not arrive. {state.message}</span>
        )}
      </p>
    </section>
  )
}

function describeBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`
  return bytes < 1_000_000
    ? `${(bytes / 1000).toFixed(1)} kB`
    : `${(bytes / 1_000_000).toFixed(1)} MB`
}
