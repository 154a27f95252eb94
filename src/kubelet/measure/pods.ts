/** What the pods of a node use, as the runtime and the kernel tell it at this moment. */
import { join } from 'node:path'
import type { PodAgent } from '../agent/pod-agent.ts'
import type { KubeletContext } from '../context.ts'
import { podCgroup } from '../pod/cgroups.ts'
import { type PodContainer, readySandbox } from '../pod/pod-runtime.ts'
import { type ContainerStats, LABEL } from '../runtime.ts'
import { type CgroupUse, readCgroup } from './cgroups.ts'
import { type InterfaceUse, parseInterfaces } from './network.ts'

/** A node whose pods are looked at. */
export interface MeasuredNode extends Pick<
  KubeletContext,
  'env' | 'runtime' | 'config' | 'machine'
> {
  /** By the uids of their pods. */
  readonly agents: ReadonlyMap<string, PodAgent>
}

export interface MeasuredContainer {
  readonly name: string
  readonly id: string
  readonly container: PodContainer | undefined
  readonly stats: ContainerStats
  /** Absent where the runtime has put it elsewhere, or has none. */
  readonly use: CgroupUse | undefined
  readonly cgroup: string
}

export interface MeasuredPod {
  readonly agent: PodAgent
  readonly containers: readonly MeasuredContainer[]
  readonly cgroup: string
  readonly use: CgroupUse | undefined
  readonly sandbox: { readonly id: string; readonly cgroup: string } | undefined
  /** Empty on the host's network: that is the node's. */
  readonly network: readonly InterfaceUse[]
}

/** Those that run something. The kernel need not be asked for what the runtime tells: processor and memory. */
export async function measurePods(
  node: MeasuredNode,
  { kernel = true }: { readonly kernel?: boolean } = {},
): Promise<readonly MeasuredPod[]> {
  const stats = new Map<string, ContainerStats[]>()
  for (const entry of await node.runtime.listContainerStats()) {
    const uid = entry.labels[LABEL.podUid] ?? ''
    const list = stats.get(uid) ?? []
    list.push(entry)
    stats.set(uid, list)
  }
  const measured = await Promise.all(
    [...node.agents.values()].map((agent) =>
      measurePod(node, agent, stats.get(agent.uid) ?? [], kernel),
    ),
  )
  return measured.filter(({ containers }) => containers.length > 0)
}

async function measurePod(
  { env, machine, config, runtime }: MeasuredNode,
  agent: PodAgent,
  all: readonly ContainerStats[],
  kernel: boolean,
): Promise<MeasuredPod> {
  // Runtimes tell of the disks of those that have ended, too.
  const stats = all.filter(({ id }) => {
    const found = agent.runtime.containers.find((container) => container.id === id)
    return found === undefined || found.state === 'running'
  })
  const cgroup = podCgroup(agent.spec, config.cgroupRoot)
  const read = (path: string): Promise<CgroupUse | undefined> =>
    runtime.simulated || !kernel || stats.length === 0
      ? Promise.resolve(undefined)
      : readCgroup(env, machine, path)
  const ready = readySandbox(agent.runtime)
  const sandbox = ready && { id: ready.id, cgroup: join(cgroup, ready.id) }
  const [use, paused, containers] = await Promise.all([
    read(cgroup),
    sandbox && read(sandbox.cgroup),
    Promise.all(
      stats.map(async (entry): Promise<MeasuredContainer> => {
        const path = join(cgroup, entry.id)
        return {
          name: entry.name,
          id: entry.id,
          container: agent.runtime.containers.find(({ id }) => id === entry.id),
          stats: entry,
          use: await read(path),
          cgroup: path,
        }
      }),
    ),
  ])
  const inside = paused?.processes[0] ?? containers.flatMap(({ use: of }) => of?.processes ?? [])[0]
  const network =
    inside === undefined || agent.spec.spec.hostNetwork === true
      ? []
      : parseInterfaces(await env.fs.readText(`/proc/${inside}/net/dev`).catch(() => ''))
  return { agent, containers, cgroup, use, sandbox, network }
}

/** The runtime's count may be older than the kernel's. */
export const cpuSecondsOf = ({ use, stats }: MeasuredContainer): number =>
  use !== undefined && use.cpuSeconds > 0
    ? use.cpuSeconds
    : (stats.cpu?.usageCoreNanoSeconds ?? 0) / 1e9

export const workingSetOf = ({ use, stats }: MeasuredContainer): number =>
  use?.memory.workingSetBytes ?? stats.memory?.workingSetBytes ?? 0

export const memoryUsageOf = ({ use, stats }: MeasuredContainer): number =>
  use?.memory.usageBytes ?? stats.memory?.workingSetBytes ?? 0

export const podCpuSecondsOf = ({ use, containers }: MeasuredPod): number =>
  use !== undefined && use.cpuSeconds > 0 ? use.cpuSeconds : total(containers, cpuSecondsOf)

export const podWorkingSetOf = ({ use, containers }: MeasuredPod): number =>
  use?.memory.workingSetBytes ?? total(containers, workingSetOf)

export const total = <T>(values: readonly T[], of: (value: T) => number): number =>
  values.reduce((sum, value) => sum + of(value), 0)
