/** The volumes of one pod: made before its containers, kept up to date, and taken away after them. */
import { join } from 'node:path'
import type { Env } from '#base'
import type { PersistentVolume, PersistentVolumeClaim, Pod, Volume } from '#api'
import { bytesOf } from '../amounts.ts'
import { namespaceOf, uidOf } from '../pod/containers.ts'
import type { DownwardFacts } from '../pod/downward.ts'
import { podLimit } from '../pod/resources.ts'
import { writeAtomically } from './atomic-writer.ts'
import { claimPath, prepareHostPath } from './host-path.ts'
import type { VolumeHost } from './host.ts'
import {
  type FoundSources,
  type SourceRef,
  VolumeError,
  hasPayload,
  payloadOf,
  sourceRefs,
  usesDownward,
} from './payload.ts'

/** Where a container's mount of the volume comes from. */
export interface MountedVolume {
  readonly hostPath: string
  readonly readOnly: boolean
  /** An image's file system, mounted by the runtime. */
  readonly image?: string
}

/** An image that the runtime mounts by its reference, or what mounts its files in a folder. */
export type ImageVolume =
  | { readonly image: string }
  | { readonly mount: (folder: string) => Promise<void> }

/** What volumes need of the API. */
export interface VolumeSources {
  /** Everything that the references name, fetched; missing objects are undefined. */
  find(pod: Pod, refs: readonly SourceRef[], signal: AbortSignal): Promise<FoundSources>
  claim(namespace: string, name: string): Promise<PersistentVolumeClaim | undefined>
  persistentVolume(name: string): Promise<PersistentVolume | undefined>
}

export interface PodVolumesOptions {
  /** `/var/lib/kubelet/pods` */
  readonly podsFolder: string
  readonly host: VolumeHost
  readonly sources: VolumeSources
  readonly env: Pick<Env, 'fs' | 'clock' | 'random'>
  /** Pulled when it has to be; throws where images cannot be volumes. */
  readonly imageVolume: (
    pod: Pod,
    image: string,
    pullPolicy: string,
    signal: AbortSignal,
  ) => Promise<ImageVolume>
  readonly facts: (pod: Pod) => DownwardFacts
  readonly nodeMemoryBytes: number
  readonly nodeLabels: () => Readonly<Record<string, string>>
}

/** The volumes of one pod, kept up to date as long as it runs. */
export class PodVolumes {
  readonly #options: PodVolumesOptions
  readonly #folder: string
  /** Files are made and replaced one after the other: the newest content is what stays. */
  #writing: Promise<unknown> = Promise.resolve()

  constructor(pod: Pod, options: PodVolumesOptions) {
    this.#options = options
    this.#folder = podFolder(options.podsFolder, uidOf(pod))
  }

  /**
   * Finds out whether all of them can be made, and gives what makes them: the sandbox need not wait
   * for the second part. Both throw `VolumeError`s in one AggregateError when some cannot be made.
   */
  async resolve(
    pod: Pod,
    signal: AbortSignal,
  ): Promise<() => Promise<ReadonlyMap<string, MountedVolume>>> {
    const used = mountedNames(pod)
    const wanted = (pod.spec.volumes ?? []).filter(({ name }) => used.has(name))
    const makers = await allOrErrors(
      wanted.map(({ name }) => name),
      wanted.map((volume) => this.#resolve(pod, volume, signal)),
    )
    signal.throwIfAborted()
    return async () => {
      const names = [...makers.keys()]
      return this.#inTurn(() =>
        allOrErrors(
          names,
          [...makers.values()].map((make) => make()),
        ),
      )
    }
  }

  /** Writes anew what comes from the API; names say which, all when absent. True when a file changed. */
  refresh(pod: Pod, signal: AbortSignal, only?: ReadonlySet<string>): Promise<boolean> {
    return this.#inTurn(() => this.#refresh(pod, signal, only))
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#writing.then(run)
    this.#writing = turn.catch(() => undefined)
    return turn
  }

  async #refresh(pod: Pod, signal: AbortSignal, only?: ReadonlySet<string>): Promise<boolean> {
    let changed = false
    const used = mountedNames(pod)
    for (const volume of pod.spec.volumes ?? []) {
      if (!hasPayload(volume) || !used.has(volume.name)) continue
      if (only !== undefined && !only.has(volume.name)) continue
      const write = await this.#resolvePayload(pod, volume, signal)
      if (await write()) changed = true
    }
    return changed
  }

  /** Unmounts first, so that nothing that is not the pod's is removed with its folder. */
  async tearDown(): Promise<void> {
    const { host, env } = this.#options
    if (!host.real) return
    await host.unmountBelow(this.#folder)
    await env.fs.remove(this.#folder)
  }

  async #resolve(
    pod: Pod,
    volume: Volume,
    signal: AbortSignal,
  ): Promise<() => Promise<MountedVolume>> {
    const { host, env, sources, nodeLabels } = this.#options
    if (hasPayload(volume)) {
      const write = await this.#resolvePayload(pod, volume, signal)
      return async () => {
        await write()
        return { hostPath: this.#pathOf(volume), readOnly: true }
      }
    }
    if (volume.emptyDir !== undefined) {
      return async () => {
        await this.#makeEmptyDir(pod, volume)
        return { hostPath: this.#pathOf(volume), readOnly: false }
      }
    }
    if (volume.hostPath !== undefined) {
      const { path, type = '' } = volume.hostPath
      if (host.real) await prepareHostPath(path, type, env.fs)
      return async () => ({ hostPath: path, readOnly: false })
    }
    if (volume.image !== undefined) {
      const { reference = '', pullPolicy = 'IfNotPresent' } = volume.image
      const found = await this.#options.imageVolume(pod, reference, pullPolicy, signal)
      if ('image' in found) return async () => ({ hostPath: '', readOnly: true, ...found })
      return async () => {
        const hostPath = this.#pathOf(volume)
        if (!(await host.isMounted(hostPath))) {
          await env.fs.makeFolder(hostPath, { mode: 0o755 })
          await found.mount(hostPath)
        }
        return { hostPath, readOnly: true }
      }
    }
    const claimName =
      volume.persistentVolumeClaim?.claimName ??
      (volume.ephemeral === undefined ? undefined : `${pod.metadata.name}-${volume.name}`)
    if (claimName !== undefined) {
      const path = await claimPath(namespaceOf(pod), claimName, sources, nodeLabels())
      if (host.real) await prepareHostPath(path.path, path.type, env.fs)
      return async () => {
        await this.#giveToGroup(pod, path.path)
        return {
          hostPath: path.path,
          readOnly: volume.persistentVolumeClaim?.readOnly === true,
        }
      }
    }
    throw new VolumeError(
      `no volume plugin matched: the node can mount configMap, secret, downwardAPI, projected, emptyDir, hostPath, image and claims of hostPath or local volumes, and found ${kindOf(volume)}`,
    )
  }

  /** Gives what writes the files; that is true when one changed. */
  async #resolvePayload(
    pod: Pod,
    volume: Volume,
    signal: AbortSignal,
  ): Promise<() => Promise<boolean>> {
    const { sources, facts, host, env } = this.#options
    const found = await sources.find(pod, sourceRefs(volume), signal)
    const payload = payloadOf(pod, volume, found, facts(pod))
    return async () => {
      if (!host.real) return true
      const path = this.#pathOf(volume)
      const isSecret = volume.secret !== undefined || volume.projected !== undefined
      if ((await env.fs.stat(path)) === undefined) {
        await env.fs.makeFolder(path, { mode: 0o755 })
      }
      // What is secret is not written to a disk.
      if (isSecret) await host.mountTmpfs(path, {})
      return writeAtomically(path, payload, fsGroupOf(pod), env)
    }
  }

  async #makeEmptyDir(pod: Pod, volume: Volume): Promise<void> {
    const { host, env, nodeMemoryBytes } = this.#options
    if (!host.real) return
    const path = this.#pathOf(volume)
    if ((await env.fs.stat(path)) === undefined) {
      await env.fs.makeFolder(path, { mode: 0o777 })
    }
    const { medium = '', sizeLimit } = volume.emptyDir ?? {}
    if (medium === 'Memory') {
      const limits = [bytesOf(sizeLimit), podLimit(pod, 'memory') ?? 0, nodeMemoryBytes]
      const sizeBytes = Math.min(...limits.filter((limit) => limit > 0))
      await host.mountTmpfs(path, { sizeBytes })
    } else if (medium !== '') {
      throw new VolumeError(`unknown storage medium "${medium}"`)
    }
    const group = fsGroupOf(pod)
    if (group !== undefined) await env.fs.chown(path, 0, group)
    // Whatever the umask: containers run as anybody.
    await env.fs.chmod(path, group === undefined ? 0o777 : 0o2777)
  }

  async #giveToGroup(pod: Pod, path: string): Promise<void> {
    const group = fsGroupOf(pod)
    const { host, env } = this.#options
    if (group === undefined || !host.real) return
    const stat = await env.fs.stat(path)
    if (stat === undefined || stat.gid === group) return
    await env.fs.chown(path, stat.uid, group)
    await env.fs.chmod(path, (stat.mode & 0o7777) | 0o2070)
  }

  #pathOf(volume: Volume): string {
    return join(this.#folder, 'volumes', `kubernetes.io~${pluginOf(volume)}`, volume.name)
  }
}

/** What all of them gave, by name; or all of their errors. */
async function allOrErrors<T>(
  names: readonly string[],
  tasks: readonly Promise<T>[],
): Promise<ReadonlyMap<string, T>> {
  const results = await Promise.allSettled(tasks)
  const given = new Map<string, T>()
  const failures: VolumeError[] = []
  for (const [index, result] of results.entries()) {
    const name = names[index] ?? ''
    if (result.status === 'fulfilled') given.set(name, result.value)
    else {
      const why = result.reason instanceof Error ? result.reason.message : String(result.reason)
      failures.push(new VolumeError(`MountVolume.SetUp failed for volume "${name}" : ${why}`))
    }
  }
  if (failures.length > 0) throw new AggregateError(failures)
  return given
}

export const podFolder = (podsFolder: string, uid: string): string => join(podsFolder, uid)

const fsGroupOf = (pod: Pod): number | undefined => pod.spec.securityContext?.fsGroup

/** Volumes that change with the pod's own metadata. */
export const downwardVolumes = (pod: Pod): ReadonlySet<string> =>
  new Set((pod.spec.volumes ?? []).filter(usesDownward).map(({ name }) => name))

function pluginOf({ configMap, secret, downwardAPI, projected, image }: Volume): string {
  if (image !== undefined) return 'image'
  if (configMap !== undefined) return 'configmap'
  if (secret !== undefined) return 'secret'
  if (downwardAPI !== undefined) return 'downward-api'
  return projected === undefined ? 'empty-dir' : 'projected'
}

const kindOf = (volume: Volume): string =>
  Object.keys(volume).find((key) => key !== 'name') ?? 'nothing'

/** Volumes that some container mounts: others need not be made. */
function mountedNames({ spec }: Pod): ReadonlySet<string> {
  const names = new Set<string>()
  for (const container of [
    ...spec.containers,
    ...(spec.initContainers ?? []),
    ...(spec.ephemeralContainers ?? []),
  ]) {
    for (const { name } of container.volumeMounts ?? []) names.add(name)
  }
  return names
}
