/** Counts how many pods of a disruption budget may be evicted now. */
import {
  podDisruptionBudgets,
  pods,
  replicaSets,
  replicationControllers,
  statefulSets,
  deployments,
  type Pod,
  type PodDisruptionBudget,
} from '#api'
import { timestamp, keyOf, selectorMatches, type OwnerReference } from '#machinery'
import { resolvePercent } from '../deployment/numbers.ts'
import {
  controllerOf,
  defineController,
  event,
  isFinished,
  isReady,
  isTerminating,
  updateStatus,
  watching,
  type Cache,
  type Decision,
} from '../framework/index.ts'

export interface Observed {
  readonly budget: PodDisruptionBudget
  /** Those it selects. */
  readonly pods: readonly Pod[]
  /** Replicas that the pod's outermost controller asks for, and its uid; undefined when there is none that can be told. */
  /** Those of the pods that other budgets select too, where this one is the first of them. */
  readonly shared: readonly Pod[]
  readonly scaleOf: (pod: Pod) => { readonly uid: string; readonly replicas: number } | undefined
}

/** An eviction that was granted and not seen within this will not come. */
const EVICTION_MS = 120_000
const CONDITION = 'DisruptionAllowed'

export function decide({ budget, pods: selected, shared, scaleOf }: Observed, now: Date): Decision {
  if (isTerminating(budget)) return { actions: [] }
  const { minAvailable, maxUnavailable } = budget.spec
  const counted = selected.filter((pod) => !isFinished(pod))
  const expected = expectedOf(budget, counted, scaleOf)
  if (expected === undefined) {
    const message = 'found no controllers for some pods, whose number cannot be told'
    return {
      actions: [
        event(
          budget,
          'Warning',
          'CalculateExpectedPodCountFailed',
          `Failed to calculate the number of expected pods: ${message}`,
        ),
        ...updateStatus(podDisruptionBudgets, budget, {
          ...budget.status,
          ...zero,
          ...observed(budget),
          conditions: conditionsWith(budget, now, 'False', 'SyncFailed', message),
        }),
      ],
    }
  }
  const desired =
    maxUnavailable === undefined
      ? resolvePercent(minAvailable, expected, 'up')
      : Math.max(0, expected - resolvePercent(maxUnavailable, expected, 'up'))
  const { disrupted, nextMs } = stillDisrupted(budget, selected, now)
  const healthy = counted.filter(
    (pod) => !isTerminating(pod) && isReady(pod) && disrupted[pod.metadata.name] === undefined,
  ).length
  const allowed = expected > 0 ? Math.max(0, healthy - desired) : 0
  const status = {
    ...observed(budget),
    ...(Object.keys(disrupted).length > 0 ? { disruptedPods: disrupted } : {}),
    disruptionsAllowed: allowed,
    currentHealthy: healthy,
    desiredHealthy: desired,
    expectedPods: expected,
    conditions:
      allowed > 0
        ? conditionsWith(budget, now, 'True', 'SufficientPods', '')
        : conditionsWith(budget, now, 'False', 'InsufficientPods', ''),
  }
  const nobody = event(budget, 'Normal', 'NoPods', 'No matching pods found')
  return {
    actions: [
      ...shared.map((pod) =>
        event(pod, 'Warning', 'MultiplePodDisruptionBudgets', manyFor(pod, budget)),
      ),
      ...(selected.length === 0 ? [nobody] : []),
      ...updateStatus(podDisruptionBudgets, budget, status),
    ],
    ...(nextMs === undefined ? {} : { requeueAfterMs: nextMs }),
  }
}

const manyFor = ({ metadata }: Pod, budget: PodDisruptionBudget): string =>
  `Pod "${metadata.namespace}"/"${metadata.name}" matches multiple PodDisruptionBudgets.  Chose "${budget.metadata.name}" arbitrarily.`

const zero = { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 }

const observed = ({ metadata: { generation } }: PodDisruptionBudget) =>
  generation === undefined ? {} : { observedGeneration: generation }

/** A share is of what the controllers ask for, not of what happens to be there. */
function expectedOf(
  { spec: { minAvailable, maxUnavailable } }: PodDisruptionBudget,
  counted: readonly Pod[],
  scaleOf: Observed['scaleOf'],
): number | undefined {
  if (maxUnavailable === undefined && typeof minAvailable !== 'string') return counted.length
  const scales = new Map<string, number>()
  for (const pod of counted) {
    if (controllerOf(pod) === undefined) continue
    const scale = scaleOf(pod)
    if (scale === undefined) return undefined
    scales.set(scale.uid, scale.replicas)
  }
  return [...scales.values()].reduce((sum, replicas) => sum + replicas, 0)
}

/** Evictions that were granted and whose pods are there still. */
function stillDisrupted(
  { status }: PodDisruptionBudget,
  selected: readonly Pod[],
  now: Date,
): { readonly disrupted: Record<string, string>; readonly nextMs: number | undefined } {
  const disrupted: Record<string, string> = {}
  let nextMs: number | undefined
  for (const [name, time] of Object.entries(status?.disruptedPods ?? {})) {
    const pod = selected.find(({ metadata }) => metadata.name === name)
    const left = Date.parse(time) + EVICTION_MS - now.getTime()
    if (pod === undefined || isTerminating(pod) || left <= 0) continue
    disrupted[name] = time
    nextMs = Math.min(nextMs ?? Infinity, left)
  }
  return { disrupted, nextMs }
}

function conditionsWith(
  { status, metadata }: PodDisruptionBudget,
  now: Date,
  verdict: 'True' | 'False',
  reason: string,
  message: string,
) {
  const before = status?.conditions ?? []
  const old = before.find(({ type }) => type === CONDITION)
  const made = {
    type: CONDITION,
    status: verdict,
    reason,
    message,
    ...(metadata.generation === undefined ? {} : { observedGeneration: metadata.generation }),
    lastTransitionTime: old?.status === verdict ? old.lastTransitionTime : timestamp(now),
  }
  return [...before.filter(({ type }) => type !== CONDITION), made]
}

const selects = ({ spec }: PodDisruptionBudget, pod: Pod): boolean =>
  selectorMatches(spec.selector, pod.metadata.labels)

/** What of a pod matters to a budget. */
const view = (pod: Pod): string =>
  JSON.stringify([
    pod.metadata.labels,
    pod.metadata.deletionTimestamp !== undefined,
    isReady(pod),
    isFinished(pod),
    controllerOf(pod)?.uid,
  ])

const budgetsOf = (pod: Pod, cache: Cache): readonly string[] =>
  cache
    .list(podDisruptionBudgets, pod.metadata.namespace)
    .filter((budget) => selects(budget, pod))
    .map(keyOf)

/** A controller of another size: all budgets of its namespace may be concerned. */
const budgetsNear = (
  { metadata }: { readonly metadata: { readonly namespace?: string } },
  cache: Cache,
): readonly string[] => cache.list(podDisruptionBudgets, metadata.namespace).map(keyOf)

interface Scaled {
  readonly metadata: { readonly namespace?: string }
  readonly spec?: { readonly replicas?: number }
}
const resized = (object: Scaled, old: Scaled | undefined, cache: Cache): readonly string[] =>
  old !== undefined && object.spec?.replicas === old.spec?.replicas
    ? []
    : budgetsNear(object, cache)

function scaleIn(cache: Cache, pod: Pod): ReturnType<Observed['scaleOf']> {
  const { namespace } = pod.metadata
  const at = ({ name }: OwnerReference): string => `${namespace}/${name}`
  const owner = controllerOf(pod)
  switch (owner?.kind) {
    case 'ReplicaSet': {
      const set = cache.get(replicaSets, at(owner))
      const outer = set === undefined ? undefined : controllerOf(set)
      if (outer?.kind === 'Deployment') {
        const deployment = cache.get(deployments, at(outer))
        return deployment && { uid: outer.uid, replicas: deployment.spec.replicas ?? 1 }
      }
      return set && { uid: owner.uid, replicas: set.spec.replicas ?? 1 }
    }
    case 'StatefulSet': {
      const set = cache.get(statefulSets, at(owner))
      return set && { uid: owner.uid, replicas: set.spec.replicas ?? 1 }
    }
    case 'ReplicationController': {
      const found = cache.get(replicationControllers, at(owner))
      return found && { uid: owner.uid, replicas: found.spec?.replicas ?? 1 }
    }
    default:
      return undefined
  }
}

export const disruptionController = defineController<Observed>({
  name: 'disruption',
  component: 'controllermanager',
  for: podDisruptionBudgets,
  watches: [
    watching<Pod>(pods, (pod, old, cache) =>
      old !== undefined && view(pod) === view(old)
        ? []
        : [...budgetsOf(pod, cache), ...(old === undefined ? [] : budgetsOf(old, cache))],
    ),
    watching(deployments, resized),
    watching(replicaSets, resized),
    watching(statefulSets, resized),
    watching(replicationControllers, resized),
  ],
  observe(cache, key) {
    const budget = cache.get(podDisruptionBudgets, key)
    if (budget === undefined) return undefined
    const { namespace, name } = budget.metadata
    const selected = cache.list(pods, namespace).filter((pod) => selects(budget, pod))
    const others = cache
      .list(podDisruptionBudgets, namespace)
      .filter(({ metadata }) => metadata.name !== name)
    const isShared = (pod: Pod): boolean => {
      const also = others.filter((other) => selects(other, pod))
      return also.length > 0 && also.every(({ metadata }) => metadata.name > name)
    }
    return {
      budget,
      pods: selected,
      shared: others.length === 0 ? [] : selected.filter(isShared),
      scaleOf: (pod) => scaleIn(cache, pod),
    }
  },
  decide,
})
