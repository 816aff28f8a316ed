/** The gate: an arch, and the lamp that burns in it. */
export function Mark({ size = 28 }: { size?: number }) {
  return (
    <svg className="mark" width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
      <path d="M5 28V14.5a11 11 0 0 1 22 0V28h-6V15a5 5 0 0 0-10 0v13z" />
      <circle cx="16" cy="20" r="2.4" />
    </svg>
  )
}
