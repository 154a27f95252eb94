/**
 * Keys of service-account tokens that no longer sign. What they signed is good for a while yet, so that
 * nothing stops on the day a key is exchanged: running pods get tokens of the new one within a day.
 */
import { createHash, createPublicKey } from 'node:crypto'
import type { Env } from '#base'
import { keyPem, newKey } from './keys.ts'

const SIGNING = 'service-account.key'
const RETIRED = 'service-account-retired.json'

/** A key that only verifies. */
export interface RetiredKey {
  /** As tokens name it. */
  readonly keyId: string
  /** PEM. */
  readonly publicKey: string
  /** ISO 8601; absent when its tokens are good for ever. */
  readonly until?: string
}

type KeyEnv = Pick<Env, 'fs' | 'clock' | 'random'>

/** Those whose tokens are still good. */
export async function retiredKeys(
  { fs, clock }: Pick<Env, 'fs' | 'clock'>,
  folder: string,
): Promise<readonly RetiredKey[]> {
  const path = `${folder}/${RETIRED}`
  if (!(await fs.stat(path))) return []
  const kept = JSON.parse(await fs.readText(path)) as readonly RetiredKey[]
  const now = clock.now().toISOString()
  return kept.filter(({ until }) => until === undefined || until > now)
}

/** Makes a new key for the next start to sign with; undefined when the folder has none to replace. */
export async function rotateServiceAccountKey(
  env: KeyEnv,
  folder: string,
  { graceMs }: { /** Undefined for ever. */ readonly graceMs: number | undefined },
): Promise<{ readonly keyId: string; readonly retired: readonly RetiredKey[] } | undefined> {
  const { fs, clock, random } = env
  const path = `${folder}/${SIGNING}`
  if (!(await fs.stat(path))) return undefined
  const old = await fs.readText(path)
  const end = graceMs === undefined ? undefined : new Date(clock.now().getTime() + graceMs)
  const retired: readonly RetiredKey[] = [
    ...(end !== undefined && end <= clock.now()
      ? []
      : [{ ...publicOf(old), ...(end === undefined ? {} : { until: end.toISOString() }) }]),
    ...(await retiredKeys(env, folder)),
  ]
  const next = keyPem(newKey(random))
  // The old one is known as retired before it is gone: a crash in between loses no token.
  await fs.write(`${folder}/${RETIRED}`, `${JSON.stringify(retired, undefined, 2)}\n`, {
    mode: 0o600,
    atomic: true,
  })
  await fs.write(path, next, { mode: 0o600, atomic: true })
  return { keyId: publicOf(next).keyId, retired }
}

/** Ends the grace of those that no longer sign; gives how many there were. */
export async function forgetRetiredKeys(
  env: Pick<Env, 'fs' | 'clock'>,
  folder: string,
): Promise<number> {
  const known = await retiredKeys(env, folder)
  if (known.length > 0)
    await env.fs.write(`${folder}/${RETIRED}`, '[]\n', { mode: 0o600, atomic: true })
  return known.length
}

function publicOf(key: string): RetiredKey {
  const publicKey = createPublicKey(key)
  const der = publicKey.export({ format: 'der', type: 'spki' })
  return {
    keyId: createHash('sha256').update(der).digest('base64url'),
    publicKey: publicKey.export({ format: 'pem', type: 'spki' }).toString(),
  }
}
