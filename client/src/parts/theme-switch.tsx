import { useState } from 'react'

const themes = [
  { name: 'system', label: 'As the system', drawing: 'M16 6a10 10 0 1 0 0 20z' },
  {
    name: 'light',
    label: 'Light',
    drawing:
      'M16 10a6 6 0 1 0 0 12 6 6 0 0 0 0-12zM15 3h2v4h-2zM15 25h2v4h-2zM3 15h4v2H3zM25 15h4v2h-4zM6.1 7.5l1.4-1.4 2.8 2.8-1.4 1.4zM21.7 23.1l1.4-1.4 2.8 2.8-1.4 1.4zM6.1 24.5l2.8-2.8 1.4 1.4-2.8 2.8zM21.7 8.9l2.8-2.8 1.4 1.4-2.8 2.8z',
  },
  {
    name: 'dark',
    label: 'Dark',
    drawing: 'M20.5 5.2A11.3 11.3 0 1 0 27 20.6 9.6 9.6 0 0 1 20.5 5.2z',
  },
] as const

const key = 'gatehouse-theme'

/** The system's choice, or the person's: remembered in this browser, and applied early by public/theme.js. */
export function ThemeSwitch() {
  const [chosen, setChosen] = useState(document.documentElement.dataset['theme'] ?? 'system')
  const choose = (name: string) => {
    setChosen(name)
    if (name === 'system') {
      delete document.documentElement.dataset['theme']
      localStorage.removeItem(key)
    } else {
      document.documentElement.dataset['theme'] = name
      localStorage.setItem(key, name)
    }
  }
  return (
    <fieldset className="theme">
      <legend className="visually-hidden">Theme</legend>
      {themes.map(({ name, label, drawing }) => (
        <label key={name} title={label}>
          <input
            type="radio"
            name="theme"
            value={name}
            checked={chosen === name}
            onChange={() => choose(name)}
          />
          <svg width="18" height="18" viewBox="0 0 32 32" aria-hidden="true">
            {name === 'system' && <circle cx="16" cy="16" r="10" />}
            <path d={drawing} />
          </svg>
          <span className="visually-hidden">{label}</span>
        </label>
      ))}
    </fieldset>
  )
}
