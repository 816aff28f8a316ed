// `fetch` for pages of this origin: the csrf header for unsafe methods, one patient retry when the gate
// asks for it, and errors as classes. No token is known here, because none is needed.
import { csrfCookieNames, csrfHeader, type ErrorBody } from '../../../shared/contract.ts'

/** The answer was not a good one. `code` is the gate's, or `unknown` for an upstream's own errors. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number
  readonly code: string

  constructor(status: number, body: Partial<ErrorBody>) {
    super(body.error ?? `The answer was ${status}.`)
    this.status = status
    this.code = body.code ?? 'unknown'
  }
}

/** The session is over. The page stays as it is; the session provider shows what to do. */
export class SessionEndedError extends Error {
  override readonly name = 'SessionEndedError'
}

export interface Api {
  get: <Body>(path: string, signal?: AbortSignal) => Promise<Body>
  send: <Body>(
    method: 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    body?: unknown,
  ) => Promise<Body>
}

const longestWaitSeconds = 10

/** The value that proves an unsafe request to be ours. It is there as long as there is a session. */
export function readCsrfToken(): string | undefined {
  const names = Object.values(csrfCookieNames)
  for (const pair of document.cookie.split('; ')) {
    const [name = '', value = ''] = pair.split('=')
    if (names.some((known) => known === name)) return value
  }
  return undefined
}

/** `onUnauthenticated` is called when the gate says that there is no session (any more). */
export function createApi(onUnauthenticated: () => void): Api {
  const ask = async <Body>(path: string, init: RequestInit, isRetry = false): Promise<Body> => {
    const response = await fetch(path, init)
    if (response.ok) return (response.status === 204 ? undefined : await response.json()) as Body // as shared/ says
    if (response.status === 401) {
      onUnauthenticated()
      throw new SessionEndedError('Your session has ended.')
    }
    const waitSeconds = Number(response.headers.get('Retry-After'))
    if (
      response.status === 503 &&
      !isRetry &&
      waitSeconds > 0 &&
      waitSeconds <= longestWaitSeconds
    ) {
      await wait(waitSeconds * 1000, init.signal)
      return ask(path, init, true)
    }
    throw new ApiError(response.status, await readError(response))
  }

  return {
    get: (path, signal) => ask(path, signal ? { signal } : {}),
    send: (method, path, body) =>
      ask(path, {
        method,
        headers: {
          [csrfHeader]: readCsrfToken() ?? '',
          ...(body !== undefined && { 'Content-Type': 'application/json' }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      }),
  }
}

async function readError(response: Response): Promise<Partial<ErrorBody>> {
  if (!response.headers.get('Content-Type')?.includes('json')) return {}
  return (await response.json()) as Partial<ErrorBody> // each field is looked at before it is used
}

function wait(milliseconds: number, signal?: AbortSignal | null): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds)
    signal?.addEventListener('abort', () => {
      clearTimeout(timer)
      reject(new DOMException('given up', 'AbortError'))
    })
  })
}
