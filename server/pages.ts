// The client: the built one in production, Vite with hot reload in development. A page navigation gets
// index.html, a file that is not there gets 404: never one for the other.
import type { IncomingMessage, Server } from 'node:http'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { Router, type Request, type RequestHandler, type Response } from 'express'
import sirv from 'sirv'
import { NotFound } from './errors.ts'

export interface Pages extends AsyncDisposable {
  handler: RequestHandler
  /** Whether an upgrade is Vite's own: then nobody else may answer it. */
  ownsUpgrade: (request: IncomingMessage) => boolean
}

// Replaced in each answer: a nonce that is the same twice is none.
const noncePlaceholder = '__csp_nonce__'
const clientDirectory = fileURLToPath(new URL('../client', import.meta.url))

/** Opens the built client in production, and Vite otherwise; `server` carries Vite's own WebSocket. */
export function openPages(production: boolean, server: Server): Promise<Pages> {
  return production ? openBuiltPages(`${clientDirectory}/dist`) : openVite(server)
}

/** Whether a request is a person going to a page, rather than a file or a program's call. */
function isNavigation(request: Request): boolean {
  const { path } = request
  const namesFile = path.slice(path.lastIndexOf('/') + 1).includes('.') || path.includes('/.')
  const isPage = (request.method === 'GET' || request.method === 'HEAD') && !namesFile
  return (
    isPage && !path.startsWith('/assets/') && (request.headers.accept ?? '').includes('text/html')
  )
}

async function openBuiltPages(directory: string): Promise<Pages> {
  // Read now: a start without a build fails here, with the file's name, and not at the first visitor.
  await readFile(`${directory}/index.html`)
  const files = sirv(directory, {
    etag: true,
    brotli: true,
    gzip: true,
    dotfiles: false,
    setHeaders: (response, path) =>
      response.setHeader(
        'Cache-Control',
        path.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
      ),
  })
  const handler: RequestHandler = (request, response, next) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return next(new NotFound())
    if (isNavigation(request)) request.url = '/index.html'
    delete request.headers.range // sirv does not read all of its forms; whole files are always right
    // sirv does not listen for the failure of a file that it reads, which would end the process.
    response.once('pipe', (file) => file.on('error', () => response.destroy()))
    return files(request, response, () => next(new NotFound()))
  }
  return { handler, ownsUpgrade: () => false, [Symbol.asyncDispose]: () => Promise.resolve() }
}

async function openVite(server: Server): Promise<Pages> {
  const { createServer } = await import('vite')
  const vite = await createServer({
    root: clientDirectory,
    appType: 'custom',
    configLoader: 'native', // the others write a file beside it, which `--watch` takes for an edit
    server: { middlewareMode: true, ws: { server } },
    html: { cspNonce: noncePlaceholder },
  })

  const page = async (request: Request, response: Response) => {
    const template = await readFile(`${clientDirectory}/index.html`, 'utf8')
    const html = await vite.transformIndexHtml(request.originalUrl, template)
    response
      .set('Cache-Control', 'no-cache')
      .type('html')
      .send(html.replaceAll(noncePlaceholder, response.cspNonce ?? ''))
  }
  const pages: RequestHandler = async (request, response, next) => {
    if (isNavigation(request)) await page(request, response)
    else next(new NotFound())
  }
  return {
    handler: Router().use(vite.middlewares).use(pages),
    ownsUpgrade: ({ headers }) => /^vite-(hmr|ping)$/.test(headers['sec-websocket-protocol'] ?? ''),
    [Symbol.asyncDispose]: () => vite.close(),
  }
}
