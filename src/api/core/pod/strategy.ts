/** What the server sets of a pod, and what each of its endpoints may change. */
import { type KubeObject, type StrategyContext } from '#machinery'
import type { Container, Pod, PodSpec } from '../../types.gen.ts'
import type { Mutable } from '../../mutable.ts'
import { isZeroQuantity, sameQuantity } from '../../quantities.ts'

/** Quality of service: who is killed first when a node runs out of memory. */
export function qosClassOf(spec: PodSpec): 'Guaranteed' | 'Burstable' | 'BestEffort' {
  if (spec.resources?.limits !== undefined || spec.resources?.requests !== undefined) {
    return classOf([spec.resources])
  }
  return classOf(
    [...(spec.containers ?? []), ...(spec.initContainers ?? [])].map((c) => c.resources),
  )
}

function classOf(
  all: readonly (Container['resources'] | undefined)[],
): 'Guaranteed' | 'Burstable' | 'BestEffort' {
  const compute = ['cpu', 'memory'] as const
  let asks = false
  let guaranteed = true
  for (const resources of all) {
    for (const name of compute) {
      const request = positive(resources?.requests?.[name])
      const limit = positive(resources?.limits?.[name])
      if (request !== undefined || limit !== undefined) asks = true
      if (limit === undefined || !sameQuantity(request ?? limit, limit)) guaranteed = false
    }
  }
  if (!asks) return 'BestEffort'
  return guaranteed ? 'Guaranteed' : 'Burstable'
}
const positive = (quantity: string | undefined): string | undefined =>
  quantity === undefined || isZeroQuantity(quantity) ? undefined : quantity

export function preparePodForCreate(pod: Mutable<Pod>): void {
  // Less than nothing is as little as there is.
  if ((pod.spec.terminationGracePeriodSeconds ?? 0) < 0) pod.spec.terminationGracePeriodSeconds = 1
  const status: Mutable<NonNullable<Pod['status']>> = {
    phase: 'Pending',
    qosClass: qosClassOf(pod.spec),
  }
  if ((pod.spec.schedulingGates?.length ?? 0) > 0) {
    status.conditions = [
      {
        type: 'PodScheduled',
        status: 'False',
        reason: 'SchedulingGated',
        message: 'Scheduling is blocked due to non-empty scheduling gates',
      },
    ]
  }
  pod.status = status
}

/** The half that does not belong to the endpoint is put back; status and spec were split before. */
export function preparePodForUpdate(
  pod: Mutable<Pod>,
  old: Pod,
  { subresource }: Pick<StrategyContext, 'subresource'>,
): void {
  const before = old as Mutable<Pod>
  switch (subresource) {
    case 'status':
      pod.status ??= {}
      pod.status.qosClass ??= before.status?.qosClass ?? qosClassOf(old.spec)
      if (before.metadata.ownerReferences) {
        pod.metadata.ownerReferences = before.metadata.ownerReferences
      } else delete pod.metadata.ownerReferences
      return
    case 'ephemeralcontainers': {
      const added = pod.spec?.ephemeralContainers
      pod.spec = { ...before.spec, ...(added ? { ephemeralContainers: added } : {}) }
      if (!added) delete pod.spec.ephemeralContainers
      restoreMetadata(pod, before)
      return
    }
    case 'resize':
      pod.spec = resized(pod.spec, before.spec)
      restoreMetadata(pod, before)
      return
    default:
  }
}

/** Everything as it was, with the containers' resources and resize policies of the new one. */
function resized(spec: Mutable<PodSpec>, old: Mutable<PodSpec>): Mutable<PodSpec> {
  const byName = (containers: Mutable<Container>[] | undefined) =>
    new Map((containers ?? []).map((container) => [container.name, container]))
  const resize = (containers: Mutable<Container>[], asked: Mutable<Container>[] | undefined) => {
    const wanted = byName(asked)
    return containers.map((container) => {
      const { resources, resizePolicy } = wanted.get(container.name) ?? container
      return {
        ...container,
        ...(resources ? { resources } : {}),
        ...(resizePolicy ? { resizePolicy } : {}),
      }
    })
  }
  return {
    ...old,
    containers: resize(old.containers, spec?.containers),
    ...(old.initContainers
      ? { initContainers: resize(old.initContainers, spec?.initContainers) }
      : {}),
    ...(old.resources && spec?.resources ? { resources: spec.resources } : {}),
  }
}

/** In place: the server goes on with the same metadata, and counts the generation there. */
function restoreMetadata({ metadata }: Mutable<Pod>, old: Mutable<Pod>): void {
  const { managedFields, resourceVersion } = metadata
  for (const key of Object.keys(metadata)) delete metadata[key as keyof typeof metadata]
  Object.assign(metadata, old.metadata, { resourceVersion })
  if (managedFields) metadata.managedFields = managedFields
  else delete metadata.managedFields
}

/** How long a pod may take to stop. One that does not run, or has finished, goes at once. */
export function podGraceSeconds(pod: Pod & KubeObject, requested: number | undefined): number {
  const { spec, status } = pod
  if (spec.nodeName === undefined || spec.nodeName === '') return 0
  if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return 0
  const seconds = requested ?? spec.terminationGracePeriodSeconds ?? 0
  return seconds < 0 ? 1 : seconds
}

/** Read on every list and watch with a field selector, so it is written out. */
export function podFields({ spec, status }: Pod): Readonly<Record<string, string>> {
  const nodeName = spec.nodeName ?? ''
  return {
    'spec.nodeName': nodeName,
    'spec.host': nodeName,
    'spec.restartPolicy': spec.restartPolicy ?? '',
    'spec.schedulerName': spec.schedulerName ?? '',
    'spec.serviceAccountName': spec.serviceAccountName ?? '',
    'spec.hostNetwork': String(spec.hostNetwork ?? false),
    'status.phase': status?.phase ?? '',
    'status.podIP': status?.podIPs?.[0]?.ip ?? status?.podIP ?? '',
    'status.podIPs': (status?.podIPs ?? []).map(({ ip }) => ip).join(','),
    'status.nominatedNodeName': status?.nominatedNodeName ?? '',
  }
}
