/** What could not be started, and what to do about it, in one sentence for the person at the terminal. */
export class StartFault extends Error {
  override readonly name = 'StartFault'
}
