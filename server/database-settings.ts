// How the database is reached. Migrations need no more than this, the gate reads it among the rest.
import {
  createEnvironmentReader,
  InvalidValue,
  parseChoice,
  type Environment,
  type EnvironmentReader,
} from './environment.ts'

export interface DatabaseSettings {
  tls: 'off' | 'no-verify' | 'verify'
  certificateAuthority: string | undefined
  poolSize: number
}

/** Where migrations run: only `DATABASE_URL` and its TLS settings, for the release phase, which may know nothing else. */
export function readDatabaseConfiguration(environment: Environment): {
  database: DatabaseSettings
  databaseUrl: string
} {
  const reader = createEnvironmentReader(environment)
  const database = readDatabaseSettings(reader, environment)
  const databaseUrl = readDatabaseUrl(reader)
  reader.throwFaults()
  return { database, databaseUrl }
}

/** `DATABASE_URL`, a secret: its password is in it. */
export const readDatabaseUrl = ({ read }: Pick<EnvironmentReader, 'read'>) =>
  read('DATABASE_URL', 'postgres://user:password@host:5432/gatehouse', parseDatabaseUrl)

function parseDatabaseUrl(text: string): string {
  const url = URL.parse(text)
  if (!url || !/^postgres(ql)?:$/.test(url.protocol))
    throw new InvalidValue('must be a postgres:// URL')
  return text
}

/** TLS and pool. An `sslmode` that could fall back to plain text unnoticed is a fault. */
export function readDatabaseSettings(
  { read, readOptional, readInteger, fault }: EnvironmentReader,
  environment: Environment,
): DatabaseSettings {
  const certificateAuthority = readOptional('DATABASE_CA', '"$(cat ca.pem)"', (text) => {
    if (!text.includes('-----BEGIN CERTIFICATE-----'))
      throw new InvalidValue('must be a certificate in PEM')
    return text.replaceAll('\\n', '\n')
  })
  const sslMode = URL.parse(environment['DATABASE_URL'] ?? '')?.searchParams.get('sslmode')
  if (sslMode === 'prefer' || sslMode === 'allow') {
    fault(
      'DATABASE_SSL',
      `must be set, because sslmode=${sslMode} would fall back to plain text`,
      'no-verify',
    )
  }
  const fromUrl =
    sslMode === 'disable'
      ? 'off'
      : sslMode === 'require' || sslMode === 'no-verify'
        ? 'no-verify'
        : sslMode
          ? 'verify'
          : environment['DYNO']
            ? 'no-verify' // Heroku's databases show a self-signed certificate
            : 'off'
  const tls = read(
    'DATABASE_SSL',
    'verify',
    parseChoice('verify', 'no-verify', 'off'),
    certificateAuthority ? 'verify' : fromUrl,
  )
  const poolSize = readInteger('DATABASE_POOL_SIZE', 5, 'connections', 2, 500)
  return { tls, certificateAuthority, poolSize }
}
