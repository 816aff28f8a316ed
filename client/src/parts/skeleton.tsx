/** The place of a page that is on its way; it says so only to those who can't see it. */
export function Skeleton() {
  return (
    <div className="skeleton-page">
      <span className="visually-hidden" role="status">
        Loading
      </span>
      <div className="skeleton" data-part="title" />
      <div className="skeleton" data-part="card" />
      <div className="skeleton" data-part="card" />
    </div>
  )
}

/** Lines of a card whose content is on its way, as high as that will be. */
export function SkeletonLines({ count }: { count: number }) {
  return (
    <div className="skeleton-lines" aria-hidden="true">
      {Array.from({ length: count }, (_, at) => (
        <div key={at} className="skeleton" />
      ))}
    </div>
  )
}
