// What a test file leaves open is a failure with its name, not a run that never ends: servers, sockets
// and child processes of its process. `npm run test:server` loads this before each file; to be loaded is
// all that it is for.
import { relative } from 'node:path'
import { after } from 'node:test'
import { until } from './until.ts'

const counted = new Set(['TCPServerWrap', 'TCPSocketWrap', 'ProcessWrap'])

/** What is open now, by Node's own names. */
export function findOpenHandles(): string[] {
  return process.getActiveResourcesInfo().filter((name) => counted.has(name))
}

// In the processes of the test files alone, not in the runner that starts them.
if (process.env['NODE_TEST_CONTEXT'] !== undefined) {
  after(async () => {
    try {
      await until('nothing is left open', () => findOpenHandles().length === 0, 8000)
    } catch (error) {
      const file = relative('', process.argv[1] ?? '')
      throw new Error(`${file} left open: ${findOpenHandles().join(', ')}`, { cause: error })
    }
  })
}
