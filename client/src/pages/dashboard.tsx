// Everything that passes the gate, at work: a table, a WebSocket, a streamed answer, an upload.
import { PageTitle } from '../parts/page-title.tsx'
import { Feed } from './dashboard/feed.tsx'
import { ItemTable } from './dashboard/item-table.tsx'
import { StreamedAnswer } from './dashboard/streamed-answer.tsx'
import { Upload } from './dashboard/upload.tsx'

export default function Dashboard() {
  return (
    <>
      <PageTitle name="Dashboard" />
      <div className="dashboard">
        <Feed />
        <ItemTable />
        <StreamedAnswer />
        <Upload />
      </div>
    </>
  )
}
