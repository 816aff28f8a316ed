import { Link } from 'wouter'
import { Mark } from '../parts/mark.tsx'
import { PageTitle } from '../parts/page-title.tsx'

export default function NotFound() {
  return (
    <section className="lonely">
      <Mark size={56} />
      <PageTitle name="There is nothing here" />
      <p>The address may be mistyped, or the page has moved.</p>
      <Link className="button primary" href="/">
        To the start
      </Link>
    </section>
  )
}
