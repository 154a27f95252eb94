/** Containers of a pod that is over, of which nobody knows how they ended. */
import type { ContainerStatus, Pod } from '#api'
import { isSidecar } from './containers.ts'

/** 137: as if killed. */
export const UNKNOWN_END = {
  exitCode: 137,
  reason: 'ContainerStatusUnknown',
  message: 'The container could not be located when the pod was terminated',
} as const

interface Statuses {
  readonly initContainerStatuses: readonly ContainerStatus[]
  readonly containerStatuses: readonly ContainerStatus[]
}

/**
 * In a pod that is over nothing waits: what the runtime does not have any more has ended, nobody knows how. Only those
 * whose turn never came go on waiting: init containers after the last that was tried, and all others while those were
 * not done.
 */
export function withoutWaiting(
  pod: Pod,
  init: readonly ContainerStatus[],
  regular: readonly ContainerStatus[],
): Statuses {
  const tried = Math.max(0, init.findLastIndex(hasBegun))
  return {
    initContainerStatuses: init.map((status, index) => (index <= tried ? ended(status) : status)),
    containerStatuses: isInitialized(pod, init, regular) ? regular.map(ended) : regular,
  }
}

const hasBegun = ({ state, lastState }: ContainerStatus): boolean =>
  state?.waiting === undefined || lastState?.terminated !== undefined

const ended = (status: ContainerStatus): ContainerStatus =>
  status.state?.waiting === undefined
    ? status
    : { ...status, state: { terminated: UNKNOWN_END }, ready: false }

function isInitialized(
  { spec }: Pod,
  init: readonly ContainerStatus[],
  regular: readonly ContainerStatus[],
): boolean {
  const last = init.at(-1)
  if (last === undefined || regular.some(hasBegun)) return true
  const container = spec.initContainers?.at(-1)
  return container !== undefined && isSidecar(container, 'init')
    ? last.started === true
    : last.state?.terminated?.exitCode === 0
}
