import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createVault, deriveServerKey } from '../../server/tokens/vault.ts'

const older = 'an-older-session-secret-0123456789abcdef'
const newer = 'a-newer-session-secret-0123456789abcdef'
const text = '{"accessToken":"of Ada Lovelace, 1843 — ✓"}'

test('what was sealed opens in its place, and nowhere else [T136]', () => {
  const vault = createVault([older], 'tokens')
  const sealed = vault.seal(text, 'row 1', 'session 1')
  assert.equal(vault.open(sealed, 'row 1', 'session 1'), text)
  assert.equal(vault.open(sealed, 'row 2', 'session 1'), undefined) // another row
  assert.equal(vault.open(sealed, 'row 1', 'session 2'), undefined) // another cookie
  assert.equal(createVault([older], 'login').open(sealed, 'row 1', 'session 1'), undefined)
  assert.equal(vault.open(vault.seal('', 'row 1', 'session 1'), 'row 1', 'session 1'), '')
})

test('the newest secret seals, and all open, in whatever order they come [T135]', () => {
  const before = createVault([older], 'tokens')
  const between = createVault([newer, older], 'tokens')
  const after = createVault([newer], 'tokens')
  const old = before.seal(text, 'row', 'salt')
  const anew = between.seal(text, 'row', 'salt')
  assert.equal(between.open(old, 'row', 'salt'), text)
  assert.equal(after.open(anew, 'row', 'salt'), text)
  assert.equal(createVault([older, newer], 'tokens').open(anew, 'row', 'salt'), text)
  // A secret that is not known: no error, there is just nothing to read.
  assert.equal(after.open(old, 'row', 'salt'), undefined)
  assert.equal(before.open(anew, 'row', 'salt'), undefined)
})

test('a change of any byte, or an end that is missing, opens nothing (NIST SP 800-38D §7.2)', () => {
  const vault = createVault([older], 'tokens')
  const sealed = vault.seal(text, 'row', 'salt')
  for (let at = 0; at < sealed.length; at += 1) {
    const changed = Buffer.from(sealed)
    changed.writeUInt8((changed.readUInt8(at) + 1) % 256, at)
    assert.equal(vault.open(changed, 'row', 'salt'), undefined, `byte ${at} was changed`)
    assert.equal(vault.open(sealed.subarray(0, at), 'row', 'salt'), undefined, `cut at ${at}`)
  }
  assert.equal(vault.open(Buffer.concat([sealed, Buffer.of(0)]), 'row', 'salt'), undefined)
})

test('the same text is sealed differently each time, and shows neither itself nor the secret', () => {
  const vault = createVault([older], 'tokens')
  const sealed = Array.from({ length: 100 }, () => vault.seal(text, 'row', 'salt'))
  assert.equal(new Set(sealed.map((each) => each.toString('hex'))).size, 100)
  assert.equal(new Set(sealed.map((each) => each.subarray(5, 17).toString('hex'))).size, 100)
  for (const each of sealed) {
    assert.ok(!each.includes('accessToken') && !each.includes(older.slice(0, 8)))
  }
})

test('the keys of different uses and of different secrets have nothing in common', () => {
  const keys = [
    deriveServerKey([older], 'cookie'),
    deriveServerKey([older], 'csrf'),
    deriveServerKey([newer, older], 'cookie'),
  ].map((key) => key.toString('hex'))
  assert.equal(new Set(keys).size, 3)
  assert.equal(deriveServerKey([older, newer], 'cookie').toString('hex'), keys[0]) // the newest only
})

test('a vault without a secret is not made', () => {
  assert.throws(() => createVault([], 'tokens'), RangeError)
})
