/** Recounts what quotas count: admission adds to the usage, and this takes away what is gone. */
import {
  PLAINLY_COUNTED,
  persistentVolumeClaims,
  pods,
  resourceQuotas,
  services,
  type Pod,
  type ResourceQuota,
} from '#api'
import { createWorkQueue, type Discovery, type Informer } from '#client'
import { addQuantities, isStatus, keyOf, type KubeObject, type ResourceRef } from '#machinery'
import { followDiscovery } from '../framework/discovered.ts'
import {
  isFinished,
  sameJson,
  type Controller,
  type ControllerContext,
} from '../framework/index.ts'

/** How objects count: the same rules by which admission counts. */
export interface QuotaRules {
  /** Amounts by the names that quotas use. `resource` has its group after a dot. */
  readonly usageOf: (resource: string, object: unknown) => Readonly<Record<string, string>>
  readonly inScope: (quota: ResourceQuota, resource: string, object: unknown) => boolean
}

/**
 * After a change. Admission writes the usage before its object is stored: who looks at once would not see the object
 * and take its share away again.
 */
const SETTLE_MS = 1000

/** All are looked at again this often: a status that somebody else wrote is put right then, as upstream does. */
const RESYNC_MS = 300_000

const idOf = ({ group, resource }: Pick<ResourceRef, 'group' | 'resource'>): string =>
  group === '' ? resource : `${resource}.${group}`

const FULL = new Map<string, ResourceRef>(
  [pods, services, persistentVolumeClaims].map((ref) => [idOf(ref), ref as ResourceRef]),
)
/** The resources whose objects a name in a quota counts. */
export function countedBy(name: string): string {
  if (name.startsWith('count/')) return name.slice('count/'.length)
  if (PLAINLY_COUNTED.includes(name)) return name
  if (name.startsWith('services.')) return 'services'
  if (name === 'requests.storage' || name.includes('.storageclass.storage.k8s.io/'))
    return 'persistentvolumeclaims'
  // All others are amounts of what pods ask for.
  return 'pods'
}

/** What the objects use of the quota, by the names it limits. */
export function usageFor(
  quota: ResourceQuota,
  objectsOf: (resource: string) => readonly KubeObject[],
  { usageOf, inScope }: QuotaRules,
): Readonly<Record<string, string>> {
  const names = Object.keys(quota.spec?.hard ?? {})
  const used: Record<string, string> = Object.fromEntries(names.map((name) => [name, '0']))
  for (const resource of new Set(names.map(countedBy)))
    for (const object of objectsOf(resource)) {
      const isEnded = resource === 'pods' && isFinished(object as Pod)
      const scoped =
        (quota.spec?.scopes ?? []).length > 0 || quota.spec?.scopeSelector !== undefined
      if (scoped && !inScope(quota, resource, object)) continue
      for (const [name, amount] of Object.entries(usageOf(resource, object))) {
        if (used[name] === undefined) continue
        // A pod that has ended uses nothing but its place in the store.
        if (isEnded && name !== 'count/pods') continue
        used[name] = addQuantities(used[name], amount)
      }
    }
  return used
}

export const resourceQuotaController = (rules: QuotaRules): Controller => ({
  name: 'resource-quota',
  start: (context) => start(context, rules),
})

function start({ client, informers, env, signal }: ControllerContext, rules: QuotaRules): void {
  const log = env.log.for('resource-quota')
  const queue = createWorkQueue(env, { name: 'resourcequota', metrics: env.metrics })
  const quotas = informers.informer(resourceQuotas)
  const discovered = followDiscovery({ client, informers, env }, signal)
  const followed = new Map<string, Informer<KubeObject>>()

  const follow = (resource: string, ref: ResourceRef): Informer<KubeObject> => {
    const known = followed.get(resource)
    if (known !== undefined) return known
    const full = FULL.get(resource)
    const informer: Informer<KubeObject> =
      full === undefined ? informers.metadata(ref) : informers.informer(full)
    followed.set(resource, informer)
    informer.onChange((current, old) => {
      const { namespace } = (current ?? old)?.metadata ?? {}
      if (namespace === undefined) return
      // What counts has not changed: heartbeats of pods, for example.
      if (
        current !== undefined &&
        old !== undefined &&
        (full === undefined || sameCount(resource, current, old))
      )
        return
      for (const quota of quotas.list(namespace))
        if (Object.keys(quota.spec?.hard ?? {}).some((name) => countedBy(name) === resource))
          queue.addAfter(keyOf(quota), SETTLE_MS)
    })
    return informer
  }
  const sameCount = (resource: string, a: KubeObject, b: KubeObject): boolean =>
    (resource !== 'pods' || isFinished(a as Pod) === isFinished(b as Pod)) &&
    sameJson(rules.usageOf(resource, a), rules.usageOf(resource, b))

  quotas.onChange((current, old) => {
    if (current === undefined) return
    if (old === undefined || !sameJson(current.spec, old.spec)) queue.add(keyOf(current))
  })

  const work = async (key: string): Promise<void> => {
    const quota = quotas.get(key)
    if (quota === undefined || quota.metadata.deletionTimestamp !== undefined) return
    const wanted = new Set(Object.keys(quota.spec?.hard ?? {}).map(countedBy))
    const refs = await refsOf(wanted, discovered.current.bind(discovered))
    const own = new Map([...refs].map(([resource, ref]) => [resource, follow(resource, ref)]))
    await Promise.all([...own.values()].map(({ synced }) => synced))
    const { namespace = '' } = quota.metadata
    const used = usageFor(quota, (resource) => own.get(resource)?.list(namespace) ?? [], rules)
    const hard = quota.spec?.hard ?? {}
    if (sameJson(quota.status?.hard ?? {}, hard) && sameJson(quota.status?.used ?? {}, used)) return
    await client
      .because(`resource-quota/${key}@${quota.metadata.resourceVersion}`)
      .updateStatus(resourceQuotas, { ...quota, status: { hard, used } }, { signal })
  }

  const resync = (): void => {
    if (signal.aborted) return
    for (const quota of quotas.list()) queue.add(keyOf(quota))
    cancelResync = env.clock.schedule(RESYNC_MS, resync)
  }
  let cancelResync = (): void => undefined
  signal.addEventListener('abort', () => cancelResync(), { once: true })

  void (async () => {
    try {
      await quotas.synced
    } catch {
      return
    }
    resync()
    queue.run(work, {
      concurrency: 5,
      signal,
      onError: (key, error) => {
        if (!isStatus(error, 'Conflict') && !isStatus(error, 'NotFound'))
          log.info('Cannot recount quota, will try again', { key, error })
      },
    })
  })()
}

async function refsOf(
  wanted: ReadonlySet<string>,
  current: () => Promise<Discovery>,
): Promise<ReadonlyMap<string, ResourceRef>> {
  const refs = new Map<string, ResourceRef>()
  for (const resource of wanted) {
    const full = FULL.get(resource)
    if (full !== undefined) refs.set(resource, full)
  }
  if (refs.size === wanted.size) return refs
  const { resources } = await current()
  for (const ref of resources)
    if (wanted.has(idOf(ref)) && ref.namespaced && ref.verbs.includes('watch'))
      refs.set(idOf(ref), FULL.get(idOf(ref)) ?? ref)
  return refs
}
