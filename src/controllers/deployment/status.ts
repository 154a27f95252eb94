/** What a Deployment says of itself. */
import {
  deployments,
  type Deployment,
  type DeploymentCondition,
  type DeploymentStatus,
  type ReplicaSet,
} from '#api'
import { timestamp } from '#machinery'
import { updateStatus, type Action, type Decision } from '../framework/index.ts'
import { boundsOf, sum, wantedOf } from './numbers.ts'
import { newest } from './sets.ts'

/** `progressDeadlineSeconds` of this means never. */
const NO_DEADLINE = 2 ** 31 - 1

export const noDeadline = ({ spec }: Deployment): boolean =>
  spec.progressDeadlineSeconds === undefined || spec.progressDeadlineSeconds === NO_DEADLINE

export function statusOf(
  deployment: Deployment,
  sets: readonly ReplicaSet[],
  conditions: readonly DeploymentCondition[],
): DeploymentStatus {
  const current = newest(deployment, sets)
  const count = (of: (set: ReplicaSet) => number | undefined): number =>
    sum(sets, (set) => of(set) ?? 0)
  const availableReplicas = count((set) => set.status?.availableReplicas)
  const total = count(wantedOf)
  const unavailableReplicas = Math.max(0, total - availableReplicas)
  const [replicas, readyReplicas, updatedReplicas] = [
    count((set) => set.status?.replicas),
    count((set) => set.status?.readyReplicas),
    current?.status?.replicas ?? 0,
  ]
  const collisionCount = deployment.status?.collisionCount
  return {
    ...(deployment.metadata.generation === undefined
      ? {}
      : { observedGeneration: deployment.metadata.generation }),
    ...(replicas > 0 ? { replicas } : {}),
    ...(updatedReplicas > 0 ? { updatedReplicas } : {}),
    ...(readyReplicas > 0 ? { readyReplicas } : {}),
    ...(availableReplicas > 0 ? { availableReplicas } : {}),
    ...(unavailableReplicas > 0 ? { unavailableReplicas } : {}),
    terminatingReplicas: count((set) => set.status?.terminatingReplicas),
    ...(conditions.length > 0 ? { conditions } : {}),
    ...(collisionCount === undefined ? {} : { collisionCount }),
  }
}

export const conditionsOf = ({ status }: Deployment): readonly DeploymentCondition[] =>
  status?.conditions ?? []

type Verdict = Pick<DeploymentCondition, 'type' | 'status' | 'reason' | 'message'>

export const progressing = (
  status: 'True' | 'False' | 'Unknown',
  reason: string,
  message: string,
): Verdict => ({ type: 'Progressing', status, reason, message })

/** The condition set; the time of its last change stays when its status does. */
export function withCondition(
  conditions: readonly DeploymentCondition[],
  verdict: Verdict,
  now: Date,
): readonly DeploymentCondition[] {
  const old = conditions.find(({ type }) => type === verdict.type)
  if (
    old !== undefined &&
    old.status === verdict.status &&
    old.reason === verdict.reason &&
    old.message === verdict.message
  )
    return conditions
  const made: DeploymentCondition = {
    ...verdict,
    lastUpdateTime: timestamp(now),
    lastTransitionTime:
      old?.status === verdict.status && old.lastTransitionTime !== undefined
        ? old.lastTransitionTime
        : timestamp(now),
  }
  return [...conditions.filter(({ type }) => type !== verdict.type), made]
}

const without = (
  conditions: readonly DeploymentCondition[],
  gone: string,
): readonly DeploymentCondition[] => conditions.filter(({ type }) => type !== gone)

export function isComplete({ spec, metadata }: Deployment, status: DeploymentStatus): boolean {
  const replicas = spec.replicas ?? 1
  return (
    (status.updatedReplicas ?? 0) === replicas &&
    (status.replicas ?? 0) === replicas &&
    (status.availableReplicas ?? 0) === replicas &&
    status.observedGeneration === metadata.generation
  )
}

/** Adds the status that follows from what is known now, and when to look at the deadline again. */
export function finish(
  deployment: Deployment,
  current: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
  now: Date,
  actions: readonly Action[],
  before: readonly DeploymentCondition[],
): Decision {
  const sets = current === undefined ? old : [...old, current]
  const counts = statusOf(deployment, sets, before)
  const replicas = deployment.spec.replicas ?? 1
  const enough = (counts.availableReplicas ?? 0) >= replicas - boundsOf(deployment).maxUnavailable
  let conditions = withCondition(
    before,
    enough
      ? {
          type: 'Available',
          status: 'True',
          reason: 'MinimumReplicasAvailable',
          message: 'Deployment has minimum availability.',
        }
      : {
          type: 'Available',
          status: 'False',
          reason: 'MinimumReplicasUnavailable',
          message: 'Deployment does not have minimum availability.',
        },
    now,
  )
  let requeueAfterMs: number | undefined
  if (deployment.spec.paused === true) {
    if (!noDeadline(deployment))
      conditions = withCondition(
        conditions,
        progressing('Unknown', 'DeploymentPaused', 'Deployment is paused'),
        now,
      )
  } else if (!noDeadline(deployment)) {
    if (conditions.find(({ type }) => type === 'Progressing')?.reason === 'DeploymentPaused') {
      conditions = withCondition(
        conditions,
        progressing('Unknown', 'DeploymentResumed', 'Deployment is resumed'),
        now,
      )
    }
    const name = current?.metadata.name
    const subject =
      name === undefined ? `Deployment "${deployment.metadata.name}"` : `ReplicaSet "${name}"`
    const last = conditions.find(({ type }) => type === 'Progressing')
    const isDone =
      last?.status === 'True' &&
      last.reason === 'NewReplicaSetAvailable' &&
      deployment.status?.updatedReplicas === counts.updatedReplicas &&
      deployment.status?.replicas === counts.updatedReplicas
    if (isComplete(deployment, counts)) {
      conditions = withCondition(
        conditions,
        progressing('True', 'NewReplicaSetAvailable', `${subject} has successfully progressed.`),
        now,
      )
    } else if (!isDone && hasProgressed(deployment, counts)) {
      const made = progressing('True', 'ReplicaSetUpdated', `${subject} is progressing.`)
      // Progress renews the deadline even when the words stay the same.
      conditions = withCondition(
        without(conditions, last?.reason === 'ReplicaSetUpdated' ? 'Progressing' : ''),
        made,
        now,
      ).map((c) =>
        c.type === 'Progressing' && last?.status === 'True' && last.lastTransitionTime !== undefined
          ? { ...c, lastTransitionTime: last.lastTransitionTime }
          : c,
      )
    } else if (!isDone && last !== undefined && last.reason !== 'NewReplicaSetAvailable') {
      const since = Date.parse(last.lastUpdateTime ?? '') || now.getTime()
      const left = since + (deployment.spec.progressDeadlineSeconds ?? 600) * 1000 - now.getTime()
      if (last.reason !== 'ProgressDeadlineExceeded') {
        if (left < 0)
          conditions = withCondition(
            conditions,
            progressing(
              'False',
              'ProgressDeadlineExceeded',
              `${subject} has timed out progressing.`,
            ),
            now,
          )
        else requeueAfterMs = left + 1000
      }
    }
  }
  const failure = sets
    .flatMap(({ status }) => status?.conditions ?? [])
    .find(({ type, status }) => type === 'ReplicaFailure' && status === 'True')
  conditions =
    failure === undefined
      ? without(conditions, 'ReplicaFailure')
      : withCondition(
          conditions,
          {
            type: 'ReplicaFailure',
            status: 'True',
            reason: failure.reason ?? '',
            message: failure.message ?? '',
          },
          now,
        )
  return {
    actions: [...actions, ...updateStatus(deployments, deployment, { ...counts, conditions })],
    ...(requeueAfterMs === undefined ? {} : { requeueAfterMs }),
  }
}

function hasProgressed({ status }: Deployment, counts: DeploymentStatus): boolean {
  const before = status ?? {}
  const olds = (of: DeploymentStatus): number => (of.replicas ?? 0) - (of.updatedReplicas ?? 0)
  return (
    (counts.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) ||
    olds(counts) < olds(before) ||
    (counts.readyReplicas ?? 0) > (before.readyReplicas ?? 0) ||
    (counts.availableReplicas ?? 0) > (before.availableReplicas ?? 0)
  )
}
