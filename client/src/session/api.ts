// `fetch` for pages of this origin: the csrf header for unsafe methods, one patient retry when the gate
// asks for it, and failures as classes. No token is known here, because none is needed.
import { csrfHeader, type ErrorBody } from '../../../shared/contract.ts'
import { findCsrfToken } from './csrf.ts'

/** The answer was not a good one. `code` is the gate's, or `unknown` for an upstream's own errors. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number
  readonly code: string
  readonly requestId: string | undefined

  constructor(status: number, body: Partial<ErrorBody>) {
    super(body.error ?? `The service answered with ${status}.`)
    this.status = status
    this.code = body.code ?? 'unknown'
    this.requestId = body.requestId
  }
}

/** The session is over. The page stays as it is; whoever shows the session offers to log in again. */
export class SessionEndedError extends Error {
  override readonly name = 'SessionEndedError'
}

/** There was no answer at all. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError'
}

export interface Api {
  /** `Body` is what `shared/` says of this path. Throws `ApiError`, `SessionEndedError`, `UnreachableError`. */
  get: <Body>(path: string, signal?: AbortSignal) => Promise<Body>
  send: <Body>(
    method: 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    body?: unknown,
  ) => Promise<Body>
  /** The answer itself, to be read as it comes. A 401 of the gate has been noted already. */
  open: (path: string, init?: RequestInit) => Promise<Response>
}

const longestWaitSeconds = 10

/** `onSessionEnded` is called when the gate says that there is no session (any more). */
export function createApi(onSessionEnded: () => void): Api {
  const ask = async (path: string, init: RequestInit, isRetry = false): Promise<Response> => {
    const response = await fetch(path, init).catch((error: unknown) => {
      if (!(error instanceof TypeError)) throw error // given up by the caller
      throw new UnreachableError('The server can’t be reached.', { cause: error })
    })
    if (response.ok) return response
    const waitSeconds = Number(response.headers.get('Retry-After'))
    const isWorthWaiting = waitSeconds > 0 && waitSeconds <= longestWaitSeconds
    if (response.status === 503 && !isRetry && isWorthWaiting) {
      await waitFor(waitSeconds * 1000, init.signal)
      return ask(path, init, true)
    }
    const failure = await readFailure(response)
    if (failure instanceof SessionEndedError) onSessionEnded()
    throw failure
  }

  return {
    open: (path, init = {}) => ask(path, init),
    get: async <Body>(path: string, signal?: AbortSignal) =>
      readBody<Body>(await ask(path, signal ? { signal } : {})),
    send: async <Body>(method: string, path: string, body?: unknown) =>
      readBody<Body>(
        await ask(path, {
          method,
          headers: {
            ...csrfHeaders(),
            ...(body !== undefined && { 'Content-Type': 'application/json' }),
          },
          ...(body !== undefined && { body: JSON.stringify(body) }),
        }),
      ),
  }
}

export const csrfHeaders = (): Record<string, string> => ({ [csrfHeader]: findCsrfToken() ?? '' })

/** What went wrong: an upstream's own 401 is not the end of our session. */
export function toFailure(
  status: number,
  contentType: string | null,
  text: string,
): ApiError | SessionEndedError {
  const body = contentType?.includes('json') ? parseErrorBody(text) : {}
  const isOurs = body.code === 'unauthenticated' || body.code === 'session_expired'
  return status === 401 && isOurs
    ? new SessionEndedError('Your session has ended.')
    : new ApiError(status, body)
}

async function readFailure(response: Response): Promise<ApiError | SessionEndedError> {
  return toFailure(response.status, response.headers.get('Content-Type'), await response.text())
}

function parseErrorBody(text: string): Partial<ErrorBody> {
  try {
    const body: unknown = JSON.parse(text)
    return typeof body === 'object' && body !== null ? pickErrorBody({ ...body }) : {}
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    return {} // an upstream that says JSON and sends something else
  }
}

function pickErrorBody(body: Record<string, unknown>): Partial<ErrorBody> {
  const { error, code, requestId } = body
  return {
    ...(typeof error === 'string' && { error }),
    ...(typeof code === 'string' && { code: code as ErrorBody['code'] }), // shown and compared, never switched on
    ...(typeof requestId === 'string' && { requestId }),
  }
}

async function readBody<Body>(response: Response): Promise<Body> {
  return (response.status === 204 ? undefined : await response.json()) as Body // as shared/ says
}

function waitFor(milliseconds: number, signal?: AbortSignal | null): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds)
    signal?.addEventListener('abort', () => {
      clearTimeout(timer)
      reject(new DOMException('given up', 'AbortError'))
    })
  })
}
