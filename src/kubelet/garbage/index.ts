/** Frees what a node does not need: images when the disk fills, and containers that ended long ago. */
import type { Env } from '#base'
import type { EventRecorder } from '#client'
import type { KubeObject } from '#machinery'
import type { PodAgent } from '../agent/pod-agent.ts'
import { normalized } from '../images.ts'
import { logFolderOf } from '../pod/configs.ts'
import { allContainers, isTerminal } from '../pod/containers.ts'
import type { PodLogs } from '../pod-logs.ts'
import type { Image, Runtime } from '../runtime.ts'
import { containersToRemove } from './containers.ts'
import {
  type DiskMarks,
  type ImageRecords,
  bytesToFree,
  imagesToRemove,
  recordImages,
} from './images.ts'

export interface GarbageOptions {
  readonly env: Pick<Env, 'clock' | 'log' | 'fs'>
  readonly runtime: Runtime
  readonly agents: ReadonlyMap<string, PodAgent>
  readonly events: EventRecorder
  readonly node: () => KubeObject | undefined
  readonly marks: DiskMarks
  readonly podLogs: Pick<PodLogs, 'drop'>
  /** Images were removed. */
  readonly onRemoved: () => void
}

const IMAGES_MS = 5 * 60_000
const CONTAINERS_MS = 60_000

export class Garbage {
  readonly #options: GarbageOptions
  #records: ImageRecords | undefined
  #failures = 0

  constructor(options: GarbageOptions) {
    this.#options = options
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options.env
    await this.#look().catch(() => undefined)
    for (let round = 1; !signal.aborted; round++) {
      await clock.sleep(CONTAINERS_MS, signal).catch(() => undefined)
      if (signal.aborted) return
      await this.collectContainers()
      if ((round * CONTAINERS_MS) % IMAGES_MS === 0) await this.collectImages()
    }
  }

  /** All that nobody needs: the disk is short. */
  async freeDisk(): Promise<void> {
    await this.collectContainers({ all: true })
    try {
      await this.#removeImages(Number.POSITIVE_INFINITY)
    } catch (error) {
      this.#options.env.log.warn('Cannot remove images', { error })
    }
  }

  async collectContainers(options: { readonly all?: boolean } = {}): Promise<void> {
    const { agents, runtime, env, podLogs } = this.#options
    for (const agent of agents.values())
      for (const container of containersToRemove(agent.runtime, options))
        try {
          await runtime.removeContainer(container.id)
          await podLogs.drop(logFolderOf(agent.spec), container)
          agent.forget(container.id)
        } catch (error) {
          env.log.warn('Cannot remove a container that has ended', { id: container.id, error })
          this.#tell('ContainerGCFailed', error instanceof Error ? error.message : String(error))
        }
  }

  /** Once the disk is fuller than the high mark: down to the low one. */
  async collectImages(): Promise<void> {
    const { runtime, env, marks } = this.#options
    try {
      const place = await runtime.imageFileSystem()
      const disk = place === undefined ? undefined : await env.fs.usage(place.mountpoint)
      if (disk === undefined || disk.totalBytes === 0) {
        this.#tell('InvalidDiskCapacity', 'invalid capacity 0 on image filesystem')
        throw new Error('invalid capacity 0 on image filesystem')
      }
      const bytes = bytesToFree(
        { availableBytes: disk.freeBytes, totalBytes: disk.totalBytes },
        marks,
      )
      const freed = bytes === 0 ? (await this.#look(), 0) : await this.#removeImages(bytes)
      if (freed < bytes) {
        const message = `Failed to garbage collect required amount of images. Attempted to free ${bytes} bytes, but only found ${freed} bytes eligible to free.`
        this.#tell('FreeDiskSpaceFailed', message)
        throw new Error(message)
      }
      this.#failures = 0
    } catch (error) {
      env.log.warn('Cannot free as much of the disk as is wanted', { error })
      // What is measured may not be there yet at first.
      if (++this.#failures > 1)
        this.#tell('ImageGCFailed', error instanceof Error ? error.message : String(error))
    }
  }

  /** Gives how many bytes were freed. */
  async #removeImages(bytes: number): Promise<number> {
    const { runtime, env, onRemoved } = this.#options
    const { images, inUse, nowMs } = await this.#look()
    let freed = 0
    for (const image of imagesToRemove(images, this.#records ?? new Map(), {
      inUse,
      nowMs,
      bytes,
    })) {
      try {
        await runtime.removeImage(image.id)
        freed += image.sizeBytes
        env.log.info('An image was removed: the disk is full', {
          image: image.tags[0] ?? image.id,
          bytes: image.sizeBytes,
        })
      } catch (error) {
        env.log.warn('Cannot remove an image', { image: image.id, error })
      }
    }
    if (freed > 0) onRemoved()
    return freed
  }

  async #look(): Promise<{
    readonly images: readonly Image[]
    readonly inUse: ReadonlySet<string>
    readonly nowMs: number
  }> {
    const { runtime, agents, env } = this.#options
    const images = await runtime.listImages()
    const inUse = new Set<string>()
    for (const { pod, runtime: held } of agents.values()) {
      for (const { imageRef, imageId, image } of held.containers)
        for (const name of [imageRef, imageId, image]) if (name !== '') inUse.add(name)
      if (isTerminal(pod)) continue
      // What a pod is about to start with.
      const wanted = [
        ...[...allContainers(pod)].map(([{ image = '' }]) => image),
        ...(pod.spec.volumes ?? []).map(({ image }) => image?.reference ?? ''),
      ]
      for (const image of wanted)
        if (image !== '') for (const name of namesOf(image)) inUse.add(name)
    }
    const nowMs = env.clock.monotonic()
    this.#records = recordImages(this.#records, images, inUse, nowMs)
    return { images, inUse, nowMs }
  }

  #tell(reason: string, message: string): void {
    const node = this.#options.node()
    if (node !== undefined) this.#options.events.event(node, 'Warning', reason, message)
  }
}

/** As runtimes write it in full: `busybox` is `docker.io/library/busybox:latest`. */
function namesOf(image: string): readonly string[] {
  const name = normalized(image)
  const [first = ''] = name.split('/')
  const hasRegistry = name.includes('/') && /[.:]|^localhost$/.test(first)
  if (hasRegistry) return [name]
  return [name, name.includes('/') ? `docker.io/${name}` : `docker.io/library/${name}`]
}
