/** One of several runs: whoever holds a Lease, until it stops renewing it. */
import { leases, type Lease } from '#api'
import type { Env } from '#base'
import { isStatus } from '#machinery'
import type { Client } from './client.ts'

/** Which Lease, and how long it holds. */
export interface Election {
  readonly namespace: string
  readonly name: string
  /** Different for each that stands. */
  readonly identity: string
  /** Others wait so long after the last renewal. Default 15,000. */
  readonly leaseMs?: number
  /** Steps down when it could not renew for so long. Default 10,000. */
  readonly renewDeadlineMs?: number
  /** Between two attempts. Default 2,000. */
  readonly retryMs?: number
}

/**
 * Runs `work` each time this one leads, with a signal that aborts when it no longer does. Resolves when
 * `signal` aborts and the lease was given back.
 */
export async function lead(
  client: Client,
  env: Pick<Env, 'clock' | 'random' | 'log'>,
  election: Election,
  work: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const { namespace, name, identity } = election
  const { leaseMs = 15_000, renewDeadlineMs = 10_000, retryMs = 2_000 } = election
  const { clock, random } = env
  const log = env.log.for('leader-election')
  /** Judged by our own clock since we saw it, for the clocks of machines differ. */
  let seen: { readonly version: string; readonly at: number } | undefined
  /** As we wrote it last: renewing needs no look at it, unless somebody else has written. */
  let held: Lease | undefined

  const attempt = async (): Promise<boolean> => {
    const now = clock.now().toISOString().replace('Z', '000Z')
    const lease = held ?? (await client.getOptional(leases, { namespace, name }, { signal }))
    held = undefined
    if (lease === undefined) {
      held = await client.create(
        leases,
        { metadata: { namespace, name }, spec: claim(now, now, 0) },
        { signal },
      )
      return true
    }
    const { resourceVersion } = lease.metadata
    if (seen?.version !== resourceVersion)
      seen = { version: resourceVersion, at: clock.monotonic() }
    const holder = lease.spec?.holderIdentity ?? ''
    const heldMs = (lease.spec?.leaseDurationSeconds ?? 0) * 1000
    if (holder !== '' && holder !== identity && clock.monotonic() < seen.at + heldMs) return false
    const mine = holder === identity
    const spec = claim(
      mine ? (lease.spec?.acquireTime ?? now) : now,
      now,
      (lease.spec?.leaseTransitions ?? 0) + (mine ? 0 : 1),
    )
    held = await client.update(leases, { ...lease, spec: { ...lease.spec, ...spec } }, { signal })
    return true
  }
  const claim = (acquireTime: string, renewTime: string, leaseTransitions: number) => ({
    holderIdentity: identity,
    leaseDurationSeconds: Math.ceil(leaseMs / 1000),
    acquireTime,
    renewTime,
    leaseTransitions,
  })
  const tried = async (): Promise<boolean> => {
    try {
      return await attempt()
    } catch (error) {
      const isRace = RACES.some((reason) => isStatus(error, reason))
      if (!isRace && !signal.aborted)
        log.warn('Cannot take or renew the lease', { lease: `${namespace}/${name}`, error })
      return false
    }
  }
  const pause = (): Promise<void> =>
    clock.sleep(retryMs * (1 + random.next() / 5), signal).catch(() => undefined)

  const reign = async (): Promise<void> => {
    const term = new AbortController()
    const ended = work(AbortSignal.any([signal, term.signal])).catch((error: unknown) => {
      if (!signal.aborted && !term.signal.aborted) log.error('The leader failed', { error })
    })
    let renewed = clock.monotonic()
    while (!signal.aborted) {
      await pause()
      if (signal.aborted) break
      if (await tried()) renewed = clock.monotonic()
      else if (clock.monotonic() - renewed > renewDeadlineMs) break
    }
    term.abort(new Error(`No longer holds the lease ${namespace}/${name}`))
    await ended
  }

  while (!signal.aborted) {
    if (await tried()) {
      log.info('Leading', { lease: `${namespace}/${name}`, identity })
      await reign()
    } else await pause()
  }
  await release(client, election).catch((error: unknown) =>
    log.debug('Cannot give the lease back', { error }),
  )
}

/** Somebody was quicker, or has removed what we held: the next attempt looks again. */
const RACES = ['Conflict', 'AlreadyExists', 'NotFound'] as const

/** So that the next one need not wait for the lease to run out. */
async function release(client: Client, { namespace, name, identity }: Election): Promise<void> {
  const lease: Lease | undefined = await client.getOptional(leases, { namespace, name })
  if (lease?.spec?.holderIdentity !== identity) return
  await client.update(leases, {
    ...lease,
    spec: { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1 },
  })
}
