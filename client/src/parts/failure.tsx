import { SessionEndedError } from '../session/api.ts'

/** What went wrong, and the way to ask again. */
export function Failure({ failure, onRetry }: { failure: Error; onRetry: () => void }) {
  if (failure instanceof SessionEndedError) return null // the notice above the page says it
  return (
    <div className="failure" role="alert">
      <p>{failure.message}</p>
      <button type="button" className="button" onClick={onRetry}>
        Try again
      </button>
    </div>
  )
}
