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
import { scaleOfOwner, type OwnerScale } from './scales.ts'

export interface Observed {
  readonly budget: PodDisruptionBudget
  /** Those it selects. */
  readonly pods: readonly Pod[]
  /** Those of the pods that other budgets select too, where this one is the first of them. */
  readonly shared: readonly Pod[]
  /** What the pod's outermost controller asks for, where the cache can tell. */
  readonly scaleOf: (pod: Pod) => { readonly uid: string; readonly replicas: number } | undefined
  /** Of the controllers that it cannot tell of, by their uids. */
  readonly asked: ReadonlyMap<string, OwnerScale>
}

/** An eviction that was granted and not seen within this will not come. */
const EVICTION_MS = 120_000
const CONDITION = 'DisruptionAllowed'
/** Until what could not be told is asked again. */
const RETRY_MS = 30_000

export function decide(
  { budget, pods: selected, shared, scaleOf, asked }: Observed,
  now: Date,
): Decision {
  if (isTerminating(budget)) return { actions: [] }
  const { minAvailable, maxUnavailable } = budget.spec
  const counted = selected.filter((pod) => !isFinished(pod))
  const nobody =
    selected.length === 0 ? [event(budget, 'Normal', 'NoPods', 'No matching pods found')] : []
  const expected = isShare(budget) ? expectedOf(counted, scaleOf, asked) : counted.length
  if (typeof expected === 'string')
    return {
      actions: [
        ...nobody,
        event(
          budget,
          'Warning',
          'CalculateExpectedPodCountFailed',
          `Failed to calculate the number of expected pods: ${expected}`,
        ),
        ...updateStatus(podDisruptionBudgets, budget, {
          ...zero,
          ...budget.status,
          disruptionsAllowed: 0,
          conditions: conditionsWith(budget, now, 'False', 'SyncFailed', expected),
        }),
      ],
      requeueAfterMs: RETRY_MS,
    }
  const alone = isShare(budget) && counted.some((pod) => controllerOf(pod) === undefined)
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
  return {
    actions: [
      ...nobody,
      ...(alone ? [event(budget, 'Warning', 'UnmanagedPods', unmanaged(budget))] : []),
      ...shared.map((pod) =>
        event(pod, 'Warning', 'MultiplePodDisruptionBudgets', manyFor(pod, budget)),
      ),
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

const unmanaged = ({ spec: { selector } }: PodDisruptionBudget): string =>
  `Pods selected by this PodDisruptionBudget (selector: ${selectorForm(selector)}) were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.`

/** As Go prints it. */
function selectorForm(selector: PodDisruptionBudget['spec']['selector']): string {
  const labels = Object.entries(selector?.matchLabels ?? {})
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}: ${value},`)
  const expressions = (selector?.matchExpressions ?? []).map(
    ({ key, operator, values = [] }) =>
      `LabelSelectorRequirement{Key:${key},Operator:${operator},Values:[${values.join(' ')}],},`,
  )
  return `&LabelSelector{MatchLabels:map[string]string{${labels.join('')}},MatchExpressions:[]LabelSelectorRequirement{${expressions.join('')}},}`
}

/** Whether it is about a share of what controllers ask for, and not of the pods that happen to be there. */
const isShare = ({ spec: { minAvailable, maxUnavailable } }: PodDisruptionBudget): boolean =>
  maxUnavailable !== undefined || typeof minAvailable === 'string'

/** How many pods their controllers ask for, or why that cannot be told. */
function expectedOf(
  counted: readonly Pod[],
  scaleOf: Observed['scaleOf'],
  asked: Observed['asked'],
): number | string {
  const scales = new Map<string, number>()
  for (const pod of counted) {
    const owner = controllerOf(pod)
    if (owner === undefined) continue
    const known = scaleOf(pod)
    const told = known ?? asked.get(owner.uid)
    if (told === undefined) return `found no controllers for pod "${pod.metadata.name}"`
    if ('problem' in told) return told.problem
    scales.set(known?.uid ?? owner.uid, told.replicas)
  }
  return [...scales.values()].reduce((sum, replicas) => sum + replicas, 0)
}

/** Owners whose kinds are not known here tell of their size by `/scale`. */
async function ask(
  observed: Observed,
  transport: Parameters<typeof scaleOfOwner>[0],
): Promise<Observed> {
  const asked = new Map<string, OwnerScale>()
  for (const pod of observed.pods) {
    const owner = controllerOf(pod)
    if (owner === undefined || asked.has(owner.uid) || isFinished(pod)) continue
    if (KNOWN.has(`${owner.apiVersion} ${owner.kind}`) || observed.scaleOf(pod) !== undefined)
      continue
    const scale = await scaleOfOwner(transport, owner, pod.metadata.namespace ?? '')
    if (scale !== undefined) asked.set(owner.uid, scale)
  }
  return { ...observed, asked }
}
const KNOWN = new Set([
  'apps/v1 ReplicaSet',
  'apps/v1 Deployment',
  'apps/v1 StatefulSet',
  'v1 ReplicationController',
])

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
  if (owner === undefined || !KNOWN.has(`${owner.apiVersion} ${owner.kind}`)) return undefined
  const own = <T extends { readonly metadata: { readonly uid?: string } }>(
    found: T | undefined,
  ): T | undefined => (found?.metadata.uid === owner.uid ? found : undefined)
  switch (owner.kind) {
    case 'ReplicaSet': {
      const set = own(cache.get(replicaSets, at(owner)))
      const outer = set === undefined ? undefined : controllerOf(set)
      if (outer?.kind === 'Deployment') {
        const deployment = cache.get(deployments, at(outer))
        return deployment && { uid: outer.uid, replicas: deployment.spec.replicas ?? 1 }
      }
      return set && { uid: owner.uid, replicas: set.spec.replicas ?? 1 }
    }
    case 'StatefulSet': {
      const set = own(cache.get(statefulSets, at(owner)))
      return set && { uid: owner.uid, replicas: set.spec.replicas ?? 1 }
    }
    case 'ReplicationController': {
      const found = own(cache.get(replicationControllers, at(owner)))
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
      asked: new Map(),
    }
  },
  ask: (observed, transport) => (isShare(observed.budget) ? ask(observed, transport) : observed),
  decide,
})
