// `npm run test:browser`: a real browser against `npm run dev` and against the production build.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { ensureChromium } from './support/chromium.ts'

ensureChromium()
const built = spawnSync('npm', ['run', 'build'], { encoding: 'utf8' })
if (built.status !== 0) throw new Error(`the client does not build: ${built.stdout}${built.stderr}`)
const asked = process.argv.slice(2)
const files = asked.length > 0 ? asked : ['test/browser/**/*.test.ts']
const child = spawn(process.execPath, ['--test', '--test-concurrency=2', ...files], {
  stdio: 'inherit',
})
const [code] = await once(child, 'exit')
process.exitCode = typeof code === 'number' ? code : 1
