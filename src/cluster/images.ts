/** Images without a registry: from archives, from folders, from files of the machine. */
import { join } from 'node:path'
import type { Env } from '#base'
import {
  buildImage, busyboxImage, demoImage, findTool, readBusybox, type BuiltImage, type Busybox, type Containerd, type LayerEntry,
  type StoredImage,
} from '#kubelet'
import { ClusterError } from './options.ts'

export interface BuildRequest {
  readonly name: string
  readonly base: 'busybox' | 'scratch'
  /** A folder whose files are put into the image; without one it is the demo. */
  readonly path?: string
  readonly entrypoint: readonly string[]
  /** `NAME=value` */
  readonly env: readonly string[]
}

export interface ClusterImages {
  load(path: string): Promise<readonly string[]>
  build(request: BuildRequest): Promise<void>
  list(): Promise<readonly StoredImage[]>
  remove(name: string): Promise<void>
}

type ImagesEnv = Pick<Env, 'fs' | 'process'>

/** A whole name as containerd keeps it: `web:1` is `docker.io/library/web:1`. */
export function fullImageName(name: string): string {
  const tagged = /(:[\w][\w.-]*|@sha256:[0-9a-f]{64})$/.test(name) ? name : `${name}:latest`
  const [head = '', ...rest] = tagged.split('/')
  if (rest.length === 0) return `docker.io/library/${tagged}`
  return /[.:]/.test(head) || head === 'localhost' ? tagged : `docker.io/${tagged}`
}

export function clusterImages(env: ImagesEnv, containerd: Containerd): ClusterImages {
  return {
    load: (path) => containerd.images.load(path),
    list: () => containerd.images.list(),
    remove: (name) => containerd.images.remove(fullImageName(name)),
    async build({ name, base, path, entrypoint, env: variables }) {
      const full = fullImageName(name)
      if (path === undefined) {
        await containerd.images.put(renamed(demoImage(await machineBusybox(env), containerd.architecture), full))
        return
      }
      const below = base === 'busybox' ? [busyboxImageLayers(await machineBusybox(env), containerd)] : []
      await containerd.images.put(
        buildImage({
          name: full,
          architecture: containerd.architecture,
          layers: [...below, await folderEntries(env, path)],
          config: { ...(entrypoint.length > 0 ? { entrypoint } : { command: ['sh'] }), ...(variables.length > 0 ? { env: variables } : {}) },
        }),
      )
    },
  }
}
