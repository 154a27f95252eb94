/** What the runtime is asked to make for a pod: its sandbox, and each of its containers. */
import { posix } from 'node:path'
import type { Pod } from '#api'
import {
  ANNOTATION,
  type ContainerConfig,
  type DnsConfig,
  LABEL,
  type LinuxResources,
  type Mount,
  type PodSandboxConfig,
} from '../runtime.ts'
import {
  type AnyContainer,
  type ContainerKind,
  allContainers,
  containerHash,
  namespaceOf,
  uidOf,
} from './containers.ts'
import { expand } from './expand.ts'
import {
  type ImageUser,
  type SecurityFacts,
  containerSecurity,
  sandboxSecurity,
} from './security.ts'

/** `shop_web-0_1b4e…`: log collectors read it. */
export const logFolderOf = (pod: Pod): string =>
  `${namespaceOf(pod)}_${pod.metadata.name}_${uidOf(pod)}`

/** `/var/log/pods/shop_web-0_1b4e…`. */
export const logDirectoryOf = (root: string, pod: Pod): string => `${root}/${logFolderOf(pod)}`

/** Relative to the pod's log directory. */
const logPathOf = (container: string, attempt: number): string => `${container}/${attempt}.log`

const podLabels = (pod: Pod): Record<string, string> => ({
  [LABEL.podName]: pod.metadata.name,
  [LABEL.podNamespace]: namespaceOf(pod),
  [LABEL.podUid]: uidOf(pod),
})

export interface SandboxInput {
  readonly pod: Pod
  readonly attempt: number
  readonly hostname: string
  readonly dns: DnsConfig
  readonly logRoot: string
  /** Empty: the runtime's own default. */
  readonly cgroupParent: string
  readonly security: SecurityFacts
}

export function sandboxConfig(input: SandboxInput): PodSandboxConfig {
  const { pod } = input
  const { spec, metadata } = pod
  const hostNetwork = spec.hostNetwork === true
  const sysctls = Object.fromEntries(
    (spec.securityContext?.sysctls ?? []).map(({ name, value }) => [
      name.replaceAll('/', '.'),
      value,
    ]),
  )
  return {
    metadata: {
      name: metadata.name,
      uid: uidOf(pod),
      namespace: namespaceOf(pod),
      attempt: input.attempt,
    },
    // On the node's network the host name is the node's, and crun refuses another.
    hostname: hostNetwork ? '' : input.hostname,
    logDirectory: logDirectoryOf(input.logRoot, pod),
    dnsConfig: input.dns,
    portMappings: hostNetwork ? [] : portMappings(pod),
    labels: { ...metadata.labels, ...podLabels(pod) },
    annotations: { ...metadata.annotations },
    linux: {
      cgroupParent: input.cgroupParent,
      securityContext: sandboxSecurity(pod, input.security),
      sysctls,
    },
  }
}

function portMappings(pod: Pod): PodSandboxConfig['portMappings'] {
  const mappings: PodSandboxConfig['portMappings'][number][] = []
  for (const [container] of allContainers(pod)) {
    for (const { containerPort, hostPort = 0, hostIP = '', protocol = 'TCP' } of container.ports ??
      []) {
      if (hostPort > 0) mappings.push({ containerPort, hostPort, hostIp: hostIP, protocol })
    }
  }
  return mappings
}

export interface ContainerInput {
  readonly pod: Pod
  readonly container: AnyContainer
  readonly kind: ContainerKind
  readonly attempt: number
  /** As the runtime names it. */
  readonly imageRef: string
  readonly imageUser: ImageUser
  readonly environment: ReadonlyMap<string, string>
  readonly mounts: readonly Mount[]
  readonly devices: ContainerConfig['devices']
  readonly resources: LinuxResources
  readonly security: SecurityFacts
  /** Container whose processes an ephemeral one shares. */
  readonly targetId: string | undefined
}

export function containerConfig(input: ContainerInput): ContainerConfig {
  const { pod, container, attempt, environment } = input
  const value = (name: string) => environment.get(name)
  return {
    metadata: { name: container.name, attempt },
    image: input.imageRef,
    userSpecifiedImage: container.image ?? '',
    command: (container.command ?? []).map((word) => expand(word, value)),
    args: (container.args ?? []).map((word) => expand(word, value)),
    workingDir: container.workingDir ?? '',
    envs: [...environment].map(([key, text]) => ({ key, value: text })),
    mounts: input.mounts,
    devices: input.devices,
    labels: { ...podLabels(pod), [LABEL.containerName]: container.name },
    annotations: containerAnnotations(pod, container, attempt),
    logPath: logPathOf(container.name, attempt),
    stdin: container.stdin === true,
    stdinOnce: container.stdinOnce === true,
    tty: container.tty === true,
    ...(container.lifecycle?.stopSignal === undefined
      ? {}
      : { stopSignal: container.lifecycle.stopSignal }),
    linux: {
      resources: input.resources,
      securityContext: containerSecurity(
        pod,
        container,
        input.imageUser,
        input.security,
        input.targetId,
      ),
    },
  }
}

/** What a restarted kubelet needs to know of a container when its pod's object is gone. */
function containerAnnotations(
  pod: Pod,
  container: AnyContainer,
  attempt: number,
): Record<string, string> {
  const { lifecycle, ports } = container
  const grace = pod.spec.terminationGracePeriodSeconds
  return {
    [ANNOTATION.hash]: containerHash(container),
    [ANNOTATION.restartCount]: String(attempt),
    [ANNOTATION.terminationMessagePath]: container.terminationMessagePath ?? '/dev/termination-log',
    [ANNOTATION.terminationMessagePolicy]: container.terminationMessagePolicy ?? 'File',
    ...(lifecycle?.preStop === undefined
      ? {}
      : { [ANNOTATION.preStop]: JSON.stringify(lifecycle.preStop) }),
    ...(ports === undefined || ports.length === 0
      ? {}
      : { [ANNOTATION.ports]: JSON.stringify(ports) }),
    ...(grace === undefined ? {} : { [ANNOTATION.podGrace]: String(grace) }),
  }
}

export const PROPAGATION = {
  None: 'PROPAGATION_PRIVATE',
  HostToContainer: 'PROPAGATION_HOST_TO_CONTAINER',
  Bidirectional: 'PROPAGATION_BIDIRECTIONAL',
} as const

/** Where a container sees its working folder's neighbours: a mount path made absolute. */
export const absolutePath = (path: string): string => (posix.isAbsolute(path) ? path : `/${path}`)
