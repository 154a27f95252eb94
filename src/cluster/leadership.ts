/**
 * The Leases of the control plane: one for each part that must run once in a cluster, and one that says which API
 * servers there are. The store belongs to one process, so its parts find their own name in the Leases after a
 * restart and begin at once; heartbeats are acknowledged from memory and write nothing to the disk.
 */
import { createHash } from 'node:crypto'
import { leases, type Lease } from '#api'
import type { Env } from '#base'
import { lead, type Client } from '#client'
import { isStatus } from '#machinery'

export interface Leadership {
  /** Runs `work` while it leads; the signal aborts when it no longer does. */
  run(name: string, client: Client, work: (signal: AbortSignal) => void): void
  /** Once all Leases were given back, after the signal's abort. */
  readonly ended: () => Promise<void>
}

/** Nobody else can be there: work begins at once and lasts as long as the control plane. */
export const alone = (signal: AbortSignal): Leadership => ({
  run: (_name, _client, work) => work(signal),
  ended: async () => undefined,
})

const NAMESPACE = 'kube-system'
/** Nobody waits for a Lease while its holder lives, so it lasts longer and is renewed less often than upstream's. */
const TERM = { leaseMs: 60_000, renewDeadlineMs: 40_000, retryMs: 15_000 }

/** @param identity the same after a restart upon the same store */
export function elected(
  env: Pick<Env, 'clock' | 'random' | 'log' | 'metrics'>,
  identity: string,
  signal: AbortSignal,
): Leadership {
  const terms: Promise<void>[] = []
  /** By name, whether it leads. */
  const leading = new Map<string, boolean>()
  env.metrics.gauge(
    { name: 'leader_election_master_status', help: 'Whether it leads.', labels: ['name'] },
    () => Array.from(leading, ([name, leads]) => [[name], leads ? 1 : 0] as const),
  )
  return {
    run(name, client, work) {
      const election = { namespace: NAMESPACE, name, identity, ...TERM }
      const term = async (lost: AbortSignal): Promise<void> => {
        work(lost)
        leading.set(name, true)
        await new Promise<void>((resolve) => {
          if (lost.aborted) resolve()
          lost.addEventListener('abort', () => resolve(), { once: true })
        })
        leading.set(name, false)
      }
      terms.push(lead(client, env, election, term, signal))
    },
    ended: async () => void (await Promise.allSettled(terms)),
  }
}

const IDENTITY_LABEL = 'apiserver.kubernetes.io/identity'
const SERVER = 'kube-apiserver'
const RENEW_MS = 60_000
const FIRST_MS = 1000
const LEASE_SECONDS = 3600
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567'

/** `apiserver-` and the first 16 bytes of the host name's digest, as upstream names an API server (KEP-1965). */
export function apiServerName(host: string): string {
  const digest = createHash('sha256').update(host).digest().subarray(0, 16)
  const bits = [...digest].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  const letters = bits.match(/.{1,5}/g) ?? []
  return `apiserver-${letters.map((five) => BASE32[Number.parseInt(five.padEnd(5, '0'), 2)]).join('')}`
}

const micro = (at: Date): string => at.toISOString().replace('Z', '000Z')

/** Renews the Lease of this API server until the signal aborts, and removes those of servers that are gone. */
export async function keepIdentity(
  client: Client,
  env: Pick<Env, 'clock' | 'random' | 'log'>,
  { host, identity }: { readonly host: string; readonly identity: string },
  signal: AbortSignal,
): Promise<void> {
  const { clock } = env
  const name = apiServerName(host)
  const key = { namespace: NAMESPACE, name }
  const holderIdentity = `${name}_${identity}`
  let held: Lease | undefined
  let sweepAt = 0
  // Nobody waits for it, and the start has better things to do.
  await clock.sleep(FIRST_MS, signal).catch(() => undefined)
  while (!signal.aborted) {
    try {
      const now = clock.now()
      const spec = { holderIdentity, leaseDurationSeconds: LEASE_SECONDS, renewTime: micro(now) }
      held ??= await client.getOptional(leases, key, { signal })
      const labels = { [IDENTITY_LABEL]: SERVER, 'kubernetes.io/hostname': host }
      held =
        held === undefined
          ? await client.create(leases, { metadata: { ...key, labels }, spec }, { signal })
          : await client.update(leases, { ...held, spec }, { signal })
      if (now.getTime() >= sweepAt) {
        sweepAt = now.getTime() + LEASE_SECONDS * 1000
        await removeExpired(client, now, signal)
      }
    } catch (error) {
      if (signal.aborted) return
      held = undefined
      if (!isStatus(error, 'Conflict') && !isStatus(error, 'NotFound'))
        env.log.warn('Cannot renew the lease of the API server', { lease: name, error })
    }
    await clock.sleep(RENEW_MS, signal).catch(() => undefined)
  }
}

async function removeExpired(client: Client, now: Date, signal: AbortSignal): Promise<void> {
  const { items } = await client.list(leases, {
    namespace: NAMESPACE,
    labelSelector: `${IDENTITY_LABEL}=${SERVER}`,
    signal,
  })
  for (const { metadata, spec } of items) {
    const renewed = Date.parse(spec?.renewTime ?? metadata.creationTimestamp ?? '')
    if (renewed + (spec?.leaseDurationSeconds ?? 0) * 1000 >= now.getTime()) continue
    const { namespace = '', name, uid } = metadata
    await client.delete(leases, { namespace, name }, { preconditions: { uid }, signal })
  }
}
