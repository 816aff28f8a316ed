// A real OpenID provider for development and tests, over HTTP, on a host of its own so that the browser
// treats it as another site, as in production: rotation with reuse detection, back-channel logout,
// RP-initiated logout, revocation, JWT access tokens. Its people are made up; its keys are made here.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import {
  errors,
  Provider,
  type ClientAuthMethod,
  type ClientMetadata,
  type Configuration,
  type JWK,
} from 'oidc-provider'
import { contentSecurityPolicy, errorPage, loginPage, logoutPage } from './provider-pages.ts'
import { openProviderStore } from './provider-store.ts'

export interface ProviderClient {
  clientId: string
  /** Without one: a public client, or `private_key_jwt` when there are `keys`. */
  clientSecret?: string
  keys?: JWK[]
  /** Instead of the one that follows from secret and keys. */
  authMethod?: ClientAuthMethod
  redirectUris: string[]
  postLogoutRedirectUris: string[]
  backChannelLogoutUri?: string
}

export interface ProviderOptions {
  /** 0, the default, is any free one. */
  port?: number
  host?: string
  clients: ProviderClient[]
  /** The audience of its access tokens. */
  resource: string
  accessTokenSeconds?: number
  /** Where it remembers; without, in memory alone. */
  file?: string
  /** Called before the provider with each request; `true` when it has answered (or will, or has cut the connection). */
  intercept?: (request: IncomingMessage, response: ServerResponse) => boolean | Promise<boolean>
}

export interface DevelopmentProvider extends AsyncDisposable {
  issuer: string
  port: number
}

export const people = {
  ada: { name: 'Ada Lovelace', email: 'ada@example.com', groups: ['staff', 'admins'] },
  grace: { name: 'Grace Hopper', email: 'grace@example.com', groups: ['staff'] },
}
export const password = 'gatehouse'
const passwordAcr = 'urn:gatehouse:password'
const scopes = 'openid profile email groups offline_access'

export async function startProvider(options: ProviderOptions): Promise<DevelopmentProvider> {
  const { host = '127.0.0.1', accessTokenSeconds = 120, intercept } = options
  const store = await openProviderStore(options.file)
  const server = createServer()
  server.listen(options.port ?? 0, host)
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  const issuer = `http://${host}:${port}`

  const provider = new Provider(issuer, {
    adapter: store.adapter,
    jwks: { keys: [store.signingKey] },
    cookies: {
      keys: [store.cookieKey],
      // Cookies do not know ports: without it, the providers of two checkouts would log each other out.
      names: {
        session: `provider_session_${port}`,
        interaction: `provider_interaction_${port}`,
        resume: `provider_resume_${port}`,
      },
    },
    clients: options.clients.map(toClient),
    scopes: scopes.split(' '),
    claims: {
      openid: ['sub', 'sid'],
      profile: ['name', 'groups'],
      email: ['email'],
      acr: null,
      auth_time: null,
    },
    acrValues: [passwordAcr],
    conformIdTokenClaims: false, // name and e-mail in the ID token: no call to the userinfo endpoint
    pkce: { required: () => true },
    findAccount: (_context, id) => ({
      accountId: id,
      claims: async () => ({ sub: id, ...findPerson(id) }),
    }),
    interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
    // It would drop offline_access without a consent page, and rotate only towards a token's end.
    issueRefreshToken: async (_context, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: true,
    expiresWithSession: async () => false,
    loadExistingGrant: async (context) => {
      const { provider, session, client, result } = context.oidc
      const known = result?.consent?.grantId ?? (client && session?.grantIdFor(client.clientId))
      const grant =
        (known ? await provider.Grant.find(known) : undefined) ??
        new provider.Grant({
          accountId: session?.accountId ?? '',
          clientId: client?.clientId ?? '',
        })
      grant.addOIDCScope(scopes)
      grant.addResourceScope(options.resource, 'api')
      await grant.save()
      return grant
    },
    features: {
      devInteractions: { enabled: false },
      revocation: {
        enabled: true,
        allowedPolicy: async (_context, client, token) => token.clientId === client.clientId,
      },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (context, form) => {
          context.set('Content-Security-Policy', contentSecurityPolicy)
          context.body = logoutPage(form)
        },
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => options.resource,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: 'api',
          audience: options.resource,
          accessTokenFormat: 'jwt',
          accessTokenTTL: accessTokenSeconds,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    ttl: {
      AccessToken: accessTokenSeconds,
      Session: 86_400,
      Grant: 1_209_600,
      RefreshToken: 1_209_600,
      Interaction: 3600,
      IdToken: 3600,
    },
    renderError: (context, facts) => {
      context.type = 'html'
      context.set('Content-Security-Policy', contentSecurityPolicy)
      context.body = errorPage({ ...facts })
    },
    // Its own fetch refuses loopback addresses, which are all that there is here.
    fetch: (url, { dispatcher: _dispatcher, ...rest }: RequestInit & { dispatcher?: unknown }) =>
      fetch(url, rest),
  } as Configuration) // the package's types lag behind: `fetch` without `dispatcher`, `acr: null`
  provider.use(async (context, next) => {
    if (!context.path.startsWith('/interaction/')) return next()
    context.respond = false // answered on the raw response
    return answerInteraction(provider, context.req, context.res, context.path)
  })

  const answer = provider.callback()
  server.on('request', (request, response) => {
    const first = intercept ? Promise.resolve(intercept(request, response)) : Promise.resolve(false)
    first.then(
      (answered) => (answered ? undefined : answer(request, response)),
      (error: unknown) => response.destroy(error instanceof Error ? error : undefined),
    )
  })

  return {
    issuer,
    port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
      await store[Symbol.asyncDispose]()
    },
  }
}

function toClient({
  clientId,
  clientSecret,
  keys,
  authMethod,
  redirectUris,
  postLogoutRedirectUris,
  backChannelLogoutUri,
}: ProviderClient): ClientMetadata {
  return {
    client_id: clientId,
    ...(clientSecret !== undefined && { client_secret: clientSecret }),
    ...(keys && { jwks: { keys } }),
    token_endpoint_auth_method:
      authMethod ??
      (keys ? 'private_key_jwt' : clientSecret === undefined ? 'none' : 'client_secret_basic'),
    redirect_uris: redirectUris,
    post_logout_redirect_uris: postLogoutRedirectUris,
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    ...(backChannelLogoutUri !== undefined && {
      backchannel_logout_uri: backChannelLogoutUri,
      backchannel_logout_session_required: true,
    }),
  }
}

function findPerson(login: string) {
  return Object.entries(people).find(([name]) => name === login)?.[1]
}

/** The login form: shown, sent, or given up. */
async function answerInteraction(
  provider: Provider,
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
): Promise<void> {
  try {
    if (path.endsWith('/abort')) {
      return await provider.interactionFinished(request, response, {
        error: 'access_denied',
        error_description: 'The person gave up.',
      })
    }
    const { params, prompt } = await provider.interactionDetails(request, response)
    const isSent = request.method === 'POST'
    const form = isSent ? await readForm(request) : undefined
    const hint = typeof params['login_hint'] === 'string' ? params['login_hint'] : ''
    const login = form?.get('login') ?? hint
    if (findPerson(login) && form?.get('password') === password) {
      return await provider.interactionFinished(
        request,
        response,
        { login: { accountId: login, acr: passwordAcr }, consent: {} },
        { mergeWithLastSubmission: prompt.name !== 'login' },
      )
    }
    sendPage(response, 200, loginPage(path, Object.keys(people), login, isSent))
  } catch (error) {
    // The form lay open for too long, or was sent twice, or in another browser.
    if (!(error instanceof errors.SessionNotFound)) throw error
    const advice =
      'This login is over, or was begun elsewhere: go back to the app, and log in anew.'
    sendPage(response, 400, errorPage({ advice }))
  }
}

function sendPage(response: ServerResponse, status: number, html: string): void {
  response
    .writeHead(status, {
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Security-Policy': contentSecurityPolicy,
      'Cache-Control': 'no-store',
    })
    .end(html)
}

async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(Buffer.from(chunk))
  return new URLSearchParams(Buffer.concat(chunks).toString('utf8'))
}
