/** The server's certificates while it runs: made anew in time, and when it is to be reached at one more address. */
import { ensurePki, type Pki } from '#apiserver'
import type { Env } from '#base'

export interface Certificates {
  current(): Pki
  /** The server's certificate covers this address too. */
  cover(address: string): Promise<void>
  /** Calls back after each change; what was set up with the earlier ones should take the new. */
  onChange(listener: (pki: Pki) => void): void
}

/** A renewal that failed, for a full disk or the like, is tried again after this. */
const RETRY_MS = 3600 * 1000
const LOOK_MS = 3600 * 1000

export async function keepCertificates(
  env: Pick<Env, 'fs' | 'clock' | 'random' | 'log'>,
  folder: string,
  options: NonNullable<Parameters<typeof ensurePki>[2]>,
  signal: AbortSignal,
): Promise<Certificates> {
  const log = env.log.for('cluster')
  const ips = new Set(options.ips)
  const listeners: ((pki: Pki) => void)[] = []
  let pki = await ensurePki(env, folder, options)
  let work: Promise<void> = Promise.resolve()
  const ensure = (): Promise<void> => {
    const mine = work
      .catch(() => undefined)
      .then(async () => {
        pki = await ensurePki(env, folder, { ...options, ips: [...ips] })
        for (const listener of listeners) listener(pki)
      })
    work = mine
    return mine
  }
  const renew = async (): Promise<void> => {
    for (let notBefore = 0; ;) {
      // Wall time may jump, as on a laptop that slept: it is looked at now and then.
      const dueMs = Math.max(pki.renewAt.getTime(), notBefore) - env.clock.now().getTime()
      if (dueMs > 0) {
        await env.clock.sleep(Math.min(dueMs, LOOK_MS), signal)
        continue
      }
      notBefore = env.clock.now().getTime() + RETRY_MS
      try {
        await ensure()
        log.info('certificates were made anew', { next: pki.renewAt.toISOString() })
      } catch (error) {
        log.error('cannot make new certificates; trying again', { error })
      }
    }
  }
  renew().catch(() => undefined)
  return {
    current: () => pki,
    async cover(address) {
      if (ips.has(address)) return
      ips.add(address)
      await ensure()
    },
    onChange: (listener) => void listeners.push(listener),
  }
}
