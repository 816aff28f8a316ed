import assert from 'node:assert/strict'
import { setImmediate as turnOfTheLoop } from 'node:timers/promises'
import { test } from 'node:test'
import { createTurnstile } from '../../server/tokens/turnstile.ts'

test('whoever comes alone passes at once; a crowd passes one by one, in its order', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const passed: number[] = []
  const pass = createTurnstile(2)
  for (const who of [1, 2, 3]) void pass().then(() => passed.push(who))

  const passedAfter = async (ms: number) => {
    t.mock.timers.tick(ms)
    await turnOfTheLoop()
    return [...passed]
  }
  assert.deepEqual(await passedAfter(0), [1])
  assert.deepEqual(await passedAfter(1), [1])
  assert.deepEqual(await passedAfter(1), [1, 2])
  assert.deepEqual(await passedAfter(2), [1, 2, 3])

  await passedAfter(2)
  void pass().then(() => passed.push(4))
  assert.deepEqual(await passedAfter(0), [1, 2, 3, 4])
})
