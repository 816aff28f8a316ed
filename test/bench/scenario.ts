// What a scenario is, how its figures look, and the arithmetic that several of them need.
import type { Stage } from './stage.ts'

export interface Figure {
  what: string
  value: string
  /** What it should be, and whether it is. */
  target?: { text: string; met: boolean }
}

export interface Scenario {
  name: string
  /** One sentence: what is measured, and how. */
  says: string
  run: (stage: Stage) => Promise<Figure[]>
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other)
  const middle = sorted.length / 2
  const upper = sorted[Math.floor(middle)] ?? Number.NaN
  return Number.isInteger(middle) ? (upper + (sorted[middle - 1] ?? Number.NaN)) / 2 : upper
}

export const atLeast = (value: number, least: number) => ({
  text: `≥ ${least}`,
  met: value >= least,
})

export const below = (value: number, limit: number, unit: string) => ({
  text: `< ${limit} ${unit}`,
  met: value < limit,
})

export const round = (value: number, digits = 0) => value.toFixed(digits)
export const megabytes = (bytes: number) => bytes / 1e6

/** A row of figures with the rounds' spread: a median alone hides a noisy machine. */
export function spread(values: readonly number[], digits = 2): string {
  return `${round(median(values), digits)} (rounds ${round(Math.min(...values), digits)} to ${round(Math.max(...values), digits)})`
}
