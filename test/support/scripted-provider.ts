// An OpenID provider that says what a test tells it to: wrong tokens, odd answers, logout tokens of
// every kind. Real HTTP, real signatures; it asks nobody anything and logs everybody in.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import type { TestProvider } from './provider.ts'

export interface Script {
  /** Parameters of the redirect back to the callback, in place of the code. */
  authorization?: (state: string) => Record<string, string>
  /** Claims of the ID token that differ; `undefined` leaves one out. */
  idToken?: Record<string, unknown>
  idTokenHeader?: Record<string, unknown>
  /** Signs with a key that the provider does not publish. */
  foreignKey?: boolean
  /** Signs with the client's secret. */
  symmetric?: boolean
  /** What the token endpoint answers beside the usual; `undefined` leaves a field out. */
  token?: Record<string, unknown>
  /** Answers a refresh itself. */
  refresh?: (
    request: IncomingMessage,
    response: ServerResponse,
    parameters: URLSearchParams,
  ) => void | Promise<void>
  metadata?: Record<string, unknown>
  /** What the keys are answered with, when not 200. */
  keysStatus?: number
}

export interface ScriptedProvider extends TestProvider {
  script: Script
  /** A logout token as it should be, with what differs. */
  logoutToken: (
    claims?: Record<string, unknown>,
    header?: Record<string, unknown>,
    foreignKey?: boolean,
  ) => Promise<string>
  /** The `sid` and `sub` of the ID tokens. */
  sid: string
  subject: string
  /** Parameters of the last authorization and token requests. */
  lastAuthorization: URLSearchParams
  lastToken: URLSearchParams
  lastTokenHeaders: Record<string, unknown>
  revoked: string[]
}

const eventType = 'http://schemas.openid.net/event/backchannel-logout'
const clientSecret = 'a-secret-of-the-client-under-test-0123456789'

export async function startScriptedProvider(script: Script = {}): Promise<ScriptedProvider> {
  const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true })
  const foreign = await generateKeyPair('RS256')
  const jwk = { ...(await exportJWK(publicKey)), kid: 'known', use: 'sig', alg: 'RS256' }
  const counts = new Map<string, number>()
  const nonces = new Map<string, string>()
  let codes = 0
  let tokens = 0
  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) =>
      response.destroy(error instanceof Error ? error : undefined),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  const issuer = `http://127.0.0.1:${port}`

  const provider: ScriptedProvider = {
    issuer,
    port,
    clientId: 'gate-under-test',
    clientSecret,
    script,
    sid: 'provider-session-1',
    subject: 'ada',
    lastAuthorization: new URLSearchParams(),
    lastToken: new URLSearchParams(),
    lastTokenHeaders: {},
    revoked: [],
    requestsTo: (path) => counts.get(path) ?? 0,
    failAt: () => {
      throw new Error('a scripted provider is told by its script')
    },
    stop: () => {
      throw new Error('a scripted provider does not stop')
    },
    logoutToken: (claims = {}, header = {}, foreignKey = false) =>
      sign(
        {
          iss: issuer,
          aud: 'gate-under-test',
          jti: `jti-${Math.random()}`,
          sid: provider.sid,
          events: { [eventType]: {} },
          ...times(120),
          ...claims,
        },
        { typ: 'logout+jwt', ...header },
        foreignKey,
      ),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }

  const times = (seconds: number) => {
    const now = Math.floor(Date.now() / 1000)
    return { iat: now, exp: now + seconds }
  }

  const sign = (
    claims: Record<string, unknown>,
    header: Record<string, unknown>,
    foreignKey = false,
  ): Promise<string> => {
    const payload = Object.fromEntries(
      Object.entries(claims).filter(([, value]) => value !== undefined),
    )
    const alg = typeof header['alg'] === 'string' ? header['alg'] : 'RS256'
    if (alg === 'none') {
      const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
      return Promise.resolve(`${part({ ...header, alg })}.${part(payload)}.`)
    }
    const jwt = new SignJWT(payload)
    jwt.setProtectedHeader({ kid: 'known', ...header, alg })
    return jwt.sign(
      alg === 'HS256'
        ? new TextEncoder().encode(clientSecret)
        : foreignKey
          ? foreign.privateKey
          : privateKey,
    )
  }

  const json = (response: ServerResponse, body: unknown, status = 200) =>
    void response
      .writeHead(status, { 'Content-Type': 'application/json' })
      .end(JSON.stringify(body))

  const idToken = (nonce: string | undefined) =>
    sign(
      {
        iss: issuer,
        aud: 'gate-under-test',
        sub: provider.subject,
        sid: provider.sid,
        name: 'Ada Lovelace',
        nonce,
        ...times(300),
        ...provider.script.idToken,
      },
      { ...(provider.script.symmetric && { alg: 'HS256' }), ...provider.script.idTokenHeader },
      provider.script.foreignKey,
    )

  const grant = async (nonce: string | undefined) => {
    tokens += 1
    const fields = {
      access_token: `access-token-number-${tokens}`,
      token_type: 'Bearer',
      expires_in: 120,
      refresh_token: `refresh-token-number-${tokens}`,
      id_token: await idToken(nonce),
      ...provider.script.token,
    }
    return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
  }

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '/', issuer)
    counts.set(url.pathname, (counts.get(url.pathname) ?? 0) + 1)
    switch (url.pathname) {
      case '/.well-known/openid-configuration':
        return json(response, {
          issuer,
          authorization_endpoint: `${issuer}/authorize`,
          token_endpoint: `${issuer}/token`,
          jwks_uri: `${issuer}/jwks`,
          end_session_endpoint: `${issuer}/end`,
          revocation_endpoint: `${issuer}/revoke`,
          response_types_supported: ['code'],
          subject_types_supported: ['public'],
          id_token_signing_alg_values_supported: ['RS256', 'HS256'],
          code_challenge_methods_supported: ['S256'],
          ...provider.script.metadata,
        })
      case '/jwks':
        return json(response, { keys: [jwk] }, provider.script.keysStatus)
      case '/authorize': {
        provider.lastAuthorization = url.searchParams
        const state = url.searchParams.get('state') ?? ''
        codes += 1
        const code = `code-${codes}`
        nonces.set(code, url.searchParams.get('nonce') ?? '')
        const back = new URL(url.searchParams.get('redirect_uri') ?? '')
        back.search = new URLSearchParams(
          provider.script.authorization?.(state) ?? { code, state },
        ).toString()
        return void response.writeHead(302, { Location: back.href }).end()
      }
      case '/token': {
        const parameters = await readForm(request)
        provider.lastToken = parameters
        provider.lastTokenHeaders = request.headers
        if (parameters.get('grant_type') === 'refresh_token') {
          if (provider.script.refresh) return provider.script.refresh(request, response, parameters)
          return json(response, await grant(undefined))
        }
        return json(response, await grant(nonces.get(parameters.get('code') ?? '')))
      }
      case '/revoke':
        provider.revoked.push((await readForm(request)).get('token') ?? '')
        return void response.end()
      default:
        return void response.writeHead(404).end()
    }
  }

  return provider
}

async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(Buffer.from(chunk))
  return new URLSearchParams(Buffer.concat(chunks).toString('utf8'))
}
