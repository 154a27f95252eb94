/** `/stats/summary`: the node and its pods, in numbers. */
import type { KubeletCore } from '../core.ts'
import type { CgroupUse, StallTimes } from '../measure/cgroups.ts'
import type { InterfaceUse } from '../measure/network.ts'
import { nodeUse } from '../measure/node.ts'
import type { PodDisk, VolumeUse } from '../measure/pod-disk.ts'
import {
  type MeasuredPod,
  cpuSecondsOf,
  measurePods,
  memoryUsageOf,
  podCpuSecondsOf,
  podWorkingSetOf,
  total,
  workingSetOf,
} from '../measure/pods.ts'
import { timestamp } from '../pod/status.ts'

interface Words {
  readonly time: string
  cpu(key: string, seconds: number, use?: CgroupUse): object
  memory(given: {
    readonly workingSetBytes: number
    readonly usageBytes: number
    readonly use: CgroupUse | undefined
    readonly limitBytes?: number | undefined
  }): object
}

export async function summary(core: KubeletCore, query: URLSearchParams): Promise<unknown> {
  const short = query.get('only_cpu_and_memory') === 'true'
  const [use, pods] = await Promise.all([nodeUse(core), measurePods(core, { kernel: !short })])
  const now = core.env.clock.now()
  const time = timestamp(now)
  const words: Words = {
    time,
    cpu(key, seconds, of) {
      const nanoCores = core.rates.nanoCores(key, seconds, core.env.clock.monotonic())
      return {
        time,
        ...(nanoCores === undefined ? {} : { usageNanoCores: nanoCores }),
        usageCoreNanoSeconds: Math.round(seconds * 1e9),
        ...psiOf(of, 'cpu'),
      }
    },
    memory: ({ workingSetBytes, usageBytes, use: of, limitBytes }) => ({
      time,
      ...(limitBytes === undefined
        ? {}
        : { availableBytes: Math.max(0, limitBytes - workingSetBytes) }),
      usageBytes,
      workingSetBytes,
      ...(of === undefined
        ? {}
        : {
            rssBytes: of.memory.rssBytes,
            pageFaults: of.memory.pageFaults,
            majorPageFaults: of.memory.majorPageFaults,
            ...psiOf(of, 'memory'),
          }),
    }),
  }
  const node = {
    nodeName: core.config.nodeName,
    startTime: timestamp(use.bootedAt ?? core.startedAt),
    cpu: words.cpu('/', use.cpuSeconds),
    memory: words.memory({
      workingSetBytes: use.memoryBytes,
      usageBytes: use.memoryBytes,
      use: undefined,
      limitBytes: core.machine.memoryBytes,
    }),
  }
  if (short || core.runtime.simulated)
    return { node, pods: pods.map((pod) => podOf(words, pod, undefined)) }
  const [disks, fs, images] = await Promise.all([
    core.disks.measure([...core.agents.values()]),
    core.env.fs.usage(core.config.rootDir),
    core.runtime.imageFileSystem().catch(() => undefined),
  ])
  const imageFs =
    images === undefined
      ? undefined
      : await core.env.fs.usage(images.mountpoint).catch(() => undefined)
  const imageStats = imageFs && {
    ...fileSystemOf(time, imageFs),
    usedBytes: images?.usedBytes ?? 0,
  }
  return {
    node: {
      ...node,
      network: networkOf(time, use.interfaces, use.outward),
      fs: {
        ...fileSystemOf(time, fs),
        usedBytes: fs.totalBytes - fs.freeBytes,
        inodesUsed: fs.inodes - fs.freeInodes,
      },
      ...(imageStats === undefined
        ? {}
        : { runtime: { imageFs: imageStats, containerFs: imageStats } }),
      rlimit: { time, maxpid: core.machine.pidMax, curproc: use.processes },
      swap: {
        time,
        swapAvailableBytes: core.machine.swapBytes - use.swapBytes,
        swapUsageBytes: use.swapBytes,
      },
    },
    pods: pods.map((pod) => podOf(words, pod, { disk: disks.get(pod.agent.uid), fs })),
  }
}

/** Times in nanoseconds here. */
function psiOf(use: CgroupUse | undefined, what: 'cpu' | 'memory' | 'io'): object {
  const found = use?.stalls?.[what]
  if (found === undefined) return {}
  const line = ({ seconds, ...averages }: StallTimes) => ({
    total: Math.round(seconds * 1e9),
    ...averages,
  })
  return { psi: { full: line(found.full), some: line(found.some) } }
}

type FileSystem = VolumeUse['fileSystem']

const fileSystemOf = (time: string, fs: FileSystem) => ({
  time,
  availableBytes: fs.freeBytes,
  capacityBytes: fs.totalBytes,
  inodesFree: fs.freeInodes,
  inodes: fs.inodes,
})

function networkOf(time: string, all: readonly InterfaceUse[], main: string | undefined) {
  const interfaces = all.map(({ name, received, sent }) => ({
    name,
    rxBytes: received.bytes,
    rxErrors: received.errors,
    txBytes: sent.bytes,
    txErrors: sent.errors,
  }))
  const first = interfaces.find(({ name }) => name === main) ?? interfaces[0]
  return { time, ...first, interfaces }
}

function podOf(
  words: Words,
  measured: MeasuredPod,
  disks: { readonly disk: PodDisk | undefined; readonly fs: FileSystem } | undefined,
) {
  const { agent, containers, network } = measured
  const { metadata, status } = agent.pod
  const { time } = words
  const startTime = status?.startTime ?? time
  const limit = (use: CgroupUse | undefined) => use?.limits.memoryBytes
  const onNode = (use: { readonly bytes: number; readonly inodes: number }) =>
    disks && {
      ...fileSystemOf(time, disks.fs),
      usedBytes: use.bytes,
      inodesUsed: use.inodes,
    }
  const layers = containers.map(({ stats }) => ({
    bytes: stats.writableLayer?.usedBytes ?? 0,
    inodes: stats.writableLayer?.inodesUsed ?? 0,
  }))
  const local = [
    ...layers,
    ...(disks?.disk?.volumes ?? []).filter(({ ephemeral }) => ephemeral),
    ...(disks?.disk?.logs.values() ?? []),
  ]
  return {
    podRef: { name: metadata.name, namespace: metadata.namespace ?? '', uid: agent.uid },
    startTime,
    containers: containers.map((each, i) => {
      const startedAt = each.container?.startedAt
      const layer = onNode(layers[i] ?? { bytes: 0, inodes: 0 })
      const logs = onNode(disks?.disk?.logs.get(each.name) ?? { bytes: 0, inodes: 0 })
      return {
        name: each.name,
        startTime: startedAt === undefined ? startTime : timestamp(startedAt),
        cpu: words.cpu(each.id, cpuSecondsOf(each), each.use),
        memory: words.memory({
          workingSetBytes: workingSetOf(each),
          usageBytes: memoryUsageOf(each),
          use: each.use,
          limitBytes: limit(each.use),
        }),
        ...(each.use?.stalls?.io === undefined ? {} : { io: { time, ...psiOf(each.use, 'io') } }),
        ...(layer === undefined ? {} : { rootfs: layer }),
        ...(logs === undefined ? {} : { logs }),
        ...(each.use === undefined
          ? {}
          : { swap: { time, swapUsageBytes: each.use.memory.swapBytes } }),
      }
    }),
    cpu: words.cpu(agent.uid, podCpuSecondsOf(measured), measured.use),
    memory: words.memory({
      workingSetBytes: podWorkingSetOf(measured),
      usageBytes: measured.use?.memory.usageBytes ?? total(containers, memoryUsageOf),
      use: measured.use,
      limitBytes: limit(measured.use),
    }),
    ...(network.length === 0 ? {} : { network: networkOf(time, network, 'eth0') }),
    ...(disks === undefined
      ? {}
      : {
          volume: (disks.disk?.volumes ?? []).map(({ name, claim, bytes, inodes, fileSystem }) => ({
            ...fileSystemOf(time, fileSystem),
            usedBytes: bytes,
            inodesUsed: inodes,
            name,
            ...(claim === undefined
              ? {}
              : { pvcRef: { name: claim.name, namespace: claim.namespace } }),
          })),
          'ephemeral-storage': onNode({
            bytes: total(local, ({ bytes }) => bytes),
            inodes: total(local, ({ inodes }) => inodes),
          }),
        }),
    ...(measured.use === undefined
      ? {}
      : {
          process_stats: {
            process_count: total(containers, ({ use }) => use?.processes.length ?? 0),
          },
          swap: { time, swapUsageBytes: measured.use.memory.swapBytes },
        }),
  }
}
