// The plan of the house that a machine can read: who may import whom, who reads the environment, and
// that documents and code say the same.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { errorCodes } from '../shared/contract.ts'
import { readConfiguration } from '../server/configuration.ts'
import { ConfigurationFaults } from '../server/environment.ts'
import * as errors from '../server/errors.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const filesIn = (folder: string) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => `${folder}/${file}`)
const serverFiles = filesIn('server')

// What may be imported: everything before one's own row. The rows' order is the order of the arrows.
const order = [
  ['shared'],
  ['environment', 'errors', 'clock', 'request-facts'],
  ['upstream-table', 'database-settings', 'client-credentials'],
  ['configuration'],
  ['database'],
  ['sessions'],
  ['provider'],
  ['tokens'],
  ['protection'],
  ['login', 'logout', 'account', 'proxy', 'pages', 'operations'],
  ['gate'],
  ['main'],
]

/** The capability that a file belongs to. */
const roomOf = (file: string) => {
  const [top = '', second = ''] = file.split('/')
  return top === 'server' ? second.replace(/\.ts$/, '') : top
}
const importsOf = (file: string) =>
  [...read(file).matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map(([, path = '']) =>
    relative(root, resolve(root, dirname(file), path)),
  )

test('imports go along the arrows of the plan alone', () => {
  for (const file of serverFiles.filter((path) => !path.startsWith('server/development/'))) {
    const row = order.findIndex((rooms) => rooms.includes(roomOf(file)))
    assert.notEqual(row, -1, `${file} is in no room of the plan`)
    for (const imported of importsOf(file)) {
      const from = order.findIndex((rooms) => rooms.includes(roomOf(imported)))
      const isOwn = roomOf(imported) === roomOf(file)
      assert.ok(
        from !== -1 && (isOwn || from < row || (from === row && row < 2)),
        `${file} must not import ${imported}`,
      )
    }
  }
})

test('there is no import circle', () => {
  const done = new Set<string>()
  const visit = (file: string, path: string[]) => {
    assert.ok(!path.includes(file), `a circle: ${[...path, file].join(' → ')}`)
    if (done.has(file)) return
    for (const imported of importsOf(file)) visit(imported, [...path, file])
    done.add(file)
  }
  for (const file of serverFiles) visit(file, [])
})

test('nothing in the server needs the development parts or the tests', () => {
  for (const file of serverFiles.filter((path) => !path.startsWith('server/development/'))) {
    for (const imported of importsOf(file)) {
      assert.doesNotMatch(imported, /^(server\/development|test)\//, `${file} imports ${imported}`)
    }
  }
})

test('the environment is read where the process starts, and nowhere else', () => {
  const allowed = /^server\/(main|database\/migrate|development\/.+)\.ts$/
  const readers = serverFiles.filter((file) => read(file).includes('process.env'))
  assert.deepEqual(
    readers.filter((file) => !allowed.test(file)),
    [],
  )
})

test('the README names every variable that is read, and no other', () => {
  const table = /## Configuration\n([\s\S]*?)\n## /.exec(read('README.md'))?.[1] ?? ''
  const documented = new Set(
    [...table.matchAll(/^\|([^|]+)\|/gm)].flatMap(([, cell = '']) =>
      [...cell.matchAll(/`([A-Z][A-Z_]+)`/g)].map(([, name = '']) => name),
    ),
  )
  const asked = new Set<string>()
  const environment = new Proxy<Record<string, string>>(
    {},
    {
      get: (_target, name) => {
        asked.add(String(name))
        return undefined
      },
    },
  )
  assert.throws(() => readConfiguration(environment), ConfigurationFaults)
  for (const name of ['NODE_ENV', 'DYNO']) asked.delete(name) // set by whoever runs it, not by an operator
  assert.deepEqual([...documented].sort(), [...asked].sort())
})

test('every error code has a class, a line in the README and a test', () => {
  const codes = new Set(
    Object.values(errors).flatMap((value) =>
      typeof value === 'function' && value.prototype instanceof errors.Refusal
        ? [Reflect.construct(value, []).code]
        : [],
    ),
  )
  const readme = read('README.md')
  const tests = [...filesIn('test')].map(read).join('\n')
  for (const code of errorCodes) {
    assert.ok(codes.has(code), `no class of errors.ts has the code ${code}`)
    assert.ok(readme.includes(`\`${code}\``), `the README does not explain ${code}`)
    assert.ok(new RegExp(`['"\`/]${code}['"\`/]`).test(tests), `no test meets ${code}`)
  }
})
