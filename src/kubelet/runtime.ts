/**
 * What the kubelet asks of a container runtime: the Container Runtime Interface v1, in the terms of
 * this language. Dates instead of nanoseconds, streams instead of streaming URLs, absent instead of
 * zero. Implementations: `cri/` (containerd, CRI-O) and `simulated/`.
 */
import type { Duplex } from 'node:stream'
import type { SessionStreams } from '#client'

/** What runs pods: the container runtime interface in the words of this program. */
export interface Runtime {
  /** A runtime without containers: nothing is mounted, no cgroup is made. Always labelled. */
  readonly simulated: boolean
  /** Where the log files of `logPath` can be read. */
  readonly logFiles: LogFiles

  version(): Promise<RuntimeVersion>
  status(): Promise<RuntimeStatus>

  /** Returns the sandbox's id once its network is up. */
  runPodSandbox(config: PodSandboxConfig, runtimeHandler: string): Promise<string>
  /** Kills what is left in it and gives its network back. Nothing happens when it is stopped or gone. */
  stopPodSandbox(id: string): Promise<void>
  removePodSandbox(id: string): Promise<void>
  /** Undefined when there is none. */
  podSandboxStatus(id: string): Promise<PodSandboxStatus | undefined>
  listPodSandboxes(filter?: PodFilter): Promise<readonly PodSandbox[]>

  createContainer(
    sandboxId: string,
    config: ContainerConfig,
    sandboxConfig: PodSandboxConfig,
  ): Promise<string>
  startContainer(id: string): Promise<void>
  /** SIGTERM, and SIGKILL after `timeoutSeconds`. Resolves when it has ended; nothing happens when it is gone. */
  stopContainer(id: string, timeoutSeconds: number): Promise<void>
  removeContainer(id: string): Promise<void>
  listContainers(filter?: PodFilter): Promise<readonly Container[]>
  /** Undefined when there is none. */
  containerStatus(id: string): Promise<ContainerStatus | undefined>
  updateContainerResources(id: string, resources: LinuxResources): Promise<void>
  reopenContainerLog(id: string): Promise<void>
  listContainerStats(filter?: PodFilter): Promise<readonly ContainerStats[]>

  /** Runs to the end. A command that outlives the timeout is killed: `RuntimeError` with code `deadline`. */
  execSync(id: string, command: readonly string[], timeoutSeconds: number): Promise<ExecResult>
  exec(
    id: string,
    options: { readonly command: readonly string[]; readonly tty: boolean },
    streams: SessionStreams,
    signal: AbortSignal,
  ): Promise<{ readonly exitCode: number }>
  attach(
    id: string,
    options: { readonly tty: boolean },
    streams: SessionStreams,
    signal: AbortSignal,
  ): Promise<void>
  portForward(sandboxId: string, port: number, signal: AbortSignal): Promise<Duplex>

  /** What happens to containers and sandboxes, until the signal aborts. Ends when the connection is lost. */
  events(signal: AbortSignal): AsyncIterable<RuntimeEvent>

  listImages(): Promise<readonly Image[]>
  /** Undefined when it is not there. */
  imageStatus(image: string): Promise<Image | undefined>
  /** Returns the reference to use in `ContainerConfig.image`. */
  pullImage(
    image: string,
    auth: RegistryAuth | undefined,
    sandbox: PodSandboxConfig | undefined,
    signal: AbortSignal,
  ): Promise<string>
  removeImage(image: string): Promise<void>
  imageFileSystem(): Promise<
    { readonly usedBytes: number; readonly mountpoint: string } | undefined
  >
}

/** A refusal by the runtime; `code` is what the kubelet branches on. */
export class RuntimeError extends Error {
  readonly code: 'notFound' | 'deadline' | 'unavailable' | 'unimplemented' | 'failed'
  constructor(code: RuntimeError['code'], message: string) {
    super(message)
    this.name = 'RuntimeError'
    this.code = code
  }
}

/** Who the runtime says it is. */
export interface RuntimeVersion {
  /** `containerd` */
  readonly name: string
  /** `1.6.20` */
  readonly version: string
}

/** Whether containers can be run, and have a network. */
export interface RuntimeStatus {
  /** `RuntimeReady`, `NetworkReady`. */
  readonly conditions: readonly {
    readonly type: string
    readonly status: boolean
    readonly reason: string
    readonly message: string
  }[]
  /** Names of the runtime classes' handlers; empty when the runtime does not say. */
  readonly handlers: readonly {
    readonly name: string
    readonly recursiveReadOnlyMounts: boolean
    readonly userNamespaces: boolean
  }[]
  readonly supplementalGroupsPolicy: boolean
}

/** Which sandboxes or containers are asked for; all without one. */
export interface PodFilter {
  readonly podUid?: string
  readonly sandboxId?: string
}

/** Whose namespace is used (CRI NamespaceMode). */
export type NamespaceMode = 'POD' | 'CONTAINER' | 'NODE' | 'TARGET'
/** Which Linux namespaces are shared with whom. */
export interface NamespaceOptions {
  readonly network: NamespaceMode
  readonly pid: NamespaceMode
  readonly ipc: NamespaceMode
  /** Container whose PID namespace is joined, for TARGET. */
  readonly targetId?: string
}

/** A profile of seccomp or AppArmor (CRI SecurityProfile). */
export interface SecurityProfile {
  readonly profileType: 'RuntimeDefault' | 'Unconfined' | 'Localhost'
  readonly localhostRef: string
}

/** Which pod a sandbox is for, and its how-manieth. */
export interface PodSandboxMetadata {
  readonly name: string
  readonly uid: string
  readonly namespace: string
  readonly attempt: number
}

/** By which the runtime finds again what was made for whom. */
export type Labels = Readonly<Record<string, string>>

/** A port of the host that leads into the pod. */
export interface PortMapping {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP'
  readonly containerPort: number
  readonly hostPort: number
  readonly hostIp: string
}

/** What a pod's containers share. */
export interface PodSandboxConfig {
  readonly metadata: PodSandboxMetadata
  readonly hostname: string
  readonly logDirectory: string
  readonly dnsConfig: DnsConfig
  readonly portMappings: readonly PortMapping[]
  readonly labels: Labels
  readonly annotations: Labels
  readonly linux: {
    readonly cgroupParent: string
    readonly securityContext: {
      readonly namespaceOptions: NamespaceOptions
      readonly runAsUser?: number
      readonly runAsGroup?: number
      readonly supplementalGroups: readonly number[]
      readonly supplementalGroupsPolicy: 'Merge' | 'Strict'
      readonly privileged: boolean
      readonly readonlyRootfs: boolean
      readonly seccomp: SecurityProfile
      readonly selinuxOptions?: SelinuxOptions
    }
    readonly sysctls: Labels
    readonly overhead?: LinuxResources
    readonly resources?: LinuxResources
  }
}

/** What stands in the `resolv.conf` of the pod. */
export interface DnsConfig {
  readonly servers: readonly string[]
  readonly searches: readonly string[]
  readonly options: readonly string[]
}

/** The SELinux context of processes. */
export interface SelinuxOptions {
  readonly user: string
  readonly role: string
  readonly type: string
  readonly level: string
}

/** Whether the sandbox runs. */
export type SandboxState = 'ready' | 'notReady'

/** A sandbox in a list. */
export interface PodSandbox {
  readonly id: string
  readonly metadata: PodSandboxMetadata
  readonly state: SandboxState
  readonly createdAt: Date
  readonly labels: Labels
  readonly annotations: Labels
  readonly runtimeHandler: string
}

/** All that is known of one sandbox. */
export interface PodSandboxStatus extends PodSandbox {
  /** Empty on the host's network. */
  readonly ips: readonly string[]
  readonly network: NamespaceMode
}

/** Limits as the kernel knows them. */
export interface LinuxResources {
  readonly cpuPeriod?: number
  readonly cpuQuota?: number
  readonly cpuShares?: number
  readonly memoryLimitInBytes?: number
  readonly oomScoreAdj?: number
  readonly hugepageLimits?: readonly { readonly pageSize: string; readonly limit: number }[]
  /** cgroup v2 files. */
  readonly unified?: Labels
}

/** A folder or file of the host within a container. */
export interface Mount {
  readonly containerPath: string
  readonly hostPath: string
  readonly readonly: boolean
  readonly selinuxRelabel: boolean
  readonly propagation:
    | 'PROPAGATION_PRIVATE'
    | 'PROPAGATION_HOST_TO_CONTAINER'
    | 'PROPAGATION_BIDIRECTIONAL'
  readonly recursiveReadOnly?: boolean
  /** Mounts an image's file system instead of a host path. */
  readonly image?: string
  readonly imageSubPath?: string
}

/** What a container is made with. */
export interface ContainerConfig {
  readonly metadata: { readonly name: string; readonly attempt: number }
  /** A reference that `pullImage` or `imageStatus` gave. */
  readonly image: string
  readonly userSpecifiedImage: string
  readonly command: readonly string[]
  readonly args: readonly string[]
  readonly workingDir: string
  readonly envs: readonly { readonly key: string; readonly value: string }[]
  readonly mounts: readonly Mount[]
  readonly devices: readonly {
    readonly containerPath: string
    readonly hostPath: string
    readonly permissions: string
  }[]
  readonly labels: Labels
  readonly annotations: Labels
  /** Relative to the sandbox's log directory. */
  readonly logPath: string
  readonly stdin: boolean
  readonly stdinOnce: boolean
  readonly tty: boolean
  readonly stopSignal?: string
  readonly linux: {
    readonly resources: LinuxResources
    readonly securityContext: ContainerSecurity
  }
}

/** Whom a container runs as, and what it may do. */
export interface ContainerSecurity {
  readonly capabilities: { readonly add: readonly string[]; readonly drop: readonly string[] }
  readonly privileged: boolean
  readonly namespaceOptions: NamespaceOptions
  readonly selinuxOptions?: SelinuxOptions
  readonly runAsUser?: number
  readonly runAsGroup?: number
  readonly runAsUsername?: string
  readonly readonlyRootfs: boolean
  readonly supplementalGroups: readonly number[]
  readonly supplementalGroupsPolicy: 'Merge' | 'Strict'
  readonly noNewPrivs: boolean
  readonly maskedPaths: readonly string[]
  readonly readonlyPaths: readonly string[]
  readonly seccomp: SecurityProfile
  /** Only where the kernel has it: leave it out otherwise. */
  readonly apparmor?: SecurityProfile
}

/** Where a container is in its life. */
export type ContainerState = 'created' | 'running' | 'exited' | 'unknown'

/** A container in a list. */
export interface Container {
  readonly id: string
  readonly sandboxId: string
  readonly name: string
  readonly attempt: number
  readonly state: ContainerState
  readonly createdAt: Date
  readonly labels: Labels
  readonly annotations: Labels
}

/** All that the runtime knows of a container. */
export interface ContainerStatus {
  readonly id: string
  readonly name: string
  readonly attempt: number
  readonly state: ContainerState
  readonly createdAt: Date
  readonly startedAt: Date | undefined
  readonly finishedAt: Date | undefined
  readonly exitCode: number
  /** As it was asked for. */
  readonly image: string
  /** `docker.io/library/busybox@sha256:…`, or the image's id. */
  readonly imageRef: string
  readonly imageId: string
  /** `OOMKilled`, `Completed`, `Error`, `StartError` … */
  readonly reason: string
  readonly message: string
  readonly labels: Labels
  readonly annotations: Labels
  readonly logPath: string
  readonly resources?: LinuxResources
  readonly user?: {
    readonly uid: number
    readonly gid: number
    readonly supplementalGroups: readonly number[]
  }
}

/** What a container uses. */
export interface ContainerStats {
  readonly id: string
  readonly name: string
  readonly labels: Labels
  readonly cpu?: { readonly time: Date; readonly usageCoreNanoSeconds: number }
  readonly memory?: { readonly time: Date; readonly workingSetBytes: number }
  readonly writableLayer?: { readonly usedBytes: number; readonly inodesUsed: number }
}

/** What a command in a container said, and how it ended. */
export interface ExecResult {
  readonly stdout: Uint8Array
  readonly stderr: Uint8Array
  readonly exitCode: number
}

/** `lost` says that events may be missing: list again. */
export type RuntimeEvent =
  | {
      readonly type: 'created' | 'started' | 'stopped' | 'deleted'
      /** Of a container or a sandbox. */
      readonly id: string
    }
  | { readonly type: 'lost' }

/** An image that is on the node. */
export interface Image {
  readonly id: string
  readonly tags: readonly string[]
  readonly digests: readonly string[]
  readonly sizeBytes: number
  readonly uid?: number
  readonly username: string
  readonly pinned: boolean
}

/** Who asks a registry. It holds secrets. */
export interface RegistryAuth {
  readonly username: string
  readonly password: string
  readonly auth: string
  readonly serverAddress: string
  readonly identityToken: string
  readonly registryToken: string
}

/** Reads log files piecewise, and says when they grow. */
export interface LogFiles {
  /** Undefined when it is absent. */
  stat(path: string): Promise<{ readonly size: number; readonly inode: number } | undefined>
  read(path: string, offset: number, length: number): Promise<Uint8Array>
  list(folder: string): Promise<readonly string[]>
  rename(from: string, to: string): Promise<void>
  /** Removes file or folder with all below it. */
  remove(path: string): Promise<void>
  makeFolder(path: string): Promise<void>
  /** Calls back when the file changes or is replaced, until the signal aborts. */
  watch(path: string, onChange: () => void, signal: AbortSignal): void
}

/** Labels and annotations by which a restarted kubelet finds its containers: the names upstream uses. */
export const LABEL = {
  podName: 'io.kubernetes.pod.name',
  podNamespace: 'io.kubernetes.pod.namespace',
  podUid: 'io.kubernetes.pod.uid',
  containerName: 'io.kubernetes.container.name',
} as const
/** Names of annotations that the kubelet puts on containers, to know them again after a restart. */
export const ANNOTATION = {
  hash: 'io.kubernetes.container.hash',
  restartCount: 'io.kubernetes.container.restartCount',
  terminationMessagePath: 'io.kubernetes.container.terminationMessagePath',
  terminationMessagePolicy: 'io.kubernetes.container.terminationMessagePolicy',
  preStop: 'io.kubernetes.container.preStopHandler',
  ports: 'io.kubernetes.container.ports',
  podGrace: 'io.kubernetes.pod.terminationGracePeriod',
  podDeletionGrace: 'io.kubernetes.pod.deletionGracePeriod',
} as const
