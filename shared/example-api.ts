// What the example API answers; the client shows it. Yours goes in its place.

export interface Item {
  id: string
  name: string
  status: 'running' | 'waiting' | 'failed'
  owner: string
  /** ISO 8601 */
  updatedAt: string
}

export interface Items {
  items: Item[]
}

/** `GET /api/whoami`: the claims of the access token, as the API saw them. */
export interface WhoAmI {
  sub: string
  claims: Record<string, unknown>
}

/** `POST /api/echo` */
export interface Echo {
  length: number
  sha256: string
}

/** An event of `GET /api/stream?count=`; the last one has `done`. */
export interface StreamEvent {
  index: number
  count: number
  text: string
  done: boolean
}

/** What the WebSocket `/api/ws` sends each second (or `?rate=` times a second). */
export interface Tick {
  type: 'tick'
  index: number
  /** ISO 8601 */
  at: string
  /** Something worth a chart, from 0 to 100. */
  value: number
}
