import { Feed } from './dashboard/feed.tsx'
import { ItemTable } from './dashboard/item-table.tsx'
import { StreamedAnswer } from './dashboard/streamed-answer.tsx'
import { Upload } from './dashboard/upload.tsx'

export default function Dashboard() {
  return (
    <>
      <h1>Dashboard</h1>
      <div className="dashboard">
        <ItemTable />
        <Feed />
        <StreamedAnswer />
        <Upload />
      </div>
    </>
  )
}
