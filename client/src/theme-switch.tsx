import { useState } from 'react'

const themes = ['system', 'light', 'dark'] as const

/** The system's choice, or the person's; remembered in this browser (public/theme.js applies it early). */
export function ThemeSwitch() {
  const [theme, setTheme] = useState(document.documentElement.dataset['theme'] ?? 'system')
  return (
    <label className="theme">
      <span className="visually-hidden">Theme</span>
      <select
        value={theme}
        onChange={({ target }) => {
          setTheme(target.value)
          document.documentElement.dataset['theme'] = target.value
          localStorage.setItem('theme', target.value)
        }}
      >
        {themes.map((name) => (
          <option key={name} value={name}>
            {name === 'system' ? 'Auto' : name === 'light' ? 'Light' : 'Dark'}
          </option>
        ))}
      </select>
    </label>
  )
}
