/** Pods and runtimes for tests: short to write, complete enough to be true. */
import type { Container, Pod, PodSpec, PodStatus } from '#api'
import { ANNOTATION } from '../runtime.ts'
import type { ContainerStatus, PodSandboxStatus } from '../runtime.ts'
import { containerHash } from '../pod/containers.ts'
import type { PodContainer, PodRuntime } from '../pod/pod-runtime.ts'
import { byAge } from '../pod/pod-runtime.ts'

const EPOCH = new Date('2026-01-01T00:00:00Z')
export const after = (seconds: number): Date => new Date(EPOCH.getTime() + seconds * 1000)

export interface PodOptions extends Partial<Omit<PodSpec, 'containers'>> {
  readonly containers?: readonly (Partial<Container> & { readonly name: string })[]
  readonly status?: PodStatus
  readonly metadata?: Partial<Pod['metadata']>
}

export function pod({ containers, status, metadata, ...spec }: PodOptions = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'web',
      namespace: 'shop',
      uid: 'uid-1',
      resourceVersion: '1',
      creationTimestamp: '2026-01-01T00:00:00Z',
      ...metadata,
    },
    spec: {
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
      nodeName: 'n1',
      ...spec,
      containers: (containers ?? [{ name: 'app' }]).map((container) => ({
        image: 'busybox:1',
        ...container,
      })),
    },
    ...(status === undefined ? {} : { status }),
  }
}

export const sandbox = (options: Partial<PodSandboxStatus> = {}): PodSandboxStatus => ({
  id: 'sandbox-0',
  metadata: { name: 'web', namespace: 'shop', uid: 'uid-1', attempt: 0 },
  state: 'ready',
  createdAt: EPOCH,
  labels: {},
  annotations: {},
  runtimeHandler: '',
  ips: ['10.0.0.5'],
  network: 'POD',
  ...options,
})

export function container(
  name: string,
  options: Partial<ContainerStatus> & { readonly sandboxId?: string } = {},
): PodContainer {
  const attempt = options.attempt ?? 0
  return {
    id: `${name}-${attempt}`,
    name,
    attempt,
    sandboxId: 'sandbox-0',
    state: 'running',
    createdAt: after(attempt * 10),
    startedAt: after(attempt * 10 + 1),
    finishedAt: undefined,
    exitCode: 0,
    image: 'busybox:1',
    imageRef: 'busybox@sha256:1',
    imageId: 'sha256:1',
    reason: '',
    message: '',
    labels: {},
    annotations: { [ANNOTATION.hash]: containerHash({ name, image: 'busybox:1' }) },
    logPath: '',
    ...options,
  }
}

export const exited = (
  name: string,
  exitCode: number,
  options: Parameters<typeof container>[1] = {},
): PodContainer =>
  container(name, {
    state: 'exited',
    exitCode,
    finishedAt: after((options.attempt ?? 0) * 10 + 5),
    reason: exitCode === 0 ? 'Completed' : 'Error',
    ...options,
  })

export const runtimeOf = (
  containers: readonly PodContainer[] = [],
  sandboxes: readonly PodSandboxStatus[] = [sandbox()],
): PodRuntime => ({ sandboxes, containers: containers.toSorted(byAge) })
