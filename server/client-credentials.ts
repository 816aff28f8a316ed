// How the gate proves itself to the provider: by a secret, by a key, or not at all where it can't.
import { createPrivateKey, type KeyObject } from 'node:crypto'
import { InvalidValue, parseChoice, parseText, type EnvironmentReader } from './environment.ts'

export type ClientCredentials =
  | { kind: 'secret'; secret: string }
  | { kind: 'private_key'; key: KeyObject; keyId: string | undefined }
  | { kind: 'none' }

/** The one that is set. More than one, or none in production, is a fault. */
export function readClientCredentials(
  { readOptional, isSet, fault }: EnvironmentReader,
  production: boolean,
): ClientCredentials {
  const secret = readOptional('OIDC_CLIENT_SECRET', '…', parseText)
  const key = readOptional('OIDC_PRIVATE_KEY', '"$(cat key.pem)"', parsePrivateKey)
  const none = readOptional('OIDC_CLIENT_AUTH', 'none', parseChoice('none'))
  if (secret && key) fault('OIDC_PRIVATE_KEY', 'must not be set beside OIDC_CLIENT_SECRET', '')
  if (none && (secret || key))
    fault('OIDC_CLIENT_AUTH', 'must not be none beside a secret or a key', '')
  if (key) return { kind: 'private_key', ...key }
  if (secret) return { kind: 'secret', secret }
  // RFC 10017 §6.1.3.1: the gate is a confidential client, unless the operator says that it can't be
  if (production && !none && !isSet('OIDC_PRIVATE_KEY')) {
    fault(
      'OIDC_CLIENT_SECRET',
      'is missing (or OIDC_PRIVATE_KEY, or OIDC_CLIENT_AUTH=none for a public client)',
      '…',
    )
  }
  return { kind: 'none' }
}

function parsePrivateKey(text: string): { key: KeyObject; keyId: string | undefined } {
  try {
    if (!text.startsWith('{'))
      return { key: createPrivateKey(text.replaceAll('\\n', '\n')), keyId: undefined }
    const jwk: unknown = JSON.parse(text)
    if (typeof jwk !== 'object' || jwk === null) throw new TypeError('not a key')
    const keyId = 'kid' in jwk && typeof jwk.kid === 'string' ? jwk.kid : undefined
    return { key: createPrivateKey({ key: { ...jwk }, format: 'jwk' }), keyId }
  } catch {
    // Whatever is wrong with it, nothing of a private key may reach a message.
    throw new InvalidValue('must be a private key in PEM or as a JWK')
  }
}
