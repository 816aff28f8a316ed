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
      <main className="narrow">
        <h1>This page has failed</h1>
        <p>It is not your fault. What you were doing elsewhere is not affected.</p>
        <button type="button" onClick={() => location.reload()}>
          Load it again
        </button>
      </main>
    )
  }
}
