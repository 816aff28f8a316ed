// `node test/browser/lighthouse.ts`: Lighthouse on landing and dashboard of the production build, as it
// judges a phone on a slow network. Fetches Lighthouse by npx; exits 1 when a score is below 95.
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { ensureChromium } from '../support/chromium.ts'
import { findFreePort } from '../support/free-port.ts'
import { logIn, startClientWorld } from './client-world.ts'

const version = '13.5.0'
const least = 95
const categories = ['performance', 'accessibility', 'best-practices', 'seo']

interface Report {
  categories: Record<string, { score: number | null }>
  audits: Record<string, { title: string; score: number | null; displayValue?: string }>
}

const executablePath = ensureChromium()
const directory = await mkdtemp(join(tmpdir(), 'gatehouse-lighthouse-'))
await using world = await startClientWorld()
const port = await findFreePort()
const context = await chromium.launchPersistentContext(join(directory, 'profile'), {
  executablePath,
  baseURL: world.appUrl,
  args: [`--remote-debugging-port=${port}`, '--no-sandbox', '--disable-gpu'],
})
try {
  await measure('/')
  await logIn(context.pages()[0] ?? (await context.newPage()))
  await measure('/dashboard')
} finally {
  await context.close()
  await rm(directory, { recursive: true, force: true })
}

async function measure(path: string): Promise<void> {
  const file = join(directory, 'report.json')
  // Not spawnSync: the gate that it measures runs in this process.
  const child = spawn(
    'npx',
    [
      '--yes',
      `lighthouse@${version}`,
      world.appUrl + path,
      `--port=${port}`,
      '--disable-storage-reset', // it would log out
      '--quiet',
      '--output=json',
      `--output-path=${file}`,
      `--only-categories=${categories.join(',')}`,
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  )
  const [status] = await once(child, 'exit')
  if (status !== 0) throw new Error(`Lighthouse ended with ${status}`)
  const report = JSON.parse(await readFile(file, 'utf8')) as Report // Lighthouse's own
  const scores = categories.map((name) => Math.round((report.categories[name]?.score ?? 0) * 100))
  console.log(path, categories.map((name, at) => `${name} ${scores[at]}`).join(', '))
  if (scores.every((score) => score >= least)) return
  process.exitCode = 1
  for (const { title, score, displayValue } of Object.values(report.audits))
    if (score !== null && score < 0.9) console.log(`  ${score} ${title} ${displayValue ?? ''}`)
}
