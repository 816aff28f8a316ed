import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { App } from './app.tsx'
import { ErrorBoundary } from './parts/error-boundary.tsx'
import { SessionProvider } from './session/session.tsx'
import './styles/look.css'
import './styles/controls.css'
import './styles/frame.css'
import './styles/pages.css'

const reloadedKey = 'gatehouse-reloaded-at'

// After a deploy an old page asks for files that are gone. The new page has their new names: load it, but
// not in a circle when they can't be had either.
addEventListener('vite:preloadError', (event) => {
  const reloadedAtMs = Number(sessionStorage.getItem(reloadedKey))
  if (Date.now() - reloadedAtMs < 10_000) return
  sessionStorage.setItem(reloadedKey, String(Date.now()))
  event.preventDefault()
  location.reload()
})

const root = document.getElementById('root')
if (!root) throw new Error('index.html has no #root')
createRoot(root).render(
  <StrictMode>
    <ErrorBoundary>
      <SessionProvider>
        <App />
      </SessionProvider>
    </ErrorBoundary>
  </StrictMode>,
)
