// Time as an argument, so that a test can move it. Instants are `Date`; nobody else asks the system.

export interface Clock {
  now: () => Date
}

export const systemClock: Clock = { now: () => new Date() }
