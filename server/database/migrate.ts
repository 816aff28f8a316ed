// `npm run migrate`: the release phase. Needs the database's variables alone.
import { readDatabaseConfiguration } from '../database-settings.ts'
import { ConfigurationFaults } from '../environment.ts'
import { runMigrations } from './migrations.ts'

try {
  const { database, databaseUrl } = readDatabaseConfiguration(process.env)
  const ran = await runMigrations(databaseUrl, database)
  console.log(ran.length > 0 ? `migrated: ${ran.join(', ')}` : 'nothing to migrate')
} catch (error) {
  if (error instanceof ConfigurationFaults) {
    console.error(error.message)
    process.exitCode = 78
  } else {
    console.error(error)
    process.exitCode = 1
  }
}
