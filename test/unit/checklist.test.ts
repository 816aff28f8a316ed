import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { checklist } from '../security/checklist.ts'

const folder = fileURLToPath(new URL('..', import.meta.url))

test('every number of the security checklist has a test, or says why not', () => {
  const texts = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => readFileSync(join(folder, file), 'utf8'))
  const tags = new Set(
    texts.flatMap((text) =>
      [...text.matchAll(/\[((?:[TR]\d+,?\s?)+)\]/g)].flatMap(([, list = '']) => list.split(/,\s?/)),
    ),
  )
  const untested = Object.entries(checklist).filter(
    ([tag, { instead }]) => !tags.has(tag) && instead === undefined,
  )
  assert.deepEqual(
    untested.map(([tag, { title }]) => `${tag} ${title}`),
    [],
  )
  assert.deepEqual(
    [...tags].filter((tag) => tag !== '' && !(tag in checklist)),
    [],
  )
})
