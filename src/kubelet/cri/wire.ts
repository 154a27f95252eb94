/** CRI's messages to our terms and back: numbers for strings of 64 bits, dates for nanoseconds, absent for zero. */
import type {
  Container,
  ContainerConfig,
  ContainerState,
  ContainerStats,
  ContainerStatus,
  Image,
  Labels,
  LinuxResources,
  NamespaceMode,
  NamespaceOptions,
  PodSandbox,
  PodSandboxConfig,
  PodSandboxMetadata,
  PodSandboxStatus,
} from '../runtime.ts'
import type { Message } from './connection.ts'

const int64 = (value: number | undefined): Message | undefined =>
  value === undefined ? undefined : { value }

const namespaces = ({ network, pid, ipc, targetId }: NamespaceOptions): Message => ({
  network,
  pid,
  ipc,
  targetId: targetId ?? '',
})

export function sandboxConfigMessage(config: PodSandboxConfig): Message {
  const { linux } = config
  const { securityContext: security } = linux
  return {
    metadata: config.metadata,
    hostname: config.hostname,
    logDirectory: config.logDirectory,
    dnsConfig: config.dnsConfig,
    portMappings: config.portMappings,
    labels: config.labels,
    annotations: config.annotations,
    linux: {
      cgroupParent: linux.cgroupParent,
      sysctls: linux.sysctls,
      ...(linux.overhead === undefined ? {} : { overhead: resourcesMessage(linux.overhead) }),
      ...(linux.resources === undefined ? {} : { resources: resourcesMessage(linux.resources) }),
      securityContext: {
        namespaceOptions: namespaces(security.namespaceOptions),
        runAsUser: int64(security.runAsUser),
        runAsGroup: int64(security.runAsGroup),
        supplementalGroups: security.supplementalGroups,
        supplementalGroupsPolicy: security.supplementalGroupsPolicy,
        privileged: security.privileged,
        readonlyRootfs: security.readonlyRootfs,
        seccomp: security.seccomp,
        selinuxOptions: security.selinuxOptions,
      },
    },
  }
}

export const resourcesMessage = (resources: LinuxResources): Message => ({ ...resources })

export function containerConfigMessage(config: ContainerConfig): Message {
  const { linux } = config
  const { securityContext: security } = linux
  return {
    metadata: config.metadata,
    image: { image: config.image, userSpecifiedImage: config.userSpecifiedImage },
    command: config.command,
    args: config.args,
    workingDir: config.workingDir,
    envs: config.envs.map(({ key, value }) => ({ key, value: Buffer.from(value) })),
    mounts: config.mounts.map(({ image, ...mount }) => ({
      ...mount,
      ...(image === undefined ? {} : { image: { image } }),
    })),
    devices: config.devices,
    labels: config.labels,
    annotations: config.annotations,
    logPath: config.logPath,
    stdin: config.stdin,
    stdinOnce: config.stdinOnce,
    tty: config.tty,
    ...(config.stopSignal === undefined
      ? {}
      : { stopSignal: config.stopSignal.replace('+', 'PLUS').replace('-', 'MINUS') }),
    linux: {
      resources: resourcesMessage(linux.resources),
      securityContext: {
        capabilities: {
          addCapabilities: security.capabilities.add,
          dropCapabilities: security.capabilities.drop,
        },
        privileged: security.privileged,
        namespaceOptions: namespaces(security.namespaceOptions),
        selinuxOptions: security.selinuxOptions,
        runAsUser: int64(security.runAsUser),
        runAsGroup: int64(security.runAsGroup),
        runAsUsername: security.runAsUsername ?? '',
        readonlyRootfs: security.readonlyRootfs,
        supplementalGroups: security.supplementalGroups,
        supplementalGroupsPolicy: security.supplementalGroupsPolicy,
        noNewPrivs: security.noNewPrivs,
        maskedPaths: security.maskedPaths,
        readonlyPaths: security.readonlyPaths,
        seccomp: security.seccomp,
        ...(security.apparmor === undefined ? {} : { apparmor: security.apparmor }),
      },
    },
  }
}

// --- answers ---

type Wide = string | number

export interface SandboxMessage {
  readonly id: string
  readonly metadata: PodSandboxMetadata | null
  readonly state: 'SANDBOX_READY' | 'SANDBOX_NOTREADY'
  readonly createdAt: Wide
  readonly labels: Labels
  readonly annotations: Labels
  readonly runtimeHandler: string
}
export interface SandboxStatusMessage extends SandboxMessage {
  readonly network: {
    readonly ip: string
    readonly additionalIps: readonly { readonly ip: string }[]
  } | null
  readonly linux: {
    readonly namespaces: { readonly options: { readonly network: NamespaceMode } | null } | null
  } | null
}

const dateOf = (nanoseconds: Wide): Date | undefined =>
  nanoseconds === 0 || nanoseconds === '0'
    ? undefined
    : new Date(Number(BigInt(nanoseconds) / 1_000_000n))

const EPOCH = new Date(0)

export const sandboxOf = (message: SandboxMessage): PodSandbox => ({
  id: message.id,
  metadata: message.metadata ?? { name: '', uid: '', namespace: '', attempt: 0 },
  state: message.state === 'SANDBOX_READY' ? 'ready' : 'notReady',
  createdAt: dateOf(message.createdAt) ?? EPOCH,
  labels: message.labels,
  annotations: message.annotations,
  runtimeHandler: message.runtimeHandler,
})

export const sandboxStatusOf = (message: SandboxStatusMessage): PodSandboxStatus => {
  const { ip = '', additionalIps = [] } = message.network ?? {}
  return {
    ...sandboxOf(message),
    ips: [ip, ...additionalIps.map((more) => more.ip)].filter((address) => address !== ''),
    network: message.linux?.namespaces?.options?.network ?? 'POD',
  }
}

export interface ContainerMessage {
  readonly id: string
  readonly podSandboxId: string
  readonly metadata: { readonly name: string; readonly attempt: number } | null
  readonly state: string
  readonly createdAt: Wide
  readonly labels: Labels
  readonly annotations: Labels
}

const STATES: Readonly<Record<string, ContainerState>> = {
  CONTAINER_CREATED: 'created',
  CONTAINER_RUNNING: 'running',
  CONTAINER_EXITED: 'exited',
}

export const containerOf = (message: ContainerMessage): Container => ({
  id: message.id,
  sandboxId: message.podSandboxId,
  name: message.metadata?.name ?? '',
  attempt: message.metadata?.attempt ?? 0,
  state: STATES[message.state] ?? 'unknown',
  createdAt: dateOf(message.createdAt) ?? EPOCH,
  labels: message.labels,
  annotations: message.annotations,
})

export interface ContainerStatusMessage extends ContainerMessage {
  readonly startedAt: Wide
  readonly finishedAt: Wide
  readonly exitCode: number
  readonly image: { readonly image: string; readonly userSpecifiedImage?: string } | null
  readonly imageRef: string
  readonly imageId?: string
  readonly reason: string
  readonly message: string
  readonly logPath: string
  readonly resources?: { readonly linux: Readonly<Record<string, unknown>> | null } | null
  readonly user?: {
    readonly linux: {
      readonly uid: Wide
      readonly gid: Wide
      readonly supplementalGroups: readonly Wide[]
    } | null
  } | null
}

export function containerStatusOf(message: ContainerStatusMessage): ContainerStatus {
  const { user, resources } = message
  return {
    id: message.id,
    name: message.metadata?.name ?? '',
    attempt: message.metadata?.attempt ?? 0,
    state: STATES[message.state] ?? 'unknown',
    createdAt: dateOf(message.createdAt) ?? EPOCH,
    startedAt: dateOf(message.startedAt),
    finishedAt: dateOf(message.finishedAt),
    exitCode: message.exitCode,
    image: message.image?.userSpecifiedImage || message.image?.image || '',
    imageRef: message.imageRef,
    imageId: message.imageId ?? '',
    reason: message.reason,
    message: message.message,
    labels: message.labels,
    annotations: message.annotations,
    logPath: message.logPath,
    ...(user?.linux
      ? {
          user: {
            uid: Number(user.linux.uid),
            gid: Number(user.linux.gid),
            supplementalGroups: user.linux.supplementalGroups.map(Number),
          },
        }
      : {}),
    ...(resources?.linux ? { resources: resourcesOf(resources.linux) } : {}),
  }
}

function resourcesOf(linux: Readonly<Record<string, unknown>>): LinuxResources {
  const read = (name: string): number | undefined => {
    const value = Number(linux[name] ?? 0)
    return value === 0 ? undefined : value
  }
  const [cpuPeriod, cpuQuota, cpuShares] = [read('cpuPeriod'), read('cpuQuota'), read('cpuShares')]
  const memoryLimitInBytes = read('memoryLimitInBytes')
  return {
    ...(cpuPeriod === undefined ? {} : { cpuPeriod }),
    ...(cpuQuota === undefined ? {} : { cpuQuota }),
    ...(cpuShares === undefined ? {} : { cpuShares }),
    ...(memoryLimitInBytes === undefined ? {} : { memoryLimitInBytes }),
  }
}

export interface ImageMessage {
  readonly id: string
  readonly repoTags: readonly string[]
  readonly repoDigests: readonly string[]
  readonly size: Wide
  readonly uid: { readonly value: Wide } | null
  readonly username: string
  readonly pinned: boolean
}

export const imageOf = (message: ImageMessage): Image => ({
  id: message.id,
  tags: message.repoTags,
  digests: message.repoDigests,
  sizeBytes: Number(message.size),
  ...(message.uid === null ? {} : { uid: Number(message.uid.value) }),
  username: message.username,
  pinned: message.pinned,
})

interface Counter {
  readonly value: Wide
}
export interface StatsMessage {
  readonly attributes: {
    readonly id: string
    readonly metadata: { readonly name: string } | null
    readonly labels: Labels
  } | null
  readonly cpu: { readonly timestamp: Wide; readonly usageCoreNanoSeconds: Counter | null } | null
  readonly memory: { readonly timestamp: Wide; readonly workingSetBytes: Counter | null } | null
  readonly writableLayer: {
    readonly usedBytes: Counter | null
    readonly inodesUsed: Counter | null
  } | null
}

export function statsOf({ attributes, cpu, memory, writableLayer }: StatsMessage): ContainerStats {
  const number = (counter: Counter | null | undefined) => Number(counter?.value ?? 0)
  return {
    id: attributes?.id ?? '',
    name: attributes?.metadata?.name ?? '',
    labels: attributes?.labels ?? {},
    ...(cpu?.usageCoreNanoSeconds
      ? {
          cpu: {
            time: dateOf(cpu.timestamp) ?? EPOCH,
            usageCoreNanoSeconds: number(cpu.usageCoreNanoSeconds),
          },
        }
      : {}),
    ...(memory?.workingSetBytes
      ? {
          memory: {
            time: dateOf(memory.timestamp) ?? EPOCH,
            workingSetBytes: number(memory.workingSetBytes),
          },
        }
      : {}),
    ...(writableLayer
      ? {
          writableLayer: {
            usedBytes: number(writableLayer.usedBytes),
            inodesUsed: number(writableLayer.inodesUsed),
          },
        }
      : {}),
  }
}
