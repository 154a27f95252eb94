/** How many pods to make or remove so that a ReplicaSet, or a ReplicationController, has what it asks for. */
import type { Pod, ReplicaSet, ReplicaSetCondition, ReplicaSetStatus } from '#api'
import { pods as podResource, replicaSets } from '#api'
import { timestamp, selectorMatches, type ResourceRef } from '#machinery'
import {
  adoption,
  byDeletionOrder,
  controllerOf,
  create,
  event,
  isActive,
  isAvailable,
  isFinished,
  isReady,
  isTerminating,
  nothing,
  patch,
  podFromTemplate,
  release,
  remove,
  untilAvailable,
  updateStatus,
  type Action,
  type Decision,
  type Failure,
} from '../framework/index.ts'

/** Pods made or removed in one pass. */
const BURST_REPLICAS = 500

export interface Observed {
  /** What the owner is one of. Default: replica sets. */
  readonly ref?: ResourceRef<ReplicaSet>
  readonly replicaSet: ReplicaSet
  /** Its own, and those nobody controls that it selects. */
  readonly pods: readonly Pod[]
  /** Ready pods of the same owner on each node, so that doubled-up ones go first. */
  readonly relatedByNode?: ReadonlyMap<string, number>
}

export function decide(
  { ref = replicaSets, replicaSet, pods, relatedByNode }: Observed,
  now: Date,
): Decision {
  const { selector } = replicaSet.spec
  const terminating = isTerminating(replicaSet)
  const claims: Action[] = []
  const own: Pod[] = []
  for (const pod of pods) {
    const matches = selectorMatches(selector, pod.metadata.labels)
    const owner = controllerOf(pod)
    if (owner?.uid === replicaSet.metadata.uid) {
      if (matches) own.push(pod)
      else if (!terminating && !isTerminating(pod))
        claims.push(patch(podResource, pod, release(replicaSet, pod)))
    } else if (
      owner === undefined &&
      matches &&
      !terminating &&
      !isTerminating(pod) &&
      isActive(pod)
    ) {
      claims.push(patch(podResource, pod, adoption(ref, replicaSet, pod)))
      own.push(pod)
    }
  }
  if (terminating) return nothing
  const active = own.filter(isActive)
  const surplus = active.length - (replicaSet.spec.replicas ?? 1)
  const count = Math.min(Math.abs(surplus), BURST_REPLICAS)
  const changes: Action[] =
    surplus < 0
      ? Array.from({ length: count }, () =>
          create(
            podResource,
            podFromTemplate(ref, replicaSet, replicaSet.spec.template ?? {}),
            replicaSet,
          ),
        )
      : active
          .toSorted(byDeletionOrder(now, relatedByNode))
          .slice(0, count)
          .map((pod) => remove(podResource, pod, { about: replicaSet }))
  // A refusal is known to be over when nothing is left to make or remove.
  const conditions = (replicaSet.status?.conditions ?? []).filter(
    ({ type }) => surplus !== 0 || type !== 'ReplicaFailure',
  )
  const status = summarize(replicaSet, own, conditions)
  const wait = untilAvailable(replicaSet.spec.minReadySeconds ?? 0, active, now)
  return {
    actions: [
      ...claims,
      ...changes,
      ...updateStatus(
        ref,
        replicaSet,
        statusAt(status, active, replicaSet.spec.minReadySeconds ?? 0, now),
      ),
    ],
    ...(wait === undefined ? {} : { requeueAfterMs: wait }),
  }
}

/** A refused creation shows as a condition, which goes away with the next success. */
export function failed(
  { ref = replicaSets, replicaSet, pods }: Observed,
  failures: readonly Failure[],
  now: Date,
): readonly Action[] {
  const relevant = failures.find(
    ({ action }) => action.type === 'create' || action.type === 'remove',
  )
  if (relevant === undefined) return []
  const reason = relevant.action.type === 'create' ? 'FailedCreate' : 'FailedDelete'
  const message = relevant.error.message
  const others = (replicaSet.status?.conditions ?? []).filter(
    ({ type }) => type !== 'ReplicaFailure',
  )
  const old = replicaSet.status?.conditions?.find(({ type }) => type === 'ReplicaFailure')
  const condition: ReplicaSetCondition =
    // The words name each refused pod anew: writing them every time would never come to rest.
    old?.reason === reason
      ? old
      : {
          type: 'ReplicaFailure',
          status: 'True',
          lastTransitionTime: timestamp(now),
          reason,
          message,
        }
  const own = pods.filter((pod) => controllerOf(pod)?.uid === replicaSet.metadata.uid)
  const status = summarize(replicaSet, own, [...others, condition])
  const verb = relevant.action.type === 'create' ? 'creating' : 'deleting'
  return [
    event(replicaSet, 'Warning', reason, `Error ${verb}: ${message}`),
    ...updateStatus(
      ref,
      replicaSet,
      statusAt(status, own.filter(isActive), replicaSet.spec.minReadySeconds ?? 0, now),
    ),
  ]
}

function summarize(
  replicaSet: ReplicaSet,
  own: readonly Pod[],
  conditions: readonly ReplicaSetCondition[],
): ReplicaSetStatus {
  const active = own.filter(isActive)
  const labels = Object.entries(replicaSet.spec.template?.metadata?.labels ?? {})
  const terminatingReplicas = own.filter((pod) => isTerminating(pod) && !isFinished(pod)).length
  return {
    replicas: active.length,
    fullyLabeledReplicas: active.filter((pod) =>
      labels.every(([name, value]) => pod.metadata.labels?.[name] === value),
    ).length,
    readyReplicas: active.filter(isReady).length,
    terminatingReplicas,
    ...(replicaSet.metadata.generation === undefined
      ? {}
      : { observedGeneration: replicaSet.metadata.generation }),
    ...(conditions.length === 0 ? {} : { conditions }),
  }
}

/** Zero counts are left out, as the server writes them. */
function statusAt(
  status: ReplicaSetStatus,
  active: readonly Pod[],
  minReadySeconds: number,
  now: Date,
): ReplicaSetStatus {
  const availableReplicas = active.filter((pod) => isAvailable(pod, minReadySeconds, now)).length
  const { fullyLabeledReplicas, readyReplicas, conditions, terminatingReplicas, ...rest } = status
  return {
    ...rest,
    ...(fullyLabeledReplicas ? { fullyLabeledReplicas } : {}),
    ...(readyReplicas ? { readyReplicas } : {}),
    ...(availableReplicas > 0 ? { availableReplicas } : {}),
    terminatingReplicas: terminatingReplicas ?? 0,
    ...(conditions !== undefined && conditions.length > 0 ? { conditions } : {}),
  }
}
