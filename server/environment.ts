// Reads environment variables one by one and remembers every fault, so that an operator mends them
// all at once. It knows how to read, not what is read: the variables are in configuration.ts.

/** One faulty variable: its name, what is wrong with it, and a value that would do. */
interface ConfigurationFault {
  name: string
  problem: string
  example: string
}

/** Every faulty variable of a start. `main.ts` prints one line for each and exits with 78. */
export class ConfigurationFaults extends Error {
  override readonly name = 'ConfigurationFaults'

  constructor(faults: readonly ConfigurationFault[]) {
    super(
      faults
        .map(({ name, problem, example }) => `${name}: ${problem}, for example ${name}=${example}`)
        .join('\n'),
    )
  }
}

/** Thrown by a parser with the end of the sentence "APP_URL …". */
export class InvalidValue extends Error {
  override readonly name = 'InvalidValue'
}

export type Environment = Readonly<Record<string, string | undefined>>

export type EnvironmentReader = ReturnType<typeof createEnvironmentReader>

export function createEnvironmentReader(environment: Environment) {
  const faults: ConfigurationFault[] = []

  /** Notes a fault; the first of a variable counts. Also for what only a look at several can find. */
  const fault = (name: string, problem: string, example: string) => {
    if (!faults.some((known) => known.name === name)) faults.push({ name, problem, example })
  }

  /** The value as `parse` gives it, `undefined` when unset, empty or faulty. */
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

  /** As `readOptional`, with a `fallback`; a fault when there is neither. */
  const read = <Value>(
    name: string,
    example: string,
    parse: (text: string) => Value,
    fallback?: Value,
  ) => {
    const value = readOptional(name, example, parse) ?? fallback
    if (value === undefined) fault(name, 'is missing', example)
    return value as Value // a missing one is a fault, and throwFaults runs before anyone can use it
  }

  /** A count from `least` to `most`; the fallback is the example, too. */
  const readInteger = (name: string, fallback: number, unit: string, least: number, most: number) =>
    read(name, String(fallback), parseInteger(unit, least, most), fallback)

  const isSet = (name: string) => Boolean(environment[name]?.trim())

  /** Throws all faults, if there is one. To be called after everything was read. */
  const throwFaults = () => {
    if (faults.length > 0) throw new ConfigurationFaults(faults)
  }

  return { read, readOptional, readInteger, isSet, fault, throwFaults }
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

function parseInteger(unit: string, minimum: number, maximum: number) {
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
