// What was just read from the database, for a moment: a least-recently-used map bounded in bytes.
// Its owner forgets an entry when another process says so, and everything when nobody could say it.

export interface Cache<Key, Value> {
  find: (key: Key) => Value | undefined
  /** `bytes` is an estimate of what the entry keeps alive. */
  keep: (key: Key, value: Value, bytes: number) => void
  forget: (key: Key) => void
  forgetAll: () => void
  /** The sum of the estimates. */
  bytes: () => number
}

/** `onForgotten` is told of whatever leaves, for whatever reason. */
export function createCache<Key, Value>(
  maximumBytes: number,
  onForgotten: (value: Value) => void = () => {},
): Cache<Key, Value> {
  // A Map remembers the order of insertion; what is used is inserted anew, so the first is the oldest.
  const entries = new Map<Key, { value: Value; bytes: number; usedIn: number }>()
  let total = 0
  let generation = 0

  const forget = (key: Key) => {
    const entry = entries.get(key)
    if (!entry) return
    total -= entry.bytes
    entries.delete(key)
    onForgotten(entry.value)
  }

  return {
    find: (key) => {
      const entry = entries.get(key)
      if (!entry) return undefined
      // Moved only when others came in since: a busy session among few is not moved at each request.
      if (entry.usedIn !== generation) {
        entry.usedIn = generation
        entries.delete(key)
        entries.set(key, entry)
      }
      return entry.value
    },
    keep: (key, value, bytes) => {
      forget(key)
      generation += 1
      entries.set(key, { value, bytes, usedIn: generation })
      total += bytes
      for (const oldest of entries.keys()) {
        if (total <= maximumBytes) break
        forget(oldest)
      }
    },
    forget,
    forgetAll: () => {
      for (const key of entries.keys()) forget(key)
    },
    bytes: () => total,
  }
}
