/** What the keeper of a node looks at: the machine's own numbers, or a test's. */
import type { PodAgent } from '../agent/pod-agent.ts'
import { measureDisks } from '../measure/pod-disk.ts'
import {
  measurePods,
  podWorkingSetOf,
  total,
  workingSetOf,
  type MeasuredNode,
} from '../measure/pods.ts'
import { kibibytes } from '../node/machine.ts'
import type { PodUse } from './rank.ts'
import type { Observations } from './signals.ts'

export interface Readings {
  /** Asked every ten seconds. */
  node(): Promise<Observations>
  /** By uid: asked when somebody has to go, or may have broken a limit. */
  pods(agents: readonly PodAgent[]): Promise<ReadonlyMap<string, PodUse>>
}

export function machineReadings(node: MeasuredNode): Readings {
  const { env, config, machine, runtime } = node
  let imageFolder: Promise<string | undefined> | undefined
  const imageFs = async () => {
    imageFolder ??= runtime.imageFileSystem().then((found) => found?.mountpoint)
    const folder = await imageFolder.catch(() => {
      imageFolder = undefined
      return undefined
    })
    return folder === undefined || folder === ''
      ? undefined
      : env.fs.usage(folder).catch(() => undefined)
  }
  return {
    async node() {
      const [meminfo, loadavg, fs, images] = await Promise.all([
        env.fs.readText('/proc/meminfo').catch(() => ''),
        env.fs.readText('/proc/loadavg').catch(() => ''),
        env.fs.usage(config.rootDir),
        imageFs(),
      ])
      const processes = Number(/\/(\d+) /.exec(loadavg)?.[1] ?? 0)
      return {
        ...(meminfo === ''
          ? {}
          : {
              'memory.available': {
                available: kibibytes(meminfo, 'MemAvailable') * 1024,
                capacity: machine.memoryBytes,
              },
            }),
        'nodefs.available': { available: fs.freeBytes, capacity: fs.totalBytes },
        'nodefs.inodesFree': { available: fs.freeInodes, capacity: fs.inodes },
        ...(images === undefined
          ? {}
          : {
              'imagefs.available': { available: images.freeBytes, capacity: images.totalBytes },
              'imagefs.inodesFree': { available: images.freeInodes, capacity: images.inodes },
            }),
        'pid.available': { available: machine.pidMax - processes, capacity: machine.pidMax },
      }
    },
    async pods(agents) {
      const [measured, disks] = await Promise.all([measurePods(node), measureDisks(env, agents)])
      const wanted = new Set(agents)
      return new Map(
        measured
          .filter(({ agent }) => wanted.has(agent))
          .map((pod): [string, PodUse] => {
            const disk = disks.get(pod.agent.uid)
            const own = pod.containers.map((each) => {
              const logs = disk?.logs.get(each.name)
              return {
                name: each.name,
                memoryBytes: workingSetOf(each),
                diskBytes: (each.stats.writableLayer?.usedBytes ?? 0) + (logs?.bytes ?? 0),
                inodes: (each.stats.writableLayer?.inodesUsed ?? 0) + (logs?.inodes ?? 0),
                processes: each.use?.processes.length ?? 0,
              }
            })
            const volumes = disk?.volumes ?? []
            const local = volumes.filter(({ ephemeral }) => ephemeral)
            const use: PodUse = {
              memoryBytes: podWorkingSetOf(pod),
              diskBytes:
                total(own, ({ diskBytes }) => diskBytes) + total(local, ({ bytes }) => bytes),
              inodes: total(own, ({ inodes }) => inodes) + total(local, ({ inodes }) => inodes),
              processes: total(own, ({ processes }) => processes),
              containers: new Map(own.map((each) => [each.name, each])),
              volumes: new Map(volumes.map(({ name, bytes }) => [name, bytes])),
            }
            return [pod.agent.uid, use]
          }),
      )
    },
  }
}
