/** What the runtime holds of one pod: the kubelet's whole view of reality. */
import type { ContainerStatus, PodSandboxStatus } from '../runtime.ts'

export interface PodRuntime {
  /** Newest first. */
  readonly sandboxes: readonly PodSandboxStatus[]
  /** Newest first; a name occurs once for each attempt. */
  readonly containers: readonly PodContainer[]
}

/** A container, and the sandbox it is in. */
export interface PodContainer extends ContainerStatus {
  readonly sandboxId: string
}

export const emptyPodRuntime: PodRuntime = { sandboxes: [], containers: [] }

/** The sandbox that containers may be started in. */
export const readySandbox = ({ sandboxes }: PodRuntime): PodSandboxStatus | undefined =>
  sandboxes.find(({ state }) => state === 'ready')

export const newestContainer = (
  { containers }: PodRuntime,
  name: string,
): PodContainer | undefined => containers.find((container) => container.name === name)

export const isRunning = (container: ContainerStatus | undefined): boolean =>
  container?.state === 'running'

export const runningContainers = ({ containers }: PodRuntime): readonly PodContainer[] =>
  containers.filter(isRunning)

/** Newest first; attempts break ties, because a clock is coarse. */
export const byAge = (
  a: { readonly createdAt: Date; readonly attempt: number },
  b: { readonly createdAt: Date; readonly attempt: number },
): number => b.createdAt.getTime() - a.createdAt.getTime() || b.attempt - a.attempt
