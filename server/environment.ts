// Reads environment variables one by one and remembers every fault, so that an operator mends them
// all at once. It knows how to read, not what is read: the variables are in configuration.ts.

/** One faulty variable: its name, what is wrong with it, and a value that would do. */
export interface ConfigurationFault {
  name: string
  problem: string
  example: string
}

/** Every faulty variable of a start. `main.ts` prints one line for each and exits with 78. */
export class ConfigurationFaults extends Error {
  override readonly name = 'ConfigurationFaults'
  readonly faults: readonly ConfigurationFault[]

  constructor(faults: readonly ConfigurationFault[]) {
    super(
      faults
        .map(({ name, problem, example }) => `${name}: ${problem}, for example ${name}=${example}`)
        .join('\n'),
    )
    this.faults = faults
  }
}

/** Thrown by a parser with the end of the sentence "APP_URL …". */
export class InvalidValue extends Error {
  override readonly name = 'InvalidValue'
}

export type Environment = Readonly<Record<string, string | undefined>>

export interface EnvironmentReader {
  /** The value as `parse` gives it, `fallback` when unset or empty, and a fault when there is neither. */
  read: <Value>(
    name: string,
    example: string,
    parse: (text: string) => Value,
    fallback?: Value,
  ) => Value
  /** As `read`, but `undefined` when unset or empty. */
  readOptional: <Value>(
    name: string,
    example: string,
    parse: (text: string) => Value,
  ) => Value | undefined
  isSet: (name: string) => boolean
  /** Notes a fault that only a look at several variables can find. */
  fault: (name: string, problem: string, example: string) => void
  /** Throws all faults, if there is one. To be called after everything was read. */
  throwFaults: () => void
}

export function createEnvironmentReader(environment: Environment): EnvironmentReader {
  const faults: ConfigurationFault[] = []

  const fault = (name: string, problem: string, example: string) => {
    if (!faults.some((known) => known.name === name)) faults.push({ name, problem, example })
  }

  const readOptional = <Value>(name: string, example: string, parse: (text: string) => Value) => {
    const text = environment[name]?.trim()
    if (!text) return undefined
    try {
      return parse(text)
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error
      fault(name, error.message, example)
      return undefined
    }
  }

  return {
    fault,
    readOptional,
    isSet: (name) => Boolean(environment[name]?.trim()),
    read: <Value>(
      name: string,
      example: string,
      parse: (text: string) => Value,
      fallback?: Value,
    ) => {
      const value = readOptional(name, example, parse) ?? fallback
      if (value === undefined) fault(name, 'is missing', example)
      // A missing value is a fault, and throwFaults runs before anyone can use it.
      return value as Value
    },
    throwFaults: () => {
      if (faults.length > 0) throw new ConfigurationFaults(faults)
    },
  }
}

export function parseText(text: string): string {
  return text
}

export function parseChoice<Choice extends string>(...choices: Choice[]) {
  return (text: string): Choice => {
    const choice = choices.find((known) => known === text)
    if (choice === undefined) throw new InvalidValue(`must be one of ${choices.join(', ')}`)
    return choice
  }
}

export function parseInteger(unit: string, minimum: number, maximum: number) {
  return (text: string): number => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
    if (!(value >= minimum && value <= maximum)) {
      throw new InvalidValue(`must be a whole number of ${unit} from ${minimum} to ${maximum}`)
    }
    return value
  }
}

export function parseList<Item>(parseItem: (text: string) => Item) {
  return (text: string): Item[] =>
    text
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '')
      .map(parseItem)
}

export function parseHttpUrl(text: string): URL {
  const url = URL.parse(text)
  if (!url || !/^https?:$/.test(url.protocol))
    throw new InvalidValue('must be an http or https URL')
  if (url.username || url.password)
    throw new InvalidValue('must not hold a user name or a password')
  return url
}

/** An exact web origin: scheme, host and port, with or without a last slash. */
export function parseOrigin(text: string): string {
  const url = parseHttpUrl(text)
  if (url.pathname !== '/' || url.search || url.hash || /[?#]$/.test(text)) {
    throw new InvalidValue('must be scheme, host and port alone')
  }
  return url.origin
}

/** Whether a URL's host can only be this machine (so that http gives nothing away). */
export function isLoopback(url: URL): boolean {
  return /^(localhost|.+\.localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(url.hostname)
}
