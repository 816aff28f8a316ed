import { setTimeout as delay } from 'node:timers/promises'

/** Waits for a condition; what it gives is returned. The message says what was waited for. The only place that polls. */
export async function until<Result>(
  what: string,
  condition: () => Result | Promise<Result>,
  timeoutMs = 5000,
): Promise<NonNullable<Exclude<Result, false>>> {
  const giveUpAt = performance.now() + timeoutMs
  for (;;) {
    const result = await condition()
    // Neither of the two that are excluded: they are falsy.
    if (result) return result as NonNullable<Exclude<Result, false>>
    if (performance.now() > giveUpAt) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`)
    await delay(10)
  }
}
