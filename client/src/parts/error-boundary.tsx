import { Component, type ReactNode } from 'react'

/** What a person sees of a bug in a page: a sentence and a way on, instead of nothing. */
export class ErrorBoundary extends Component<{ children: ReactNode }, { hasFailed: boolean }> {
  override state = { hasFailed: false }

  static getDerivedStateFromError() {
    return { hasFailed: true }
  }

  override render() {
    if (!this.state.hasFailed) return this.props.children
    return (
      <section className="lonely" role="alert">
        <h1>This page has failed</h1>
        <p>It is a fault of ours. Your session and the other pages are not affected.</p>
        <div className="row">
          <button type="button" className="button primary" onClick={() => location.reload()}>
            Load it again
          </button>
          <a className="button" href="/">
            To the start
          </a>
        </div>
      </section>
    )
  }
}
