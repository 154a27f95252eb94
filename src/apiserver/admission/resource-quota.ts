import { resourceQuotas, type Pod, type ResourceQuota } from '#api'
import type { Transport } from '#client'
import {
  compareQuantities,
  internalError,
  isStatus,
  keyOf,
  subtractQuantities,
  type ResourceList,
} from '#machinery'
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts'
import { inScope, pick, plus, showAmounts, unstated, usageOf } from './quota-usage.ts'
import { amounts, isAbout, qualifiedResource, refuse, type AdmissionLookups } from './words.ts'

/** A quota that somebody else changes at the same time is read again this often. */
const ATTEMPTS = 8

/** One request that waits for its namespace's turn. */
interface Waiting {
  readonly request: AdmissionRequest
  readonly resource: string
  /** What the request adds to the usage; never negative. */
  readonly delta: ResourceList
  readonly admit: () => void
  readonly reject: (error: unknown) => void
}

/**
 * Counts before it lets in. A namespace's requests take turns, all that wait at once are counted together, and the new usage
 * is stored before they go on: so no two of them can take the last place.
 */
export function resourceQuota(
  read: AdmissionLookups,
  /** With the server's own identity. */
  transport: Transport,
): AdmissionPlugin {
  const waiting = new Map<string, Waiting[]>()
  /** Our own last writes, until the cache shows them. */
  const written = new Map<string, ResourceQuota>()

  const current = (quota: ResourceQuota): ResourceQuota => {
    const own = written.get(keyOf(quota))
    if (own === undefined) return quota
    const isNewer =
      own.metadata.uid === quota.metadata.uid &&
      BigInt(own.metadata.resourceVersion) > BigInt(quota.metadata.resourceVersion)
    if (isNewer) return own
    written.delete(keyOf(quota))
    return quota
  }
  const quotasOf = (namespace: string): readonly ResourceQuota[] =>
    read.list(resourceQuotas, namespace).map(current)

  const store = async (quota: ResourceQuota, used: ResourceList): Promise<void> => {
    const { name, namespace = '' } = quota.metadata
    const answer = await transport.request({
      method: 'PUT',
      path: `/api/v1/namespaces/${namespace}/resourcequotas/${encodeURIComponent(name)}/status`,
      body: {
        ...quota,
        apiVersion: 'v1',
        kind: 'ResourceQuota',
        status: { hard: quota.status?.hard ?? quota.spec?.hard, used },
      },
      cause: `quota/${namespace}/${name}`,
    })
    written.set(keyOf(quota), answer as ResourceQuota)
  }

  /** Counts the batch against one quota and stores the sum; resolves to those that fit. */
  const charge = async (
    key: { readonly namespace: string; readonly name: string },
    batch: readonly Waiting[],
  ): Promise<readonly Waiting[]> => {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const found = read.get(resourceQuotas, key.namespace, key.name)
      if (found === undefined) return batch
      const quota = current(found)
      let used = usedOf(quota)
      const fitting: Waiting[] = []
      const refused: { readonly one: Waiting; readonly error: unknown }[] = []
      for (const one of batch) {
        const outcome = decide(quota, used, one)
        if (typeof outcome === 'string') refused.push({ one, error: refuse(one.request, outcome) })
        else {
          if (!one.request.dryRun) used = outcome
          fitting.push(one)
        }
      }
      const real = fitting.filter(({ request }) => !request.dryRun)
      try {
        if (real.length > 0) {
          const total = real.reduce((sum, one) => plus(sum, counted(quota, one)), usedOf(quota))
          if (showAmounts(total) !== showAmounts(usedOf(quota))) await store(quota, total)
        }
        for (const { one, error } of refused) one.reject(error)
        return fitting
      } catch (error) {
        written.delete(keyOf(quota))
        if (isStatus(error, 'NotFound')) return batch
        if (!isStatus(error, 'Conflict')) throw error
        await caughtUp(read, quota, transport, written)
      }
    }
    throw internalError(`resource quota evaluation timed out`)
  }

  const run = async (namespace: string): Promise<void> => {
    for (;;) {
      const batch = waiting.get(namespace) ?? []
      if (batch.length === 0) {
        waiting.delete(namespace)
        return
      }
      waiting.set(namespace, [])
      try {
        const quotas = quotasOf(namespace)
        let left = fittingAll(quotas, batch)
        for (const quota of quotas) {
          const concerned = left.filter((one) => concerns(quota, one))
          if (concerned.length === 0) continue
          const fitting = await charge({ namespace, name: quota.metadata.name }, concerned)
          left = left.filter((one) => !concerned.includes(one) || fitting.includes(one))
        }
        for (const { admit } of left) admit()
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
  }

  return {
    name: 'ResourceQuota',
    handles: (request) =>
      request.namespace !== '' &&
      ((request.operation === 'CREATE' && request.subresource === '') ||
        isAbout(request, 'services', ['UPDATE']) ||
        isAbout(request, 'persistentvolumeclaims', ['UPDATE']) ||
        isAbout(request, 'pods', ['UPDATE'], 'resize')),
    validate(request) {
      const quotas = quotasOf(request.namespace)
      if (quotas.length === 0) return undefined
      const resource = qualifiedResource(request)
      const now = usageOf(resource, request.object)
      const delta = request.old === undefined ? now : increase(now, usageOf(resource, request.old))
      if (Object.keys(delta).length === 0) return undefined
      return new Promise<void>((admit, reject) => {
        const one: Waiting = { request, resource, delta, admit, reject }
        if (!quotas.some((quota) => concerns(quota, one))) {
          admit()
          return
        }
        const queue = waiting.get(request.namespace)
        if (queue !== undefined) queue.push(one)
        else {
          waiting.set(request.namespace, [one])
          void run(request.namespace)
        }
      })
    },
  }
}

const hardOf = (quota: ResourceQuota): ResourceList => amounts(quota.status?.hard)
const usedOf = (quota: ResourceQuota): ResourceList => amounts(quota.status?.used)

/** What of the request the quota counts. */
const counted = (quota: ResourceQuota, { delta }: Waiting): ResourceList =>
  pick(delta, Object.keys(amounts(quota.spec?.hard)))

const concerns = (quota: ResourceQuota, one: Waiting): boolean =>
  Object.keys(counted(quota, one)).length > 0 || mustState(quota, one) !== undefined
    ? inScope(quota, one.resource, one.request.object)
    : false

const mustState = (quota: ResourceQuota, { resource, request }: Waiting): string | undefined => {
  const { spec } = (request.object ?? {}) as { readonly spec?: Pod['spec'] }
  return resource === 'pods' && spec !== undefined && request.subresource === ''
    ? unstated(spec, amounts(quota.spec?.hard))
    : undefined
}

/** Those that fit into all quotas. The others are told at once: whom one quota refuses, none counts. */
function fittingAll(
  quotas: readonly ResourceQuota[],
  batch: readonly Waiting[],
): readonly Waiting[] {
  const used = new Map(quotas.map((quota) => [quota, usedOf(quota)]))
  return batch.filter((one) => {
    const after = new Map<ResourceQuota, ResourceList>()
    for (const quota of quotas) {
      if (!concerns(quota, one)) continue
      const outcome = decide(quota, used.get(quota) ?? {}, one)
      if (typeof outcome === 'string') {
        one.reject(refuse(one.request, outcome))
        return false
      }
      after.set(quota, outcome)
    }
    if (!one.request.dryRun) for (const [quota, list] of after) used.set(quota, list)
    return true
  })
}

/** The usage after the request, or why it does not fit. */
function decide(quota: ResourceQuota, used: ResourceList, one: Waiting): ResourceList | string {
  const { name } = quota.metadata
  const missing = mustState(quota, one)
  if (missing !== undefined) return `failed quota: ${name}: ${missing}`
  const hard = hardOf(quota)
  const delta = counted(quota, one)
  const unknown = Object.keys(delta).filter((key) => !(key in hard) || !(key in used))
  if (unknown.length > 0)
    return `status unknown for quota: ${name}, resources: ${unknown.toSorted().join(',')}`
  const after = plus(used, delta)
  const exceeded = Object.keys(delta).filter(
    (key) =>
      compareQuantities(delta[key] ?? '0', '0') > 0 &&
      compareQuantities(after[key] ?? '0', hard[key] ?? '0') > 0,
  )
  if (exceeded.length === 0) return after
  return `exceeded quota: ${name}, requested: ${showAmounts(pick(delta, exceeded))}, used: ${showAmounts(pick(used, exceeded))}, limited: ${showAmounts(pick(hard, exceeded))}`
}

/** Where the new usage is larger, by how much. */
function increase(now: ResourceList, before: ResourceList): ResourceList {
  return Object.fromEntries(
    Object.entries(now).flatMap(([name, amount]) => {
      const old = before[name] ?? '0'
      return compareQuantities(amount, old) > 0 ? [[name, subtractQuantities(amount, old)]] : []
    }),
  )
}

/** After a lost race the cache may still show the old quota: then it is read through the server. */
async function caughtUp(
  read: AdmissionLookups,
  quota: ResourceQuota,
  transport: Transport,
  written: Map<string, ResourceQuota>,
): Promise<void> {
  const { name, namespace = '', resourceVersion } = quota.metadata
  if (read.get(resourceQuotas, namespace, name)?.metadata.resourceVersion !== resourceVersion)
    return
  const found = await transport.request({
    method: 'GET',
    path: `/api/v1/namespaces/${namespace}/resourcequotas/${encodeURIComponent(name)}`,
  })
  written.set(keyOf(quota), found as ResourceQuota)
}
