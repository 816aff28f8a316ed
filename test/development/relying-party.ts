// A bare client of the development provider, with the cookies of one browser: what a gate does, by hand.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import {
  startProvider,
  type DevelopmentProvider,
  type ProviderOptions,
} from '../../server/development/provider.ts'

export interface TokenAnswer {
  status: number
  error?: string
  access_token: string
  refresh_token: string
  id_token: string
  expires_in: number
}

export const clientId = 'a-client'
export const clientSecret = 'a-secret-of-that-client-0123456789'
export const redirectUri = 'http://localhost:1/auth/callback' // nobody listens there, and nobody follows
export const afterLogout = 'http://localhost:1/'

export function startProviderFor(options: Partial<ProviderOptions> = {}) {
  return startProvider({
    clients: [
      {
        clientId,
        clientSecret,
        redirectUris: [redirectUri],
        postLogoutRedirectUris: [afterLogout],
      },
    ],
    resource: 'urn:test:api',
    ...options,
  })
}

export function createRelyingParty(provider: DevelopmentProvider) {
  const cookies = new Map<string, string>()
  const verifier = randomBytes(32).toString('base64url')

  const visit = async (url: string, form?: Record<string, string>) => {
    const response = await fetch(new URL(url, provider.issuer), {
      redirect: 'manual',
      headers: {
        accept: 'text/html',
        cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; '),
      },
      ...(form && { method: 'POST', body: new URLSearchParams(form) }),
    })
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (/expires=Thu, 01 Jan 1970/i.test(line)) cookies.delete(name)
      else cookies.set(name, value)
    }
    return {
      status: response.status,
      location: response.headers.get('location') ?? '',
      headers: response.headers,
      html: await response.text(),
    }
  }
  /** Follows redirects within the provider; stops at a page, or where it leads away. */
  const follow = async (url: string, form?: Record<string, string>) => {
    let at = await visit(url, form)
    while (at.location && new URL(at.location, provider.issuer).origin === provider.issuer) {
      at = await visit(at.location)
    }
    return at
  }
  const authorize = (parameters: Record<string, string | undefined> = {}) => {
    const all: Record<string, string | undefined> = {
      client_id: clientId,
      redirect_uri: redirectUri,
      response_type: 'code',
      scope: 'openid profile email offline_access',
      state: 'a-state',
      nonce: 'a-nonce',
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
      ...parameters,
    }
    const query = new URLSearchParams()
    for (const [name, value] of Object.entries(all)) if (value !== undefined) query.set(name, value)
    return follow(`/auth?${query.toString()}`)
  }
  const post = async (path: string, form: Record<string, string>) => {
    const response = await fetch(new URL(path, provider.issuer), {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`${clientId}:${clientSecret}`)}` },
      body: new URLSearchParams(form),
    })
    const text = await response.text()
    // The provider's answers; what is missing in one fails the test that looks at it.
    return { ...(text ? JSON.parse(text) : {}), status: response.status } as TokenAnswer
  }

  return {
    visit,
    follow,
    authorize,
    exchange: (code: string) =>
      post('/token', {
        grant_type: 'authorization_code',
        code,
        redirect_uri: redirectUri,
        code_verifier: verifier,
      }),
    refresh: (refreshToken: string) =>
      post('/token', { grant_type: 'refresh_token', refresh_token: refreshToken }),
    revoke: (token: string) => post('/token/revocation', { token }),
    /** From the first page to the tokens. */
    login: async (login: string, password = 'gatehouse'): Promise<TokenAnswer> => {
      const page = await authorize()
      const action = /action="([^"]+)"/.exec(page.html)?.[1]
      assert.ok(action, 'there is a login form')
      const { location } = await follow(action, { login, password })
      const code = new URL(location).searchParams.get('code')
      assert.ok(code, location)
      return post('/token', {
        grant_type: 'authorization_code',
        code,
        redirect_uri: redirectUri,
        code_verifier: verifier,
      })
    },
  }
}
