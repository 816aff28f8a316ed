import type { Items } from '../../../../shared/example-api.ts'
import { useResource } from '../../resource.ts'

const statusNames = { running: 'Running', waiting: 'Waiting', failed: 'Failed' }

/** A table from the API, by `fetch` through the gate. */
export function ItemTable() {
  const [items, reload] = useResource<Items>('/api/items')
  return (
    <section
      className="card wide"
      aria-labelledby="items-title"
      aria-busy={items.kind === 'loading'}
    >
      <div className="card-head">
        <h2 id="items-title">Jobs</h2>
        <button type="button" className="quiet" onClick={reload}>
          Refresh
        </button>
      </div>
      {items.kind === 'loading' && <div className="skeleton tall" />}
      {items.kind === 'failed' && (
        <p className="failure" role="alert">
          {items.sentence}{' '}
          <button type="button" className="link" onClick={reload}>
            Try again
          </button>
        </p>
      )}
      {items.kind === 'ready' && items.body.items.length === 0 && <p>There are no jobs yet.</p>}
      {items.kind === 'ready' && items.body.items.length > 0 && (
        <div className="scroll" role="region" aria-labelledby="items-title" tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th scope="col">Name</th>
                <th scope="col">Status</th>
                <th scope="col">Owner</th>
                <th scope="col">Changed</th>
              </tr>
            </thead>
            <tbody>
              {items.body.items.map(({ id, name, status, owner, updatedAt }) => (
                <tr key={id}>
                  <th scope="row">{name}</th>
                  <td>
                    <span className={`status ${status}`}>{statusNames[status]}</span>
                  </td>
                  <td>{owner}</td>
                  <td className="numbers">
                    <time dateTime={updatedAt}>{new Date(updatedAt).toLocaleTimeString()}</time>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  )
}
