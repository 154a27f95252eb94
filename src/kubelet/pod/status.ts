/** A pod's status, made from its spec, what the runtime holds, and what the kubelet knows besides. */
import type { ContainerStatus, Pod, PodCondition, PodStatus, ResourceRequirements } from '#api'
import {
  type AnyContainer,
  type ContainerKind,
  isDeleted,
  isSidecar,
  restartsAfter,
} from './containers.ts'
import { type Condition, conditionsOf, mergeConditions } from './conditions.ts'
import { type PodContainer, type PodRuntime, readySandbox } from './pod-runtime.ts'
import type { ProbeResult } from './actions.ts'
import { qosClassOf } from './qos.ts'
import { resourcesInUse } from './resources.ts'
import { UNKNOWN_END, withoutWaiting } from './lost.ts'

/** Why a container is not running: a name of Kubernetes', and a sentence. */
export interface Waiting {
  readonly reason: string
  readonly message?: string
}

/** Why the kubelet ended a pod; `disrupts` when that was for the node's sake. */
export interface PodFailure {
  readonly reason: string
  readonly message: string
  readonly disrupts?: boolean
}

export interface StatusInput {
  readonly pod: Pod
  readonly runtime: PodRuntime
  /** By container name: a failed pull, a back-off, a refused configuration. */
  readonly waiting: ReadonlyMap<string, Waiting>
  readonly readiness: (containerId: string) => ProbeResult
  readonly startup: (containerId: string) => ProbeResult
  /** Exit messages that were read from files, by container id. */
  readonly messages: ReadonlyMap<string, string>
  /** All containers have ended for good: the phase is a last one. */
  readonly finished: boolean
  /** The kubelet ended the pod: rejected, deadline exceeded, evicted. */
  readonly failed?: PodFailure | undefined
  /** It never began here: there is nothing to say about its containers. */
  readonly rejected?: boolean
  /** What a running container has, while it is to have something else. */
  readonly actual: (containerId: string) => ResourceRequirements | undefined
  readonly resize: readonly Condition[]
  readonly nodeIps: readonly string[]
  /** `containerd` */
  readonly runtimeName: string
  readonly now: Date
}

export function statusOf(input: StatusInput): PodStatus {
  const { pod, runtime, now } = input
  const old = pod.status ?? {}
  const init = statusesOf(input, pod.spec.initContainers ?? [], 'init')
  const regular = statusesOf(input, pod.spec.containers, 'regular')
  const ephemeralContainerStatuses = statusesOf(
    input,
    pod.spec.ephemeralContainers ?? [],
    'ephemeral',
  )
  const phase = keepTerminal(
    old.phase,
    input.failed ? 'Failed' : phaseOf(pod, init, regular, input.finished),
  )
  const over = phase === 'Succeeded' || phase === 'Failed'
  const { initContainerStatuses, containerStatuses } = over
    ? withoutWaiting(pod, init, regular)
    : { initContainerStatuses: init, containerStatuses: regular }
  const sandbox = readySandbox(runtime)
  const podIps = podIpsOf(input)
  const conditions = conditionsOf({
    pod,
    phase,
    initStatuses: initContainerStatuses,
    statuses: containerStatuses,
    sandboxReady:
      sandbox !== undefined && (pod.spec.hostNetwork === true || sandbox.ips.length > 0),
  })
  const reason = input.failed?.reason ?? old.reason
  const message = input.failed?.message ?? old.message
  const generation = pod.metadata.generation
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    phase,
    conditions: mergeConditions(
      old.conditions ?? [],
      [...input.resize, ...disruptionOf(input), ...conditions],
      generation,
      now,
    ),
    ...(message === undefined ? {} : { message }),
    ...(reason === undefined ? {} : { reason }),
    ...(old.nominatedNodeName === undefined ? {} : { nominatedNodeName: old.nominatedNodeName }),
    ...hostIpsOf(input.nodeIps),
    ...podIps,
    startTime: old.startTime ?? timestamp(now),
    ...(initContainerStatuses.length === 0 || input.rejected === true
      ? {}
      : { initContainerStatuses }),
    ...(input.rejected === true ? {} : { containerStatuses }),
    qosClass: old.qosClass ?? qosClassOf(pod),
    ...(ephemeralContainerStatuses.length === 0 ? {} : { ephemeralContainerStatuses }),
    ...(old.resourceClaimStatuses === undefined
      ? {}
      : { resourceClaimStatuses: old.resourceClaimStatuses }),
  }
}

/** KEP-3329: Jobs and people tell by it that the pod itself did nothing wrong. */
const disruptionOf = ({ failed }: StatusInput): readonly Condition[] =>
  failed?.disrupts === true
    ? [
        {
          type: 'DisruptionTarget',
          status: 'True',
          reason: 'TerminationByKubelet',
          message: failed.message,
        },
      ]
    : []

/** RFC 3339 without fractions, as metav1.Time is written. */
export const timestamp = (date: Date): string => `${date.toISOString().slice(0, 19)}Z`

const hostIpsOf = (ips: readonly string[]): Pick<PodStatus, 'hostIP' | 'hostIPs'> =>
  ips[0] === undefined ? {} : { hostIP: ips[0], hostIPs: ips.map((ip) => ({ ip })) }

function podIpsOf(input: StatusInput): Pick<PodStatus, 'podIP' | 'podIPs'> {
  const { pod, runtime, nodeIps } = input
  const old = pod.status
  const started = runtime.sandboxes.length > 0
  const ips =
    pod.spec.hostNetwork === true
      ? started
        ? nodeIps
        : []
      : (readySandbox(runtime)?.ips ?? runtime.sandboxes[0]?.ips ?? [])
  if (ips[0] !== undefined) return { podIP: ips[0], podIPs: ips.map((ip) => ({ ip })) }
  // A stopped sandbox has lost its address; the status keeps the last one.
  return old?.podIP === undefined
    ? {}
    : { podIP: old.podIP, ...(old.podIPs === undefined ? {} : { podIPs: old.podIPs }) }
}

const keepTerminal = (
  old: PodStatus['phase'],
  phase: NonNullable<PodStatus['phase']>,
): NonNullable<PodStatus['phase']> => (old === 'Succeeded' || old === 'Failed' ? old : phase)

function statusesOf(
  input: StatusInput,
  containers: readonly AnyContainer[],
  kind: ContainerKind,
): readonly ContainerStatus[] {
  return containers.map((container) => containerStatusOf(input, container, kind))
}

const publishedOf = (pod: Pod, name: string, kind: ContainerKind): ContainerStatus | undefined => {
  const { status } = pod
  const list =
    kind === 'init'
      ? status?.initContainerStatuses
      : kind === 'regular'
        ? status?.containerStatuses
        : status?.ephemeralContainerStatuses
  return list?.find((published) => published.name === name)
}

function containerStatusOf(
  input: StatusInput,
  container: AnyContainer,
  kind: ContainerKind,
): ContainerStatus {
  const { pod, runtime } = input
  const attempts = runtime.containers.filter(({ name }) => name === container.name)
  const published = publishedOf(pod, container.name, kind)
  const [current, previous] = attempts
  if (current === undefined) return neverCreated(input, container, kind, published)

  const status = fromRuntime(input, container, kind, current)
  const last =
    previous === undefined
      ? earlierState(input, published, current)
      : { terminated: terminatedState(input, previous) }
  const withLast = last === undefined ? status : { ...status, lastState: last }
  return asWaiting(input, container, kind, withLast)
}

/** The attempt before this one is no more in the runtime: what was published of it stays true. */
function earlierState(
  input: StatusInput,
  published: ContainerStatus | undefined,
  current: PodContainer,
): ContainerStatus['lastState'] {
  if (published?.containerID === undefined) return published?.lastState
  if (published.containerID === containerId(input, current.id)) return published.lastState
  return published.state?.terminated === undefined
    ? published.lastState
    : { terminated: published.state.terminated }
}

/** One that ended and is to run again shows why it does not yet, once that is known. */
function asWaiting(
  input: StatusInput,
  container: AnyContainer,
  kind: ContainerKind,
  status: ContainerStatus,
): ContainerStatus {
  const { terminated, running } = status.state ?? {}
  if (running !== undefined || isDeleted(input.pod) || input.finished) return status
  const why = input.waiting.get(container.name)
  if (why === undefined) return status
  if (terminated && !restartsAfter(input.pod, container, kind, terminated.exitCode)) return status
  return {
    ...status,
    state: { waiting: waitingState(why) },
    ...(terminated === undefined ? {} : { lastState: { terminated } }),
    ready: false,
    started: false,
  }
}

const waitingState = ({ reason, message }: Waiting) => ({
  reason,
  ...(message === undefined || message === '' ? {} : { message }),
})

function neverCreated(
  input: StatusInput,
  container: AnyContainer,
  kind: ContainerKind,
  published: ContainerStatus | undefined,
): ContainerStatus {
  const { pod } = input
  const blank = {
    name: container.name,
    ready: false,
    restartCount: published?.restartCount ?? 0,
    image: container.image ?? '',
    imageID: '',
  }
  const why = input.waiting.get(container.name)
  const lastState = published?.lastState
  const keep = lastState === undefined ? {} : { lastState }
  // It ended, and the runtime has forgotten it: what was published stays true.
  if (published?.state?.terminated !== undefined) return { ...published, ready: false }
  if (published?.state?.running !== undefined) {
    const message = `${UNKNOWN_END.message}. The container used to be Running`
    const terminated = { ...UNKNOWN_END, message }
    if (isDeleted(pod) || input.finished) {
      return { ...published, state: { terminated }, ready: false, started: false }
    }
    return {
      ...blank,
      // It is to run again, or would have to.
      restartCount: blank.restartCount + 1,
      lastState: { terminated },
      state: { waiting: waitingState(why ?? { reason: 'ContainerCreating' }) },
      started: false,
    }
  }
  // Of init containers that wait for their turn, too.
  const initializing = kind !== 'ephemeral' && (pod.spec.initContainers ?? []).length > 0
  const reason = { reason: initializing ? 'PodInitializing' : 'ContainerCreating' }
  return {
    ...blank,
    ...keep,
    state: { waiting: waitingState(why ?? reason) },
    ...(kind === 'ephemeral' ? {} : { started: false }),
  }
}

const containerId = ({ runtimeName }: StatusInput, id: string): string => `${runtimeName}://${id}`

function fromRuntime(
  input: StatusInput,
  container: AnyContainer,
  kind: ContainerKind,
  found: PodContainer,
): ContainerStatus {
  const running = found.state === 'running'
  const started = running && startedUp(input, container, found.id)
  const ready = isReady(input, container, kind, found, started)
  const mounts = volumeMountStatuses(container)
  return {
    name: container.name,
    state: stateOf(input, found),
    ready,
    restartCount: found.attempt,
    image: found.image,
    imageID: found.imageRef,
    containerID: containerId(input, found.id),
    ...(kind === 'ephemeral' ? {} : { started }),
    ...(kind === 'ephemeral' ? {} : resourcesInUse(container, input.actual(found.id))),
    ...(mounts.length === 0 ? {} : { volumeMounts: mounts }),
    ...(found.user === undefined || !running
      ? {}
      : {
          user: {
            linux: {
              uid: found.user.uid,
              gid: found.user.gid,
              supplementalGroups: found.user.supplementalGroups,
            },
          },
        }),
    ...(container.lifecycle?.stopSignal === undefined
      ? {}
      : { stopSignal: container.lifecycle.stopSignal }),
  }
}

function volumeMountStatuses(container: AnyContainer) {
  return (container.volumeMounts ?? []).map(({ name, mountPath, readOnly }) => ({
    name,
    mountPath,
    ...(readOnly === true ? { readOnly: true, recursiveReadOnly: 'Disabled' } : {}),
  }))
}

const startedUp = (input: StatusInput, { startupProbe }: AnyContainer, id: string): boolean =>
  startupProbe === undefined || input.startup(id) === 'success'

function isReady(
  input: StatusInput,
  container: AnyContainer,
  kind: ContainerKind,
  found: PodContainer,
  started: boolean,
): boolean {
  if (kind === 'ephemeral') return false
  if (kind === 'init' && !isSidecar(container, kind)) {
    return found.state === 'exited' && found.exitCode === 0
  }
  if (!started) return false
  return container.readinessProbe === undefined || input.readiness(found.id) === 'success'
}

function stateOf(input: StatusInput, found: PodContainer): NonNullable<ContainerStatus['state']> {
  if (found.state === 'running') {
    return { running: { startedAt: timestamp(found.startedAt ?? found.createdAt) } }
  }
  if (found.state === 'exited') return { terminated: terminatedState(input, found) }
  return { waiting: { reason: 'ContainerCreating' } }
}

function terminatedState(input: StatusInput, found: PodContainer) {
  const { startedAt, finishedAt, exitCode } = found
  const message = input.messages.get(found.id) ?? found.message
  return {
    exitCode,
    reason: found.reason === '' ? (exitCode === 0 ? 'Completed' : 'Error') : found.reason,
    ...(message === '' ? {} : { message }),
    startedAt: startedAt === undefined ? null : timestamp(startedAt),
    finishedAt: finishedAt === undefined ? null : timestamp(finishedAt),
    containerID: containerId(input, found.id),
  } as {
    exitCode: number
    reason: string
    message?: string
    startedAt?: string
    finishedAt?: string
    containerID: string
  }
}

/** The phase that the containers' states add up to. */
function phaseOf(
  pod: Pod,
  init: readonly ContainerStatus[],
  regular: readonly ContainerStatus[],
  finished: boolean,
): NonNullable<PodStatus['phase']> {
  const initialized = regular.some(
    ({ state, lastState }) =>
      state?.running !== undefined ||
      state?.terminated !== undefined ||
      lastState?.terminated !== undefined,
  )
  for (const [index, container] of (pod.spec.initContainers ?? []).entries()) {
    const status = init[index]
    const terminated = status?.state?.terminated
    if (isSidecar(container, 'init')) {
      if (!initialized && status?.started !== true && !finished) return 'Pending'
      continue
    }
    if (terminated?.exitCode === 0) continue
    if (terminated !== undefined) {
      const again = restartsAfter(pod, container, 'init', terminated.exitCode)
      if (!again || finished) return 'Failed'
    }
    if (!initialized) return finished && terminated === undefined ? 'Failed' : 'Pending'
  }
  return regularPhase(pod, regular, finished)
}

function regularPhase(
  pod: Pod,
  statuses: readonly ContainerStatus[],
  finished: boolean,
): NonNullable<PodStatus['phase']> {
  let running = 0
  let waiting = 0
  let failed = 0
  let restarting = 0
  for (const [index, { state, lastState }] of statuses.entries()) {
    const container = pod.spec.containers[index]
    const ended = state?.terminated ?? (state?.waiting && lastState?.terminated)
    if (state?.running !== undefined) running++
    else if (ended === undefined) waiting++
    else {
      if (ended.exitCode !== 0) failed++
      if (container && restartsAfter(pod, container, 'regular', ended.exitCode)) restarting++
    }
  }
  if (finished) return waiting + failed > 0 ? 'Failed' : 'Succeeded'
  if (waiting > 0) return 'Pending'
  if (running + restarting > 0) return 'Running'
  return failed > 0 ? 'Failed' : 'Succeeded'
}

export type { PodCondition }
