// Where text that was typed waits for its person while they log in again: this tab's storage, under their
// name, until they log out.
const prefix = 'gatehouse-draft/'
const keyOf = (subject: string, name: string) => `${prefix}${subject}/${name}`

export function readKeptText(subject: string, name: string): string {
  return sessionStorage.getItem(keyOf(subject, name)) ?? ''
}

export function keepText(subject: string, name: string, text: string): void {
  if (text === '') sessionStorage.removeItem(keyOf(subject, name))
  else sessionStorage.setItem(keyOf(subject, name), text)
}

export function forgetKeptText(): void {
  for (const key of Object.keys(sessionStorage))
    if (key.startsWith(prefix)) sessionStorage.removeItem(key)
}
