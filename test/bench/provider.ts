// A small, fast provider of the bench's own: discovery, keys, and a token endpoint that takes as long as
// it is told and counts. Real HTTP and signed tokens; nobody can log in at it.
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'

export const clientId = 'gate-on-the-bench'
export const clientSecret = 'a-secret-of-the-gate-on-the-bench'

export interface BenchProvider extends AsyncDisposable {
  issuer: string
  /** How long a token request takes from now on. */
  delayMs: number
  /** Signs these people's next tokens now: a real provider does that on a machine of its own. */
  signAhead: (subjects: readonly string[]) => Promise<void>
  tokenRequests: () => number
  /** The longest time from a token request to its answer since this was last asked. */
  longestAnswerMs: () => number
}

export async function startBenchProvider(): Promise<BenchProvider> {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const key = { ...(await exportJWK(publicKey)), kid: 'bench', alg: 'ES256', use: 'sig' }
  let tokenRequests = 0
  let longestAnswerMs = 0

  const sign = (claims: Record<string, unknown>, audience: string) =>
    new SignJWT({ ...claims, scope: 'openid profile email offline_access' })
      .setProtectedHeader({ alg: 'ES256', kid: 'bench' })
      .setIssuer(provider.issuer)
      .setSubject(String(claims['sub']))
      .setAudience(audience)
      .setIssuedAt()
      .setExpirationTime('1h')
      .setJti(randomUUID())
      .sign(privateKey)

  const signBoth = (sub: string) =>
    Promise.all([sign({ sub }, 'urn:bench:api'), sign({ sub }, clientId)])
  const signedAhead = new Map<string, [string, string]>()

  /** A refresh token of this provider says whose it is. */
  const answerToken = async (request: IncomingMessage) => {
    const arrivedAt = performance.now()
    tokenRequests += 1
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(Buffer.from(chunk))
    const form = new URLSearchParams(Buffer.concat(chunks).toString())
    const sub = (form.get('refresh_token') ?? '').split('.')[0] ?? ''
    const [accessToken, idToken] = signedAhead.get(sub) ?? (await signBoth(sub))
    signedAhead.delete(sub)
    await delay(provider.delayMs) // the slowness that a scenario asks for
    longestAnswerMs = Math.max(longestAnswerMs, performance.now() - arrivedAt)
    return {
      access_token: accessToken,
      id_token: idToken,
      refresh_token: `${sub}.${randomUUID()}`,
      token_type: 'Bearer',
      expires_in: 3600,
    }
  }

  const answer = async (request: IncomingMessage): Promise<object> => {
    switch (request.url ?? '') {
      case '/.well-known/openid-configuration':
        return {
          issuer: provider.issuer,
          authorization_endpoint: `${provider.issuer}/authorize`,
          token_endpoint: `${provider.issuer}/token`,
          revocation_endpoint: `${provider.issuer}/revoke`,
          jwks_uri: `${provider.issuer}/jwks`,
          response_types_supported: ['code'],
          subject_types_supported: ['public'],
          id_token_signing_alg_values_supported: ['ES256'],
          code_challenge_methods_supported: ['S256'],
          token_endpoint_auth_methods_supported: ['client_secret_basic'],
        }
      case '/jwks':
        return { keys: [key] }
      case '/token':
        return answerToken(request)
      default:
        request.resume()
        return {}
    }
  }

  const server = createServer((request, response) => {
    answer(request).then(
      (body) =>
        response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(body)),
      () => response.destroy(), // the gate has gone in the middle of its request
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const provider = {
    issuer: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`,
    delayMs: 0,
    signAhead: async (subjects: readonly string[]) => {
      for (const sub of subjects) signedAhead.set(sub, await signBoth(sub))
    },
    tokenRequests: () => tokenRequests,
    longestAnswerMs: () => {
      const longest = longestAnswerMs
      longestAnswerMs = 0
      return longest
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
    },
  }
  return provider
}
