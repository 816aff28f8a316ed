// What the generator can be told to do, and what it answers: the messages between the bench and the
// process that makes the load.

/** Requests that each connection sends one after the other. */
export interface Requests {
  port: number
  path: string
  /** Raw header lines, one list for each kind of request; the connections take turns over them. */
  headers: readonly (readonly string[])[]
  connections: number
}

export type Order =
  /** As many as possible for so long, or until each list of headers was sent once. */
  | ({ kind: 'loop'; durationMs: number; onceEach?: boolean } & Requests)
  /** At an even pace; the connections are as many as may be under way at once. */
  | ({ kind: 'paced'; perSecond: number; durationMs: number } & Requests)
  /** All at once, each on a connection of its own that was open before, over the ports in turn. */
  | {
      kind: 'burst'
      ports: readonly number[]
      path: string
      headers: readonly string[]
      count: number
    }
  /** Messages there and back, `window` of them under way on each socket. */
  | ({ kind: 'echo'; window: number; durationMs: number } & Requests)
  /** Sockets that stay open and say nothing, until `release`. */
  | ({ kind: 'hold' } & Requests)
  | { kind: 'release' }

export interface Outcome {
  count: number
  /** Answers other than 200, and broken connections. */
  failed: number
  seconds: number
  p50Ms: number
  p99Ms: number
}
