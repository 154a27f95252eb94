/** Pods with names that stay, made and replaced one after the other. */
import {
  persistentVolumeClaims,
  pods as podResource,
  statefulSets,
  type ControllerRevision,
  type PersistentVolumeClaim,
  type Pod,
  type StatefulSet,
  type StatefulSetStatus,
} from '#api'
import { selectorMatches } from '#machinery'
import { resolvePercent } from '../deployment/numbers.ts'
import {
  adoption,
  controllerOf,
  create,
  event,
  historyOf,
  isAvailable,
  isReady,
  isTerminating,
  patch,
  release,
  remove,
  REVISION_HASH,
  templateOf,
  untilAvailable,
  updateStatus,
  type Action,
  type Decision,
} from '../framework/index.ts'
import {
  claimNames,
  claimOwners,
  claimsFor,
  missingLabels,
  ordinalOf,
  podFor,
  podName,
  startOf,
} from './identity.ts'

export interface Observed {
  readonly set: StatefulSet
  /** Its own, and those nobody controls that it selects. */
  readonly pods: readonly Pod[]
  readonly revisions: readonly ControllerRevision[]
  readonly claim: (name: string) => PersistentVolumeClaim | undefined
}

interface Revisions {
  /** Of the pods that the update has not reached. */
  readonly current: ControllerRevision
  readonly update: ControllerRevision
}

export function decide({ set, pods, revisions: found, claim }: Observed, now: Date): Decision {
  if (isTerminating(set)) return { actions: [] }
  const { own, claims } = claimPods(set, pods)
  const { currentRevision } = set.status ?? {}
  const history = historyOf({
    ref: statefulSets,
    owner: set,
    template: set.spec.template,
    selector: set.spec.selector,
    revisions: found,
    collisionCount: set.status?.collisionCount ?? 0,
    limit: set.spec.revisionHistoryLimit ?? 10,
    isInUse: ({ metadata }) =>
      metadata.name === currentRevision || own.some((pod) => revisionOf(pod) === metadata.name),
  })
  const update = history.current
  if (update === undefined)
    return {
      actions: [
        ...claims,
        ...history.actions,
        ...(history.collides
          ? updateStatus(statefulSets, set, {
              replicas: 0,
              ...set.status,
              collisionCount: (set.status?.collisionCount ?? 0) + 1,
            })
          : []),
      ],
    }
  const current = history.all.find(({ metadata }) => metadata.name === currentRevision) ?? update
  const revisions: Revisions = { current, update }
  const arranged = arrange(set, own)
  const steps = claims.length > 0 ? [] : next(set, arranged, revisions, claim, now)
  const waitMs = untilAvailable(set.spec.minReadySeconds ?? 0, own, now)
  return {
    actions: [
      ...claims,
      ...history.actions,
      ...retention(set, arranged, claim),
      ...steps,
      ...updateStatus(statefulSets, set, statusOf(set, own, revisions, now)),
    ],
    ...(waitMs === undefined ? {} : { requeueAfterMs: waitMs }),
  }
}

function claimPods(
  set: StatefulSet,
  pods: readonly Pod[],
): { readonly own: readonly Pod[]; readonly claims: readonly Action[] } {
  const own: Pod[] = []
  const claims: Action[] = []
  for (const pod of pods) {
    const matches =
      selectorMatches(set.spec.selector, pod.metadata.labels) && ordinalOf(set, pod) !== undefined
    const owner = controllerOf(pod)
    if (owner?.uid === set.metadata.uid) {
      if (matches) own.push(pod)
      else if (!isTerminating(pod)) claims.push(patch(podResource, pod, release(set, pod)))
    } else if (owner === undefined && matches && !isTerminating(pod)) {
      claims.push(patch(podResource, pod, adoption(statefulSets, set, pod)))
      own.push(pod)
    }
  }
  return { own, claims }
}

interface Arranged {
  /** By ordinal; undefined where there is none. */
  readonly wanted: ReadonlyMap<number, Pod | undefined>
  /** Beyond the number of replicas, the highest first. */
  readonly condemned: readonly Pod[]
}

function arrange(set: StatefulSet, own: readonly Pod[]): Arranged {
  const start = startOf(set)
  const wanted = new Map<number, Pod | undefined>()
  for (let i = 0; i < (set.spec.replicas ?? 1); i++) wanted.set(start + i, undefined)
  const condemned: Pod[] = []
  for (const pod of own) {
    const ordinal = ordinalOf(set, pod) ?? -1
    if (wanted.has(ordinal)) wanted.set(ordinal, pod)
    else condemned.push(pod)
  }
  condemned.sort((a, b) => (ordinalOf(set, b) ?? 0) - (ordinalOf(set, a) ?? 0))
  return { wanted, condemned }
}

const revisionOf = ({ metadata }: Pod): string | undefined => metadata.labels?.[REVISION_HASH]
const isRunningAndReady = (pod: Pod): boolean => pod.status?.phase === 'Running' && isReady(pod)

const deletion = (set: StatefulSet, pod: Pod): Action =>
  remove(podResource, pod, {
    about: set,
    said: `delete Pod ${pod.metadata.name} in StatefulSet ${set.metadata.name} successful`,
  })

/** What to do now: one thing at a time unless the set is parallel. */
function next(
  set: StatefulSet,
  arranged: Arranged,
  revisions: Revisions,
  claim: Observed['claim'],
  now: Date,
): readonly Action[] {
  const parallel = set.spec.podManagementPolicy === 'Parallel'
  const minReady = set.spec.minReadySeconds ?? 0
  const { wanted, condemned } = arranged
  const actions: Action[] = []
  const isHealthy = (pod: Pod): boolean =>
    isRunningAndReady(pod) && !isTerminating(pod) && isAvailable(pod, minReady, now)

  for (const [ordinal, pod] of wanted) {
    const step = settle(set, ordinal, pod, revisions, claim)
    actions.push(...step)
    if (!parallel && (pod === undefined || step.some(isStructural) || !isHealthy(pod)))
      return actions
  }
  if (condemned.length > 0) {
    if (parallel)
      return [
        ...actions,
        ...condemned.filter((pod) => !isTerminating(pod)).map((pod) => deletion(set, pod)),
      ]
    const [last] = condemned
    const firstUnwell = condemned.findLast((pod) => !isHealthy(pod))
    const isHalted = last !== undefined && !isHealthy(last) && last !== firstUnwell
    // The one that is going is waited for, and while a lower one is unwell too, a higher one stays.
    return last === undefined || isHalted || condemned.some(isTerminating)
      ? actions
      : [...actions, deletion(set, last)]
  }
  if (actions.some(isStructural)) return actions
  return [...actions, ...roll(set, wanted, revisions, isHealthy)]
}

const isStructural = ({ type }: Action): boolean => type === 'create' || type === 'remove'

/** Brings one place in order: makes its pod, replaces one that has ended, puts back what belongs to it. */
function settle(
  set: StatefulSet,
  ordinal: number,
  pod: Pod | undefined,
  revisions: Revisions,
  claim: Observed['claim'],
): readonly Action[] {
  const missing = claimsFor(set, ordinal)
    .filter(({ metadata }) => claim(metadata.name ?? '') === undefined)
    .map((draft) =>
      create(
        persistentVolumeClaims,
        draft,
        set,
        `create Claim ${draft.metadata.name} Pod ${podName(set, ordinal)} in StatefulSet ${set.metadata.name} success`,
      ),
    )
  if (pod === undefined) {
    const { metadata, ...revision } = isCurrent(set, ordinal) ? revisions.current : revisions.update
    const template = templateOf({ metadata, ...revision })
    return [
      ...missing,
      create(
        podResource,
        podFor(set, ordinal, template, metadata.name),
        set,
        `create Pod ${podName(set, ordinal)} in StatefulSet ${set.metadata.name} successful`,
      ),
    ]
  }
  if (isTerminating(pod)) return []
  const { phase } = pod.status ?? {}
  if (phase === 'Failed' || phase === 'Succeeded') {
    const [reason, state] =
      phase === 'Failed'
        ? ['RecreatingFailedPod', 'failed']
        : ['RecreatingTerminatedPod', 'terminated']
    return [
      event(
        set,
        phase === 'Failed' ? 'Warning' : 'Normal',
        reason ?? '',
        `StatefulSet ${set.metadata.namespace}/${set.metadata.name} is recreating ${state} Pod ${pod.metadata.name}`,
      ),
      deletion(set, pod),
    ]
  }
  const labels = missingLabels(set, pod)
  return [
    ...missing,
    ...(labels === undefined ? [] : [patch(podResource, pod, { metadata: { labels } })]),
  ]
}

/** Below the partition the older template stays. */
const isCurrent = ({ spec, status, ...set }: StatefulSet, ordinal: number): boolean => {
  if (spec.updateStrategy?.type === 'OnDelete') return false
  const start = startOf({ spec, ...set })
  const { rollingUpdate } = spec.updateStrategy ?? {}
  return rollingUpdate === undefined
    ? ordinal < start + (status?.currentReplicas ?? 0)
    : ordinal < start + (rollingUpdate.partition ?? 0)
}

/** Replaces pods of the older template from the highest down, while enough of the others are healthy. */
function roll(
  set: StatefulSet,
  wanted: Arranged['wanted'],
  { update }: Revisions,
  isHealthy: (pod: Pod) => boolean,
): readonly Action[] {
  if (set.spec.updateStrategy?.type === 'OnDelete') return []
  const { rollingUpdate } = set.spec.updateStrategy ?? {}
  const replicas = set.spec.replicas ?? 1
  const most = Math.max(1, resolvePercent(rollingUpdate?.maxUnavailable ?? 1, replicas, 'down'))
  const lowest = startOf(set) + (rollingUpdate?.partition ?? 0)
  const present = [...wanted].flatMap(([ordinal, pod]) =>
    pod === undefined ? [] : [{ ordinal, pod }],
  )
  let room = most - (wanted.size - present.filter(({ pod }) => isHealthy(pod)).length)
  const actions: Action[] = []
  for (const { ordinal, pod } of present.toReversed()) {
    if (ordinal < lowest) break
    if (revisionOf(pod) === update.metadata.name || isTerminating(pod)) {
      // What was replaced must be well before the next one goes.
      if (!isHealthy(pod) && most === 1) break
      continue
    }
    // An unhealthy one costs nothing.
    if (isHealthy(pod)) {
      if (room <= 0) break
      room--
    }
    actions.push(deletion(set, pod))
    if (most === 1) break
  }
  return actions
}

/** Claims belong to whom they are to go with. */
function retention(
  set: StatefulSet,
  { wanted, condemned }: Arranged,
  claim: Observed['claim'],
): readonly Action[] {
  if (set.spec.persistentVolumeClaimRetentionPolicy === undefined) return []
  const change = (ordinal: number, pod: Pod | undefined): readonly Action[] =>
    claimNames(set, ordinal).flatMap((name) => {
      const found = claim(name)
      const ownerReferences = found === undefined ? undefined : claimOwners(set, found, pod)
      return found === undefined || ownerReferences === undefined
        ? []
        : [patch(persistentVolumeClaims, found, { metadata: { ownerReferences } }, { whole: true })]
    })
  return [
    ...[...wanted.keys()].flatMap((ordinal) => change(ordinal, undefined)),
    ...condemned.flatMap((pod) => change(ordinalOf(set, pod) ?? -1, pod)),
  ]
}

function statusOf(
  set: StatefulSet,
  own: readonly Pod[],
  { current, update }: Revisions,
  now: Date,
): StatefulSetStatus {
  const minReady = set.spec.minReadySeconds ?? 0
  const before = set.status
  const created = own.filter(({ status }) => (status?.phase ?? '') !== '')
  const alive = created.filter((pod) => !isTerminating(pod))
  const ofRevision = (name: string): number =>
    alive.filter((pod) => revisionOf(pod) === name).length
  const ready = created.filter(isRunningAndReady)
  const counts = {
    replicas: created.length,
    readyReplicas: ready.length,
    availableReplicas: ready.filter((pod) => isAvailable(pod, minReady, now)).length,
    currentReplicas: ofRevision(current.metadata.name),
    updatedReplicas: ofRevision(update.metadata.name),
    currentRevision: current.metadata.name,
  }
  // The update is through: what was new is now current.
  if (
    set.spec.updateStrategy?.type !== 'OnDelete' &&
    counts.updatedReplicas === counts.replicas &&
    counts.readyReplicas === counts.replicas
  ) {
    counts.currentReplicas = counts.updatedReplicas
    counts.currentRevision = update.metadata.name
  }
  return {
    ...(set.metadata.generation === undefined
      ? {}
      : { observedGeneration: set.metadata.generation }),
    replicas: counts.replicas,
    ...(counts.readyReplicas > 0 ? { readyReplicas: counts.readyReplicas } : {}),
    ...(counts.currentReplicas > 0 ? { currentReplicas: counts.currentReplicas } : {}),
    ...(counts.updatedReplicas > 0 ? { updatedReplicas: counts.updatedReplicas } : {}),
    currentRevision: counts.currentRevision,
    updateRevision: update.metadata.name,
    collisionCount: before?.collisionCount ?? 0,
    ...(before?.conditions === undefined ? {} : { conditions: before.conditions }),
    availableReplicas: counts.availableReplicas,
  }
}
