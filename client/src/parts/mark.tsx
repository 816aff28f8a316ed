/** The gate: an arch, and the lamp that burns in it. */
export function Mark({ size = 28 }: { size?: number }) {
  return (
    <svg className="mark" width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
      <path d="M4 29V15a12 12 0 0 1 24 0v14h-6V15a6 6 0 0 0-12 0v14z" />
      <circle cx="16" cy="17.5" r="2.8" />
    </svg>
  )
}
