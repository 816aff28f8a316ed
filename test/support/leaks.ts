// What a test file leaves open is a failure with its name, not a run that never ends: servers, sockets,
// timers and child processes hold its process after its last test. run-files.ts loads this before each
// file; to be loaded is all that it is for.
import { relative } from 'node:path'
import { after } from 'node:test'

const endsWithinMs = 15_000 // what a file's own `after` takes included

// In the processes of the test files alone, not in the runner that starts them.
if (process.env['NODE_TEST_CONTEXT'] !== undefined) {
  after(() => {
    const complain = () => {
      const open = process.getActiveResourcesInfo().join(', ')
      console.error(`${relative('', process.argv[1] ?? '')} left open: ${open}`)
      process.exit(1)
    }
    setTimeout(complain, endsWithinMs).unref()
  })
}
