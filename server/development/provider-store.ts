// What the development provider remembers (keys, grants, its own sessions), in memory and, when it is
// given a file, there too: a restart of the development server logs nobody out.
import { generateKeyPair, randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { isErrno } from './processes.ts'
import { StartFault } from './start-fault.ts'
import type { Adapter, AdapterFactory, AdapterPayload } from 'oidc-provider'

interface Kept {
  payload: AdapterPayload
  expiresAt: number | undefined
}

interface State {
  signingKey: Record<string, unknown>
  cookieKey: string
  entries: [string, Kept][]
}

export interface ProviderStore extends AsyncDisposable {
  signingKey: Record<string, unknown>
  cookieKey: string
  adapter: AdapterFactory
}

const savedAfterMs = 200

export async function openProviderStore(file: string | undefined): Promise<ProviderStore> {
  const state = (file === undefined ? undefined : await readState(file)) ?? (await createState())
  const entries = new Map(state.entries)
  let timer: NodeJS.Timeout | undefined
  let saving: Promise<void> = Promise.resolve()

  const save = async (path: string) => {
    timer = undefined
    for (const [key, { expiresAt = Infinity }] of entries)
      if (expiresAt <= Date.now()) entries.delete(key)
    const content: State = { ...state, entries: [...entries] }
    await mkdir(dirname(path), { recursive: true })
    await writeFile(`${path}.new`, JSON.stringify(content), { mode: 0o600 })
    await rename(`${path}.new`, path) // whole or not at all
  }
  const changed = () => {
    if (file === undefined) return
    timer ??= setTimeout(() => {
      saving = saving
        .then(() => save(file))
        .catch((error: unknown) => console.error(`The provider can't write ${file}.`, error)) // it goes on in memory
    }, savedAfterMs)
  }
  if (file !== undefined && state.entries.length === 0) await save(file)

  const find = (key: string) => {
    const kept = entries.get(key)
    return kept && (kept.expiresAt === undefined || kept.expiresAt > Date.now())
      ? kept.payload
      : undefined
  }
  const findBy = (model: string, matches: (payload: AdapterPayload) => boolean) =>
    [...entries].find(([key, { payload }]) => key.startsWith(`${model}:`) && matches(payload))?.[1]
      .payload

  const adapter = (model: string): Adapter => ({
    upsert: async (id, payload, expiresIn) => {
      const expiresAt = expiresIn === undefined ? undefined : Date.now() + expiresIn * 1000
      entries.set(`${model}:${id}`, { payload, expiresAt })
      changed()
    },
    find: async (id) => find(`${model}:${id}`),
    findByUid: async (uid) => findBy(model, (payload) => payload.uid === uid),
    findByUserCode: async (userCode) => findBy(model, (payload) => payload.userCode === userCode),
    consume: async (id) => {
      const payload = find(`${model}:${id}`)
      if (payload) payload.consumed = Math.floor(Date.now() / 1000)
      changed()
    },
    destroy: async (id) => {
      entries.delete(`${model}:${id}`)
      changed()
    },
    revokeByGrantId: async (grantId) => {
      for (const [key, { payload }] of entries) if (payload.grantId === grantId) entries.delete(key)
      changed()
    },
  })

  return {
    signingKey: state.signingKey,
    cookieKey: state.cookieKey,
    adapter,
    [Symbol.asyncDispose]: async () => {
      clearTimeout(timer)
      await saving
      if (timer && file !== undefined) await save(file)
    },
  }
}

async function createState(): Promise<State> {
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 })
  const jwk = privateKey.export({ format: 'jwk' })
  const signingKey = { ...jwk, kid: randomBytes(8).toString('hex'), use: 'sig', alg: 'RS256' }
  return { signingKey, cookieKey: randomBytes(32).toString('base64url'), entries: [] }
}

async function readState(file: string): Promise<State | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as State // our own file, 0600, renamed into place
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined
    if (error instanceof SyntaxError)
      throw new StartFault(`${file} is broken: remove it (everybody is logged out then).`)
    throw error
  }
}
