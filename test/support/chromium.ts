// A real browser: a Chromium that is on the machine, or one that is put there by what the machine has.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chromium, type Browser } from 'playwright-core'

const places = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/opt/google/chrome/chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
]

export function findChromium(): string | undefined {
  const known = [process.env['CHROMIUM_PATH'] ?? '', ...places, chromium.executablePath()]
  return known.find((path) => path !== '' && existsSync(path))
}

/** Finds one, or installs one: by the system's packages as root, else by Playwright. Throws one sentence that says what to do. */
export function ensureChromium(): string {
  const found = findChromium()
  if (found) return found
  const run = (command: string, ...options: string[]) =>
    spawnSync(command, options, {
      stdio: 'inherit',
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    }).status === 0
  console.log('There is no Chromium here yet: installing one.')
  if (process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
    if (run('apt-get', 'update', '-qq')) run('apt-get', 'install', '-y', '-qq', 'chromium')
  }
  if (!findChromium()) run('npx', 'playwright-core', 'install', 'chromium')
  const installed = findChromium()
  if (!installed)
    throw new Error(
      'There is no Chromium, and none could be installed: install one, and set CHROMIUM_PATH.',
    )
  return installed
}

export function launchChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: ensureChromium(),
    headless: true,
    args: [
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking', // it would look for its maker's servers
      '--disable-component-update',
      '--disable-sync',
    ],
  })
}
