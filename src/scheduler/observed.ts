/** What the scheduler follows besides pods and nodes, in the form in which plugins ask for it. */
import {
  namespaces,
  persistentVolumeClaims,
  persistentVolumes,
  podDisruptionBudgets,
  replicaSets,
  replicationControllers,
  services,
  statefulSets,
  storageClasses,
  type PersistentVolumeClaim,
  type PodDisruptionBudget,
} from '#api'
import type { Clock } from '#base'
import type { Client, Informers } from '#client'
import type { LabelSelector } from '#machinery'
import type { ClusterEvent } from './framework.ts'
import type { PluginContext } from './plugins/index.ts'
import { SELECTED_NODE, type VolumePlan } from './plugins/volume-plan.ts'
import { isBound } from './plugins/volumes.ts'
import type { PodInfo } from './pod-info.ts'
import type { Snapshot } from './snapshot.ts'

export interface Observed extends PluginContext {
  budgets(): readonly PodDisruptionBudget[]
}

/** Selectors remembered: pods of one group ask for the same. */
const MAX_SELECTORS = 1000

/** Who provisions volumes has so long; then the pod is tried anew, perhaps elsewhere. */
const BINDING_MS = 600_000
const BY_CONTROLLER = 'pv.kubernetes.io/bound-by-controller'

export interface ObserveOptions {
  readonly client: Client
  readonly informers: Informers
  readonly clock: Clock
  readonly snapshot: Snapshot
  readonly tell: (event: ClusterEvent) => void
}

export function observe({ client, informers, clock, snapshot, tell }: ObserveOptions): Observed {
  const claims = informers.informer(persistentVolumeClaims)
  const volumes = informers.informer(persistentVolumes)
  const classes = informers.informer(storageClasses)
  const budgets = informers.informer(podDisruptionBudgets)
  const grouped = {
    services: informers.informer(services),
    controllers: informers.informer(replicationControllers),
    replicaSets: informers.informer(replicaSets),
    statefulSets: informers.informer(statefulSets),
  }
  const selectors = new Map<string, LabelSelector | undefined>()
  grouped.services.onChange(() => selectors.clear())
  grouped.controllers.onChange(() => selectors.clear())
  for (const informer of [grouped.replicaSets, grouped.statefulSets])
    informer.onChange((current, old) => {
      // Their status changes with every pod, and does not matter here.
      if (current?.metadata.generation !== old?.metadata.generation) selectors.clear()
    })
  for (const informer of [claims, volumes, classes])
    informer.onChange(() => tell({ name: 'volume' }))
  informers.informer(namespaces).onChange((current, old) => {
    snapshot.setNamespace((current ?? old)?.metadata.name ?? '', current?.metadata.labels)
    if (JSON.stringify(current?.metadata.labels) !== JSON.stringify(old?.metadata.labels))
      tell({ name: 'namespace' })
  })

  /** All that the pod's Services and its workload select by, together. */
  function findSelector({ namespace, labels, pod }: PodInfo): LabelSelector | undefined {
    const matchLabels: Record<string, string> = {}
    const matchExpressions: NonNullable<LabelSelector['matchExpressions']>[number][] = []
    for (const { spec } of grouped.services.list(namespace)) {
      const selector = Object.entries(spec?.selector ?? {})
      if (selector.length > 0 && selector.every(([key, value]) => labels[key] === value))
        for (const [key, value] of selector) matchLabels[key] = value
    }
    const owner = pod.metadata.ownerReferences?.find(({ controller }) => controller === true)
    const key = `${namespace}/${owner?.name ?? ''}`
    if (owner?.kind === 'ReplicationController')
      Object.assign(matchLabels, grouped.controllers.get(key)?.spec?.selector)
    else if (owner?.kind === 'ReplicaSet' || owner?.kind === 'StatefulSet') {
      const workloads = owner.kind === 'ReplicaSet' ? grouped.replicaSets : grouped.statefulSets
      const selector = workloads.get(key)?.spec?.selector
      Object.assign(matchLabels, selector?.matchLabels)
      matchExpressions.push(...(selector?.matchExpressions ?? []))
    }
    if (Object.keys(matchLabels).length === 0 && matchExpressions.length === 0) return undefined
    return { matchLabels, matchExpressions }
  }

  /** Resolves when the claim is bound and says so, as the node asks for it; rejects after a while or when it is gone. */
  function bound(claim: PersistentVolumeClaim, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const { namespace = '', name } = claim.metadata
    const current = claims.get(`${namespace}/${name}`)
    const isDone = (seen: PersistentVolumeClaim): boolean =>
      isBound(seen) && seen.status?.phase === 'Bound'
    if (current?.metadata.uid === claim.metadata.uid && isDone(current)) return Promise.resolve()
    const stops = [
      claims.onChange((current, old) => {
        if ((current ?? old)?.metadata.uid !== claim.metadata.uid) return
        if (current === undefined) reject(new Error(`claim "${claim.metadata.name}" was deleted`))
        else if (isDone(current)) resolve()
      }),
      clock.schedule(BINDING_MS, () => reject(new Error('timed out waiting for the condition'))),
    ]
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort)
    return promise.finally(() => {
      for (const stop of stops) stop()
      signal.removeEventListener('abort', abort)
    })
  }

  /** The volume says whose it is: of two claims that want it, one loses this race. */
  async function take({ claim, volume }: VolumePlan['found'][number]): Promise<void> {
    const { namespace = '', name, uid, resourceVersion } = claim.metadata
    const reference = volume.spec?.claimRef
    if (reference?.uid === uid) return
    await client.patch(persistentVolumes, { name: volume.metadata.name }, 'merge', {
      metadata: {
        resourceVersion: volume.metadata.resourceVersion,
        ...(reference === undefined && { annotations: { [BY_CONTROLLER]: 'yes' } }),
      },
      spec: {
        claimRef: {
          kind: 'PersistentVolumeClaim',
          apiVersion: 'v1',
          namespace,
          name,
          uid,
          resourceVersion,
        },
      },
    })
  }

  async function bind(
    { found, made }: VolumePlan,
    nodeName: string,
    signal: AbortSignal,
  ): Promise<void> {
    const claimsOf = [...found.map(({ claim }) => claim), ...made]
    const select = ({ metadata }: PersistentVolumeClaim, value: string | null) =>
      client.patch(
        persistentVolumeClaims,
        { namespace: metadata.namespace ?? '', name: metadata.name },
        'merge',
        { metadata: { annotations: { [SELECTED_NODE]: value } } },
      )
    await Promise.all(found.map(take))
    await Promise.all(made.map((claim) => select(claim, nodeName)))
    try {
      await Promise.all(claimsOf.map((claim) => bound(claim, signal)))
    } catch (error) {
      // It is tried anew, perhaps elsewhere.
      if (!signal.aborted) await Promise.all(made.map((claim) => select(claim, null)))
      throw error
    }
  }

  return {
    budgets: () => budgets.list(),
    selectorFor(pod) {
      const owner = pod.pod.metadata.ownerReferences?.find(({ controller }) => controller === true)
      const id = `${pod.namespace} ${owner?.uid ?? ''} ${JSON.stringify(pod.labels)}`
      if (selectors.has(id)) return selectors.get(id)
      if (selectors.size >= MAX_SELECTORS) selectors.clear()
      const selector = findSelector(pod)
      selectors.set(id, selector)
      return selector
    },
    volumes: {
      bind,
      all: () => volumes.list(),
      storageClass: (name) => classes.get(name),
      claim: (namespace, name) => claims.get(`${namespace}/${name}`),
      volume: (name) => volumes.get(name),
    },
  }
}
