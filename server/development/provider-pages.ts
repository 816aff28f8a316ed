// The few pages of the development provider: plain HTML that a person, a screen reader and a test read.
import { createHash } from 'node:crypto'

const escapes = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ["'", '&#39;'],
])
const escapeHtml = (text: string) =>
  text.replace(/[&<>"']/g, (character) => escapes.get(character) ?? '')

const style = `
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
  body { min-height: 100vh; margin: 0; display: grid; place-items: center; background: Canvas }
  main { width: min(22rem, 90vw); padding: 2rem; border: 1px solid color-mix(in srgb, CanvasText 20%, Canvas); border-radius: 12px }
  h1 { margin: 0 0 .25rem; font-size: 1.25rem } p { margin: 0 0 1rem; opacity: .8 }
  label { display: block; margin-bottom: .75rem } input { display: block; width: 100%; box-sizing: border-box; font: inherit; padding: .5rem; margin-top: .25rem }
  button { font: inherit; padding: .5rem 1rem; cursor: pointer } .wrong { color: #c0392b; opacity: 1 } a { margin-left: 1rem }`

// Where scripts are off, its button is pressed by the person.
const script = "document.getElementById('confirm').click()"
const hash = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`
/** For every page: our own style and script, and nothing else. Without `form-action`, since it would hold for the redirect back to the app too. */
export const contentSecurityPolicy = `default-src 'none'; style-src ${hash(style)}; script-src ${hash(script)}; img-src data:; base-uri 'none'; frame-ancestors 'none'`

const page = (title: string, body: string) => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<title>${title}</title><style>${style}</style></head><body><main>${body}</main></body></html>`

export function loginPage(
  action: string,
  people: readonly string[],
  login: string,
  wrong: boolean,
): string {
  return page(
    'Log in',
    `<h1>Development login</h1>
    <p>People: ${people.map(escapeHtml).join(', ')}. Password: gatehouse</p>
    ${wrong ? '<p class="wrong" role="alert">That is not the name and password of anyone here.</p>' : ''}
    <form method="post" action="${escapeHtml(action)}">
      <label>Name <input name="login" value="${escapeHtml(login)}" autocomplete="username" autofocus required></label>
      <label>Password <input name="password" type="password" autocomplete="current-password" required></label>
      <button type="submit">Log in</button> <a href="${escapeHtml(action)}/abort">Cancel</a>
    </form>`,
  )
}

/** `form` is oidc-provider's own, with the id `op.logoutForm`. It sends itself. */
export function logoutPage(form: string): string {
  return page(
    'Log out',
    `<h1>Logging out…</h1>${form}
    <button type="submit" form="op.logoutForm" name="logout" value="yes" id="confirm">Log out</button>
    <script>${script}</script>`,
  )
}

export function errorPage(facts: Record<string, unknown>): string {
  const rows = Object.entries(facts).map(
    ([name, value]) => `<p><b>${escapeHtml(name)}</b> ${escapeHtml(String(value))}</p>`,
  )
  return page(
    'Something went wrong',
    `<h1>The development provider refused this</h1>${rows.join('')}`,
  )
}
