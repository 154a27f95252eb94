/** Images without a registry: from archives, from folders, from files of the machine. */
import type { Env } from '#base'
import {
  buildImage,
  busyboxLayer,
  demoImage,
  findTool,
  readBusybox,
  type Busybox,
  type Containerd,
  type Images,
  type LayerEntry,
  type StoredImage,
} from '#kubelet'
import { ClusterError } from './options.ts'

/** What an image is made of. */
export interface BuildRequest {
  readonly name: string
  readonly base: 'busybox' | 'scratch'
  /** A folder whose files are put into the image; without one it is the demo. */
  readonly path?: string
  readonly entrypoint: readonly string[]
  /** `NAME=value` */
  readonly env: readonly string[]
}

/** Images of all nodes of this machine. */
export interface ClusterImages {
  load(path: string): Promise<readonly string[]>
  build(request: BuildRequest): Promise<void>
  list(): Promise<readonly StoredImage[]>
  remove(name: string): Promise<void>
}

type ImagesEnv = Pick<Env, 'fs' | 'process'>

/** A folder of more than this is no image to be made in memory. */
const FOLDER_LIMIT_BYTES = 512 * 1024 * 1024

/** A whole name as containerd keeps it: `web:1` is `docker.io/library/web:1`. */
export function fullImageName(name: string): string {
  const tagged = /(:[\w][\w.-]*|@sha256:[0-9a-f]{64})$/.test(name) ? name : `${name}:latest`
  const [head = '', ...rest] = tagged.split('/')
  if (rest.length === 0) return `docker.io/library/${tagged}`
  return /[.:]/.test(head) || head === 'localhost' ? tagged : `docker.io/${tagged}`
}

/** Those of this machine's nodes: what is put into one is put into all. */
export function clusterImages(
  env: ImagesEnv,
  containerd: Containerd,
  others: () => Promise<readonly Images[]> = async () => [],
): ClusterImages {
  const everywhere = async <T>(act: (images: Images) => Promise<T>): Promise<readonly T[]> =>
    Promise.all([containerd.images, ...(await others())].map(act))
  return {
    load: async (path) => (await everywhere((images) => images.load(path)))[0] ?? [],
    list: () => containerd.images.list(),
    async remove(name) {
      const full = fullImageName(name)
      await everywhere(async (images) => {
        const isHere = (await images.list()).some((image) => image.name === full)
        // The machine's first node says when there is none.
        if (isHere || images === containerd.images) await images.remove(full)
      })
    },
    async build({ name, base, path, entrypoint, env: variables }) {
      const full = fullImageName(name)
      const image =
        path === undefined
          ? demoImage(await machineBusybox(env), containerd.architecture, full)
          : buildImage({
              name: full,
              architecture: containerd.architecture,
              layers: [
                ...(base === 'busybox' ? [busyboxLayer(await machineBusybox(env))] : []),
                await folderEntries(env, path),
              ],
              config: {
                ...(entrypoint.length > 0 ? { entrypoint } : { command: ['sh'] }),
                ...(variables.length > 0 ? { env: variables } : {}),
              },
            })
      await everywhere((images) => images.put(image))
    },
  }
}

async function machineBusybox(env: ImagesEnv): Promise<Busybox> {
  const path = await findTool(env, 'busybox')
  const found = path === undefined ? undefined : await readBusybox(env, path)
  if (found === undefined) {
    throw new ClusterError(
      'There is no static busybox on this machine to build an image from',
      'On Debian: apt-get install busybox-static',
    )
  }
  return found
}

/** Everything below the folder, as the image's root. */
async function folderEntries({ fs }: ImagesEnv, root: string): Promise<readonly LayerEntry[]> {
  const entries: LayerEntry[] = []
  let bytes = 0
  const walk = async (folder: string, inside: string): Promise<void> => {
    for (const name of (await fs.list(folder)).toSorted()) {
      const [file, path] = [`${folder}/${name}`, inside === '' ? name : `${inside}/${name}`]
      const stat = await fs.stat(file)
      if (stat === undefined) continue
      const { mode, uid, gid } = stat
      if (stat.kind === 'folder') {
        entries.push({ kind: 'folder', path, mode, uid, gid })
        await walk(file, path)
      } else if (stat.kind === 'symlink')
        entries.push({ kind: 'symlink', path, target: await fs.readLink(file), uid, gid })
      else if (stat.kind === 'file') {
        bytes += stat.size
        if (bytes > FOLDER_LIMIT_BYTES)
          throw new ClusterError(
            `${root} holds more than ${FOLDER_LIMIT_BYTES >> 20} MiB`,
            'Build it with a container builder and load the archive: navarch image load FILE',
          )
        entries.push({ kind: 'file', path, mode, uid, gid, data: await fs.read(file) })
      }
    }
  }
  await walk(root, '')
  return entries
}
