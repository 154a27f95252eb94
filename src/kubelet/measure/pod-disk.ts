/** What pods keep on disks: their volumes, their logs. */
import { join } from 'node:path'
import type { Env } from '#base'
import type { PodAgent } from '../agent/pod-agent.ts'
import { allContainers, namespaceOf } from '../pod/containers.ts'
import { type DiskUse, measureFolders } from './disk.ts'

export interface VolumeUse extends DiskUse {
  readonly name: string
  /** The claim that it comes from. */
  readonly claim: { readonly namespace: string; readonly name: string } | undefined
  /** Part of the pod's ephemeral storage: on the node's own disk, gone with the pod. */
  readonly ephemeral: boolean
  /** Of the file system that it is on. */
  readonly fileSystem: Awaited<ReturnType<Env['fs']['usage']>>
}

export interface PodDisk {
  readonly volumes: readonly VolumeUse[]
  /** By the containers' names. */
  readonly logs: ReadonlyMap<string, DiskUse>
}

type Measured = Pick<PodAgent, 'uid' | 'spec' | 'logDirectory'> & {
  readonly files: Pick<PodAgent['files'], 'mounted'>
}

interface Place {
  readonly name: string
  readonly path: string
  readonly claim: VolumeUse['claim']
  readonly ephemeral: boolean
}

/** Folders of the machine, and mounts of what is the API's, are not a pod's to fill. */
function placesOf({ spec: pod, files }: Measured): readonly Place[] {
  return (pod.spec.volumes ?? []).flatMap((volume): Place[] => {
    const path = files.mounted?.get(volume.name)?.hostPath ?? ''
    if (path === '') return []
    const { name, emptyDir, configMap, persistentVolumeClaim, ephemeral } = volume
    const claimName =
      persistentVolumeClaim?.claimName ??
      (ephemeral === undefined ? undefined : `${pod.metadata.name}-${name}`)
    if (emptyDir === undefined && configMap === undefined && claimName === undefined) return []
    return [
      {
        name,
        path,
        claim:
          claimName === undefined ? undefined : { namespace: namespaceOf(pod), name: claimName },
        ephemeral: claimName === undefined && (emptyDir?.medium ?? '') === '',
      },
    ]
  })
}

/** By the pods' uids. */
export async function measureDisks(
  env: Pick<Env, 'process' | 'fs'>,
  agents: readonly Measured[],
): Promise<ReadonlyMap<string, PodDisk>> {
  const places = new Map(agents.map((agent) => [agent.uid, placesOf(agent)]))
  const logsOf = ({ logDirectory, spec }: Measured): readonly (readonly [string, string])[] =>
    [...allContainers(spec)].map(([{ name }]) => [name, join(logDirectory, name)])
  const folders = agents.flatMap((agent) => [
    ...logsOf(agent).map(([, folder]) => folder),
    ...(places.get(agent.uid) ?? [])
      .filter(({ claim }) => claim === undefined)
      .map(({ path }) => path),
  ])
  const used = await measureFolders(env, [...new Set(folders)])
  const found = new Map<string, PodDisk>()
  for (const agent of agents) {
    const volumes: VolumeUse[] = []
    for (const { path, ...about } of places.get(agent.uid) ?? []) {
      const fileSystem = await env.fs.usage(path).catch(() => undefined)
      const use = about.claim === undefined ? used.get(path) : fileSystem && allOf(fileSystem)
      if (use !== undefined && fileSystem !== undefined)
        volumes.push({ ...about, ...use, fileSystem })
    }
    const logs = logsOf(agent).flatMap(([name, folder]): [string, DiskUse][] => {
      const use = used.get(folder)
      return use === undefined ? [] : [[name, use]]
    })
    found.set(agent.uid, { volumes, logs: new Map(logs) })
  }
  return found
}

/** A claim is a disk of its own, mostly, and may be a large one: its files are not counted. */
const allOf = ({
  totalBytes,
  freeBytes,
  inodes,
  freeInodes,
}: VolumeUse['fileSystem']): DiskUse => ({
  bytes: totalBytes - freeBytes,
  inodes: inodes - freeInodes,
})

/** To count files takes long: who asks again soon gets the same answer. */
const FRESH_MS = 60_000

export class DiskMeter {
  readonly #env: Pick<Env, 'process' | 'fs' | 'clock'>
  #latest:
    | { readonly atMs: number; readonly found: Promise<ReadonlyMap<string, PodDisk>> }
    | undefined

  constructor(env: Pick<Env, 'process' | 'fs' | 'clock'>) {
    this.#env = env
  }

  measure(agents: readonly Measured[]): Promise<ReadonlyMap<string, PodDisk>> {
    const nowMs = this.#env.clock.monotonic()
    if (this.#latest === undefined || nowMs - this.#latest.atMs > FRESH_MS) {
      const found = measureDisks(this.#env, agents).catch(() => {
        this.#latest = undefined
        return new Map<string, PodDisk>()
      })
      this.#latest = { atMs: nowMs, found }
    }
    return this.#latest.found
  }
}
