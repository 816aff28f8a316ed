import type { Item, Items } from '../../../../shared/example-api.ts'
import { Failure } from '../../parts/failure.tsx'
import { SkeletonLines } from '../../parts/skeleton.tsx'
import { Ago } from '../../parts/times.tsx'
import { useLoaded } from '../../session/loaded.ts'

const statusNames: Record<Item['status'], string> = {
  running: 'Running',
  waiting: 'Waiting',
  failed: 'Failed',
}

/** A table from the API, by `fetch` through the gate. */
export function ItemTable() {
  const { body, failure, isLoading, reload } = useLoaded<Items>('/api/items')
  return (
    <section
      className="card"
      data-panel="items"
      aria-labelledby="items-title"
      aria-busy={isLoading}
    >
      <div className="card-head">
        <h2 id="items-title">Jobs</h2>
        <button type="button" className="button" disabled={isLoading && !failure} onClick={reload}>
          Refresh
        </button>
      </div>
      {!body && !failure && <SkeletonLines count={9} />}
      {body?.items.length === 0 && (
        <p className="empty">There are no jobs yet. The API has none to show.</p>
      )}
      {body && body.items.length > 0 && <Table items={body.items} />}
      {failure && <Failure failure={failure} onRetry={reload} />}
    </section>
  )
}

function Table({ items }: { items: Item[] }) {
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Name</th>
          <th scope="col">Status</th>
          <th scope="col" className="less">
            Owner
          </th>
          <th scope="col">Changed</th>
        </tr>
      </thead>
      <tbody>
        {items.map(({ id, name, status, owner, updatedAt }) => (
          <tr key={id}>
            <th scope="row">{name}</th>
            <td>
              <span className="status" data-status={status}>
                {statusNames[status]}
              </span>
            </td>
            <td className="less">{owner}</td>
            <td>
              <Ago at={updatedAt} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
