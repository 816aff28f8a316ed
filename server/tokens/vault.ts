// Seals what lies in the database: AES-256-GCM, bound to its row. A session's key derives from a server
// secret and from the session id, which only the browser's cookie carries, so that neither a copy of
// the database nor that copy and the secret open anything.
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto'

export interface Vault {
  /** Seals with the newest secret. `binding` names the place where the result lies. */
  seal: (text: string, binding: string, salt: string) => Buffer
  /** The text, or `undefined` when no secret of ours opens it in this place. */
  open: (sealed: Buffer, binding: string, salt: string) => string | undefined
}

// version 1 | key id 4 | iv 12 | tag 16 | ciphertext
const version = 1
const keyIdEnd = 5
const ivEnd = 17
const tagEnd = 33

/** `purpose` keeps the keys of different uses apart; `secrets` is newest first. */
export function createVault(secrets: readonly string[], purpose: string): Vault {
  const known = secrets.map((secret) => ({ secret, keyId: keyIdOf(secret, purpose) }))
  const [newest] = known
  if (!newest) throw new RangeError('a vault needs a secret')

  const deriveKey = (secret: string, salt: string) =>
    Buffer.from(hkdfSync('sha256', secret, salt, `gatehouse ${purpose} v${version}`, 32))

  return {
    seal: (text, binding, salt) => {
      const iv = randomBytes(12)
      const cipher = createCipheriv('aes-256-gcm', deriveKey(newest.secret, salt), iv)
      cipher.setAAD(Buffer.from(binding))
      const ciphertext = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
      return Buffer.concat([Buffer.of(version), newest.keyId, iv, cipher.getAuthTag(), ciphertext])
    },
    open: (sealed, binding, salt) => {
      const keyId = sealed.subarray(1, keyIdEnd)
      const key = known.find((candidate) => candidate.keyId.equals(keyId))
      if (sealed[0] !== version || sealed.length < tagEnd || !key) return undefined
      const decipher = createDecipheriv(
        'aes-256-gcm',
        deriveKey(key.secret, salt),
        sealed.subarray(keyIdEnd, ivEnd),
        {
          authTagLength: 16, // a shorter tag would be a weaker one
        },
      )
      decipher.setAAD(Buffer.from(binding))
      decipher.setAuthTag(sealed.subarray(ivEnd, tagEnd))
      const start = decipher.update(sealed.subarray(tagEnd))
      try {
        return Buffer.concat([start, decipher.final()]).toString('utf8')
      } catch {
        // Node has no class for it: the tag does not fit, so this was sealed elsewhere or tampered with.
        return undefined
      }
    },
  }
}

/** Tells which secret sealed something, and nothing of the secret. */
function keyIdOf(secret: string, purpose: string): Buffer {
  return createHash('sha256')
    .update(`gatehouse ${purpose} key id\0${secret}`)
    .digest()
    .subarray(0, 4)
}

/** A key for one use, derived from the newest secret. */
export function deriveServerKey(secrets: readonly string[], purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secrets[0] ?? '', '', `gatehouse ${purpose}`, 32))
}
