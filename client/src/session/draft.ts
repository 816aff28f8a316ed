// What a person has typed survives the way to the provider and back, and a reload.
import { useCallback, useState } from 'react'
import { keepText, readKeptText } from './kept-text.ts'
import { useMe } from './session.tsx'

/** As `useState('')`, for text that it would be a pity to lose. `name` is the field's, once in the app. */
export function useDraft(name: string): [string, (text: string) => void] {
  const { sub } = useMe().user
  const [text, setText] = useState(() => readKeptText(sub, name))
  const change = useCallback(
    (next: string) => {
      setText(next)
      keepText(sub, name, next)
    },
    [sub, name],
  )
  return [text, change]
}
