import { useEffect, type ReactNode } from 'react'

/** A page's heading, and its name in the tab. */
export function PageTitle({ name, children }: { name: string; children?: ReactNode }) {
  useEffect(() => {
    document.title = `${name} · Gatehouse`
    return () => {
      document.title = 'Gatehouse'
    }
  }, [name])
  return (
    <div className="page-title">
      <h1>{name}</h1>
      {children}
    </div>
  )
}
