// What the browser is told to refuse on our pages and answers. Proxied answers keep their own headers.
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { RequestHandler } from 'express'
import helmet from 'helmet'

declare module 'node:http' {
  interface ServerResponse {
    /** For the inline scripts that only development has. */
    cspNonce?: string
  }
}

interface Parts {
  appUrl: URL
  production: boolean
  formTargets: () => string | undefined
}

/** `formTargets` are the origins, beside our own, to which a form's answer may lead: the provider's logout page. */
export function createSecurityHeaders({ appUrl, production, formTargets }: Parts): RequestHandler {
  const https = appUrl.protocol === 'https:'
  // Vite's development server writes inline scripts and styles into the page; the build has none.
  const nonce = (_request: IncomingMessage, response: ServerResponse) =>
    `'nonce-${response.cspNonce ?? ''}'`
  const inline = production ? [] : [nonce]

  const headers = helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'", ...inline],
        styleSrc: ["'self'", ...(production ? [] : ["'unsafe-inline'"])],
        imgSrc: ["'self'", 'data:', 'https:'], // people's pictures are at their providers
        fontSrc: ["'self'"],
        connectSrc: ["'self'"],
        manifestSrc: ["'self'"],
        workerSrc: ["'self'"],
        baseUri: ["'none'"],
        objectSrc: ["'none'"],
        frameAncestors: ["'none'"],
        // Chromium holds a form's redirects against this, too: the logout ends at the provider.
        formAction: ["'self'", () => formTargets() ?? "'self'"],
        ...(https && { upgradeInsecureRequests: [] }),
      },
    },
    strictTransportSecurity: https && { maxAge: 31_536_000, includeSubDomains: true },
    referrerPolicy: { policy: 'no-referrer' }, // RFC 9700 §4.2.4: no code or state in a Referer
    xFrameOptions: { action: 'deny' },
  })

  return (request, response, next) => {
    if (!production) response.cspNonce = randomBytes(16).toString('base64')
    headers(request, response, next)
  }
}
