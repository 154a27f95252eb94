/** What the node as a whole uses. */
import type { Env } from '#base'
import { kibibytes } from '../node/machine.ts'
import type { Runtime } from '../runtime.ts'
import { defaultInterface, type InterfaceUse, parseInterfaces } from './network.ts'

export interface NodeUse {
  readonly cpuSeconds: number
  readonly memoryBytes: number
  readonly swapBytes: number
  /** When the machine began; undefined where it does not say. */
  readonly bootedAt: Date | undefined
  readonly processes: number
  readonly interfaces: readonly InterfaceUse[]
  /** Name of the one that leads out. */
  readonly outward: string | undefined
}

/** From the machine: busy time of all cores, and memory that is not to be had. */
export async function nodeUse({
  env: { fs },
  runtime,
}: {
  readonly env: Pick<Env, 'fs'>
  readonly runtime: Pick<Runtime, 'simulated'>
}): Promise<NodeUse> {
  const read = (path: string): Promise<string> =>
    runtime.simulated ? Promise.resolve('') : fs.readText(path).catch(() => '')
  const [stat, meminfo, loadavg, devices, route] = await Promise.all([
    read('/proc/stat'),
    read('/proc/meminfo'),
    read('/proc/loadavg'),
    read('/proc/net/dev'),
    read('/proc/net/route'),
  ])
  const ticks = (/^cpu\s+(.*)$/m.exec(stat)?.[1] ?? '').split(' ').map(Number)
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = ticks
  const booted = /^btime (\d+)/m.exec(stat)?.[1]
  const used = (all: string, left: string): number =>
    Math.max(0, kibibytes(meminfo, all) - kibibytes(meminfo, left)) * 1024
  return {
    // A hundred ticks a second.
    cpuSeconds: (user + nice + system + irq + softirq + steal) / 100,
    memoryBytes: used('MemTotal', 'MemAvailable'),
    swapBytes: used('SwapTotal', 'SwapFree'),
    bootedAt: booted === undefined ? undefined : new Date(Number(booted) * 1000),
    processes: Number(/\/(\d+) /.exec(loadavg)?.[1] ?? 0),
    interfaces: parseInterfaces(devices),
    outward: defaultInterface(route),
  }
}
