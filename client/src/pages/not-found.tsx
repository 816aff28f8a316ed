import { Link } from 'wouter'

export default function NotFound() {
  return (
    <section className="narrow card">
      <h1>There is nothing here</h1>
      <p>The address may be mistyped, or the page has moved.</p>
      <Link className="button" href="/">
        To the start
      </Link>
    </section>
  )
}
