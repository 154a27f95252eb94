/** The conditions of a pod that the kubelet owns, and how they join those of others. */
import { timestamp } from '#machinery'
import type { ContainerStatus, Pod, PodCondition, PodStatus } from '#api'
import { isSidecar } from './containers.ts'

export type Condition = Pick<PodCondition, 'type' | 'status' | 'reason' | 'message'>

export interface ConditionInput {
  readonly pod: Pod
  readonly phase: NonNullable<PodStatus['phase']>
  readonly initStatuses: readonly ContainerStatus[]
  readonly statuses: readonly ContainerStatus[]
  readonly sandboxReady: boolean
}

/** In the order in which they are published. */
export function conditionsOf(input: ConditionInput): readonly Condition[] {
  const containersReady = containersReadyCondition(input)
  return [
    { type: 'PodReadyToStartContainers', status: input.sandboxReady ? 'True' : 'False' },
    initializedCondition(input),
    readyCondition(input.pod, containersReady),
    containersReady,
    { type: 'PodScheduled', status: 'True' },
  ]
}

const no = (type: string, reason: string, message?: string): Condition => ({
  type,
  status: 'False',
  reason,
  ...(message === undefined ? {} : { message }),
})

function initializedCondition({ pod, phase, initStatuses, statuses }: ConditionInput): Condition {
  const containers = pod.spec.initContainers ?? []
  if (phase === 'Succeeded' && containers.length > 0) {
    return { type: 'Initialized', status: 'True', reason: 'PodCompleted' }
  }
  const started = statuses.some(
    ({ state, lastState }) => state?.running ?? state?.terminated ?? lastState?.terminated,
  )
  const incomplete = started
    ? []
    : containers
        .filter((container, index) => {
          const status = initStatuses[index]
          return isSidecar(container, 'init')
            ? status?.started !== true
            : status?.state?.terminated?.exitCode !== 0
        })
        .map(({ name }) => name)
  if (incomplete.length === 0) return { type: 'Initialized', status: 'True' }
  return no(
    'Initialized',
    'ContainersNotInitialized',
    `containers with incomplete status: [${incomplete.join(' ')}]`,
  )
}

function containersReadyCondition(input: ConditionInput): Condition {
  const { pod, phase, initStatuses, statuses } = input
  if (phase === 'Succeeded') return no('ContainersReady', 'PodCompleted')
  if (phase === 'Failed') return no('ContainersReady', 'PodFailed')
  const unready = [
    ...(pod.spec.initContainers ?? [])
      .filter((container, index) => isSidecar(container, 'init') && !initStatuses[index]?.ready)
      .map(({ name }) => name),
    ...statuses.filter(({ ready }) => !ready).map(({ name }) => name),
  ]
  if (unready.length === 0) return { type: 'ContainersReady', status: 'True' }
  return no(
    'ContainersReady',
    'ContainersNotReady',
    `containers with unready status: [${unready.join(' ')}]`,
  )
}

function readyCondition(pod: Pod, containersReady: Condition): Condition {
  if (containersReady.status !== 'True') return { ...containersReady, type: 'Ready' }
  const troubles: string[] = []
  for (const { conditionType } of pod.spec.readinessGates ?? []) {
    const found = pod.status?.conditions?.find(({ type }) => type === conditionType)
    if (found === undefined) {
      troubles.push(
        `corresponding condition of pod readiness gate "${conditionType}" does not exist.`,
      )
    } else if (found.status !== 'True') {
      troubles.push(
        `the status of pod readiness gate "${conditionType}" is not "True", but ${found.status}`,
      )
    }
  }
  if (troubles.length === 0) return { type: 'Ready', status: 'True' }
  return no('Ready', 'ReadinessGatesNotReady', troubles.join(', '))
}

/** They go when there is nothing to say. */
const RESIZE_CONDITIONS = ['PodResizePending', 'PodResizeInProgress'] as const

/** Ours replace those of the same type; a time changes with the status only; others' stay. */
export function mergeConditions(
  old: readonly PodCondition[],
  ours: readonly Condition[],
  observedGeneration: number | undefined,
  now: Date,
): readonly PodCondition[] {
  const owned = new Set([...RESIZE_CONDITIONS, ...ours.map(({ type }) => type)])
  const nowText = timestamp(now)
  return [
    ...ours.map((condition) => {
      const before = old.find(({ type }) => type === condition.type)
      const since = before?.status === condition.status ? before.lastTransitionTime : undefined
      return {
        type: condition.type,
        ...(observedGeneration === undefined ? {} : { observedGeneration }),
        status: condition.status,
        lastProbeTime: null as unknown as string,
        lastTransitionTime: since ?? nowText,
        ...(condition.reason === undefined ? {} : { reason: condition.reason }),
        ...(condition.message === undefined ? {} : { message: condition.message }),
      }
    }),
    ...old.filter(({ type }) => !owned.has(type)),
  ]
}
