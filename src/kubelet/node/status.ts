/** What a node says of itself. */
import { timestamp } from '#machinery'
import type { NodeAddress, NodeCondition, NodeStatus } from '#api'
import { boundOf, type Pressure, type Signal, type Thresholds } from '../eviction/signals.ts'
import { bytesOf, milliOf, milliQuantity } from '../amounts.ts'
import type { Image, RuntimeStatus, RuntimeVersion } from '../runtime.ts'
import type { Machine } from './machine.ts'

/** As the node's status tells it. */
export const KUBELET_VERSION = 'v1.36.0'

export interface NodeStatusInput {
  readonly machine: Machine
  readonly nodeName: string
  readonly nodeIps: readonly string[]
  /** Set aside for the system: `{ cpu: '200m', memory: '256Mi' }`. */
  readonly reserved: Readonly<Record<string, string>>
  readonly maxPods: number
  readonly diskTotalBytes: number
  /** What it runs short of, or did a moment ago. */
  readonly isUnder: (pressure: Pressure) => boolean
  readonly thresholds: Thresholds
  readonly runtime: RuntimeVersion
  readonly runtimeStatus: RuntimeStatus | undefined
  readonly images: readonly Image[]
  readonly shuttingDown: boolean
  readonly port: number | undefined
  readonly old: NodeStatus | undefined
  readonly now: Date
}

export function nodeStatusOf(input: NodeStatusInput): NodeStatus {
  const { machine, runtime, runtimeStatus } = input
  const handlers = runtimeStatus?.handlers ?? []
  return {
    capacity: capacityOf(input),
    allocatable: { ...allocatableOf(input), ...extendedOf(input.old?.capacity) },
    conditions: conditionsOf(input),
    addresses: addressesOf(input.nodeName, input.nodeIps),
    ...(input.port === undefined
      ? {}
      : { daemonEndpoints: { kubeletEndpoint: { Port: input.port } } }),
    nodeInfo: {
      machineID: machine.machineId,
      systemUUID: machine.systemUuid,
      bootID: machine.bootId,
      kernelVersion: machine.kernelVersion,
      osImage: machine.osImage,
      containerRuntimeVersion: `${runtime.name}://${runtime.version}`,
      kubeletVersion: KUBELET_VERSION,
      kubeProxyVersion: '',
      operatingSystem: machine.operatingSystem,
      architecture: machine.architecture,
      ...(machine.swapBytes === 0 ? {} : { swap: { capacity: machine.swapBytes } }),
    },
    images: imagesOf(input.images),
    ...(handlers.length === 0
      ? {}
      : {
          runtimeHandlers: handlers.map(({ name, recursiveReadOnlyMounts, userNamespaces }) => ({
            name,
            features: { recursiveReadOnlyMounts, userNamespaces },
          })),
        }),
    features: { supplementalGroupsPolicy: runtimeStatus?.supplementalGroupsPolicy ?? false },
  }
}

const kibi = (bytes: number): string => `${Math.floor(bytes / 1024)}Ki`

function capacityOf({
  machine,
  maxPods,
  diskTotalBytes,
}: Pick<NodeStatusInput, 'machine' | 'maxPods' | 'diskTotalBytes'>): Record<string, string> {
  return {
    cpu: String(machine.cores),
    'ephemeral-storage': kibi(diskTotalBytes),
    ...Object.fromEntries(
      machine.hugepages.map(({ size, bytes }) => [
        `hugepages-${size}`,
        bytes === 0 ? '0' : kibi(bytes),
      ]),
    ),
    memory: kibi(machine.memoryBytes),
    pods: String(maxPods),
  }
}

/** What people or their programs say that the node has besides: `example.com/dongle`. All of it is for pods. */
export const extendedOf = (
  amounts: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(amounts ?? {}).filter(
      ([name]) =>
        name.includes('/') && !name.includes('kubernetes.io/') && !name.startsWith('requests.'),
    ),
  )

/** The capacity, less what is reserved and what must stay free before pods are evicted. */
export function allocatableOf(
  input: Pick<
    NodeStatusInput,
    'machine' | 'maxPods' | 'diskTotalBytes' | 'reserved' | 'thresholds'
  >,
): Record<string, string> {
  const { machine, reserved, thresholds, diskTotalBytes } = input
  const hugepages = machine.hugepages.reduce((sum, { bytes }) => sum + bytes, 0)
  const cpu = Math.max(0, machine.cores * 1000 - milliOf(reserved['cpu']))
  const free = (signal: Signal, capacity: number): number => {
    const bound = thresholds[signal]
    return bound === undefined || capacity === 0 ? 0 : Math.floor(boundOf(bound, capacity))
  }
  const memory =
    machine.memoryBytes -
    hugepages -
    bytesOf(reserved['memory']) -
    free('memory.available', machine.memoryBytes)
  const disk =
    diskTotalBytes -
    free('nodefs.available', diskTotalBytes) -
    bytesOf(reserved['ephemeral-storage'])
  return {
    ...capacityOf(input),
    cpu: milliQuantity(cpu),
    memory: kibi(Math.max(0, memory)),
    'ephemeral-storage': String(Math.max(0, Math.floor(disk))),
  }
}

function addressesOf(nodeName: string, ips: readonly string[]): readonly NodeAddress[] {
  return [
    ...ips.map((address) => ({ type: 'InternalIP' as const, address })),
    { type: 'Hostname' as const, address: nodeName },
  ]
}

const MAX_IMAGES = 50
const MAX_IMAGE_NAMES = 5

/** The largest: the scheduler prefers nodes that need not pull them. */
const imagesOf = (images: readonly Image[]): NonNullable<NodeStatus['images']> =>
  images
    .toSorted((a, b) => b.sizeBytes - a.sizeBytes)
    .slice(0, MAX_IMAGES)
    .map(({ digests, tags, sizeBytes }) => ({
      names: [...digests, ...tags].slice(0, MAX_IMAGE_NAMES),
      sizeBytes,
    }))

type Verdict = Pick<NodeCondition, 'type' | 'status'> & {
  readonly reason: string
  readonly message: string
}

function conditionsOf(input: NodeStatusInput): readonly NodeCondition[] {
  const { isUnder, old, now } = input
  const nowText = timestamp(now)
  const verdicts: Verdict[] = [
    pressureVerdict(
      'MemoryPressure',
      isUnder('MemoryPressure'),
      ['KubeletHasInsufficientMemory', 'kubelet has insufficient memory available'],
      ['KubeletHasSufficientMemory', 'kubelet has sufficient memory available'],
    ),
    pressureVerdict(
      'DiskPressure',
      isUnder('DiskPressure'),
      ['KubeletHasDiskPressure', 'kubelet has disk pressure'],
      ['KubeletHasNoDiskPressure', 'kubelet has no disk pressure'],
    ),
    pressureVerdict(
      'PIDPressure',
      isUnder('PIDPressure'),
      ['KubeletHasInsufficientPID', 'kubelet has insufficient PID available'],
      ['KubeletHasSufficientPID', 'kubelet has sufficient PID available'],
    ),
    readyVerdict(input),
  ]
  return verdicts.map((verdict) => {
    const before = old?.conditions?.find(({ type }) => type === verdict.type)
    const since = before?.status === verdict.status ? before.lastTransitionTime : undefined
    return { ...verdict, lastHeartbeatTime: nowText, lastTransitionTime: since ?? nowText }
  })
}

const pressureVerdict = (
  type: string,
  short: boolean,
  [badReason, badMessage]: readonly [string, string],
  [goodReason, goodMessage]: readonly [string, string],
): Verdict =>
  short
    ? { type, status: 'True', reason: badReason, message: badMessage }
    : { type, status: 'False', reason: goodReason, message: goodMessage }

function readyVerdict({ runtimeStatus, shuttingDown }: NodeStatusInput): Verdict {
  const bad: string[] = []
  if (runtimeStatus === undefined) {
    bad.push('container runtime is down')
  } else {
    for (const { type, status, reason, message } of runtimeStatus.conditions) {
      if (status) continue
      if (type === 'NetworkReady') {
        bad.push(
          `container runtime network not ready: NetworkReady=false reason:${reason} message:${message}`,
        )
      } else if (type === 'RuntimeReady') bad.push(`container runtime not ready: ${message}`)
    }
  }
  if (shuttingDown) bad.push('node is shutting down')
  return bad.length === 0
    ? {
        type: 'Ready',
        status: 'True',
        reason: 'KubeletReady',
        message: 'kubelet is posting ready status',
      }
    : { type: 'Ready', status: 'False', reason: 'KubeletNotReady', message: `[${bad.join(', ')}]` }
}

/**
 * Whether what the API shows is what the node says of itself; others may have written over it, or beside it.
 * `answered` is what the API made of the node's last words: it writes amounts in their canonical form.
 */
export function showsStatus(
  shown: NodeStatus | undefined,
  own: NodeStatus,
  answered: NodeStatus | undefined,
): boolean {
  const amounts = (['capacity', 'allocatable'] as const).every((field) =>
    Object.keys(own[field] ?? {}).every(
      (name) => shown?.[field]?.[name] === answered?.[field]?.[name],
    ),
  )
  return (
    amounts &&
    (own.conditions ?? []).every(({ type, status, reason, message }) => {
      const found = shown?.conditions?.find((each) => each.type === type)
      return found?.status === status && found.reason === reason && found.message === message
    })
  )
}

/** Whether two say the same, heartbeats aside. */
export function sameNodeStatus(a: NodeStatus | undefined, b: NodeStatus): boolean {
  if (a === undefined) return false
  const still = (status: NodeStatus) => ({
    ...status,
    conditions: (status.conditions ?? []).map((condition) => ({
      ...condition,
      lastHeartbeatTime: undefined,
    })),
  })
  return JSON.stringify(still(a)) === JSON.stringify(still(b))
}
