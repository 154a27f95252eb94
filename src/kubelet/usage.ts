/** What the node and its containers use, for the pages that show it. */
import type { KubeletCore } from './core.ts'
import { kibibytes } from './node/machine.ts'
import { type ContainerStats, LABEL } from './runtime.ts'

interface NodeUse {
  readonly cpuNanoSeconds: number
  readonly memoryBytes: number
}

/** From the machine: busy time of all cores, and memory that is not to be had. */
export async function nodeUse({ env, runtime }: KubeletCore): Promise<NodeUse> {
  if (runtime.simulated) return { cpuNanoSeconds: 0, memoryBytes: 0 }
  const [stat, meminfo] = await Promise.all([
    env.fs.readText('/proc/stat').catch(() => ''),
    env.fs.readText('/proc/meminfo').catch(() => ''),
  ])
  const ticks = (/^cpu\s+(.*)$/m.exec(stat)?.[1] ?? '').split(' ').map(Number)
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = ticks
  const busy = user + nice + system + irq + softirq + steal
  return {
    // A hundred ticks a second.
    cpuNanoSeconds: busy * 10_000_000,
    memoryBytes: (kibibytes(meminfo, 'MemTotal') - kibibytes(meminfo, 'MemAvailable')) * 1024,
  }
}

/** By the pod's uid. */
export function byPod(
  stats: readonly ContainerStats[],
): ReadonlyMap<string, readonly ContainerStats[]> {
  const found = new Map<string, ContainerStats[]>()
  for (const entry of stats) {
    const uid = entry.labels[LABEL.podUid] ?? ''
    const list = found.get(uid) ?? []
    list.push(entry)
    found.set(uid, list)
  }
  return found
}

export const sum = (
  stats: readonly ContainerStats[],
  value: (stats: ContainerStats) => number | undefined,
): number => stats.reduce((total, entry) => total + (value(entry) ?? 0), 0)
