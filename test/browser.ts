// `npm run test:browser`: a real browser against `npm run dev` and against the production build.
import { spawnSync } from 'node:child_process'
import { ensureChromium } from './support/chromium.ts'
import { runFiles } from './support/run-files.ts'

ensureChromium()
const built = spawnSync('npm', ['run', 'build'], { encoding: 'utf8' })
if (built.status !== 0) throw new Error(`the client does not build: ${built.stdout}${built.stderr}`)
const asked = process.argv.slice(2)
const files = asked.length > 0 ? asked : ['test/browser/**/*.test.ts']
process.exitCode = await runFiles(files, { atOnce: 2 })
