import type { Clock } from '../../server/clock.ts'

export interface TestClock extends Clock {
  advance: (seconds: number) => void
}

/** The real time, shifted by what a test advances it. */
export function createClock(): TestClock {
  let shiftMs = 0
  return {
    now: () => new Date(Date.now() + shiftMs),
    advance: (seconds) => {
      shiftMs += seconds * 1000
    },
  }
}
