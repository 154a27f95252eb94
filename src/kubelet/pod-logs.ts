/**
 * Where the logs of pods lie: a folder a pod, as everywhere, `NAMESPACE_NAME_UID/CONTAINER/N.log`, and links to the files
 * in one folder for collectors. Other clusters' pods may lie beside them, so it is written down which are ours.
 */
import { basename, dirname, join } from 'node:path'
import type { Env } from '#base'
import type { KubeletConfig } from './kubelet-config.ts'
import type { Runtime } from './runtime.ts'

/** Where collectors look for links to the logs of all containers; upstream it is no setting. */
export const CONTAINER_LINKS = '/var/log/containers'

/** A file's name has this many bytes at most. */
const MAX_NAME = 255
const SUFFIX = '.log'

/** Names of folders, one a file, each with the places where the folder is. */
const RECORD = 'pod-logs'
/** Folders for logs that were not there before. */
const MADE = 'pod-logs.made'

export interface LoggedContainer {
  readonly name: string
  readonly id: string
  readonly logPath: string
}

/** `web-0_shop_nginx-1b4e….log`: collectors read pod, namespace and container out of it. */
export function linkName(
  podFolder: string,
  { name, id }: Omit<LoggedContainer, 'logPath'>,
): string {
  const [namespace = '', pod = ''] = podFolder.split('_')
  return `${pod}_${namespace}_${name}-${id}`.slice(0, MAX_NAME - SUFFIX.length) + SUFFIX
}

export interface PodLogsOptions {
  readonly env: Pick<Env, 'fs' | 'log'>
  readonly runtime: Pick<Runtime, 'logFiles' | 'simulated'>
  readonly config: Pick<KubeletConfig, 'rootDir' | 'logRoot' | 'formerLogRoot' | 'logLinks'>
}

/** Of one kubelet. Pods are named by their folders. */
export class PodLogs {
  readonly #options: PodLogsOptions
  readonly #begun = new Set<string>()

  constructor(options: PodLogsOptions) {
    this.#options = options
  }

  /** The pod's folder is there, and known to be ours. */
  async begin(folder: string): Promise<void> {
    if (this.#begun.has(folder)) return
    const { env, runtime, config } = this.#options
    const place = join(config.logRoot, folder)
    if (!runtime.simulated) {
      const known = await placesIn(env, config.rootDir, folder)
      if (!known.includes(place)) {
        await env.fs.makeFolder(join(config.rootDir, RECORD))
        await env.fs.write(
          join(config.rootDir, RECORD, folder),
          [...known, place].map((line) => `${line}\n`).join(''),
        )
      }
    }
    await runtime.logFiles.makeFolder(place)
    this.#begun.add(folder)
  }

  /** The container writes: collectors find it. */
  async link(folder: string, container: LoggedContainer): Promise<void> {
    const { env, runtime, config } = this.#options
    if (runtime.simulated || config.logLinks === undefined || container.logPath === '') return
    const path = join(config.logLinks, linkName(folder, container))
    try {
      if ((await env.fs.stat(path)) !== undefined) {
        if ((await env.fs.readLink(path).catch(() => '')) === container.logPath) return
        await env.fs.remove(path)
      }
      await env.fs.symlink(container.logPath, path)
    } catch (error) {
      env.log.warn('Cannot make a link to a log', { path, error })
    }
  }

  /** The container was removed: its log goes with it. */
  async drop(folder: string, container: LoggedContainer): Promise<void> {
    const { env, runtime, config } = this.#options
    const { logPath } = container
    if (logPath === '') return
    try {
      const name = basename(logPath)
      for (const other of await runtime.logFiles.list(dirname(logPath)))
        if (other === name || other.startsWith(`${name}.`))
          await runtime.logFiles.remove(join(dirname(logPath), other))
      if (!runtime.simulated && config.logLinks !== undefined)
        await env.fs.remove(join(config.logLinks, linkName(folder, container)))
    } catch (error) {
      env.log.warn('Cannot remove the log of a container', { path: logPath, error })
    }
  }

  /** Nobody can ask for the pod's logs any more. */
  async end(folder: string): Promise<void> {
    const { env, runtime, config } = this.#options
    const { logFiles, simulated } = runtime
    this.#begun.delete(folder)
    for (const root of [config.logRoot, config.formerLogRoot])
      if (root !== undefined) await logFiles.remove(join(root, folder))
    if (!simulated) await forget(env, config.rootDir, folder)
  }

  /** Folders of pods that are known no more: their kubelet ended in the middle. */
  async sweep(isKnown: (uid: string) => boolean): Promise<void> {
    const { env, runtime, config } = this.#options
    if (runtime.simulated) return
    for (const folder of await recorded(env, config.rootDir))
      if (!isKnown(folder.split('_')[2] ?? '')) await this.end(folder)
  }
}

const recorded = async ({ fs }: Pick<Env, 'fs'>, rootDir: string): Promise<readonly string[]> =>
  (await fs.list(join(rootDir, RECORD)).catch(() => [])).filter(
    (name) => name.split('_').length === 3,
  )

/** Only places that end in the folder's own name: whatever else stands there, nothing else is removed. */
const placesIn = async (
  { fs }: Pick<Env, 'fs'>,
  rootDir: string,
  folder: string,
): Promise<readonly string[]> =>
  (await fs.readText(join(rootDir, RECORD, folder)).catch(() => ''))
    .split('\n')
    .filter((line) => line.startsWith('/') && basename(line) === folder)

async function forget(env: Pick<Env, 'fs'>, rootDir: string, folder: string): Promise<void> {
  const { fs } = env
  const places = await placesIn(env, rootDir, folder)
  for (const place of places) await fs.remove(place)
  const [namespace = '', pod = ''] = folder.split('_')
  for (const name of await fs.list(CONTAINER_LINKS).catch(() => [])) {
    if (!name.startsWith(`${pod}_${namespace}_`)) continue
    const target = await fs.readLink(join(CONTAINER_LINKS, name)).catch(() => '')
    if (places.some((place) => target.startsWith(`${place}/`)))
      await fs.remove(join(CONTAINER_LINKS, name))
  }
  await fs.remove(join(rootDir, RECORD, folder))
}

/** Makes the folder when it is not there, and remembers that. Rejects where nothing can be written. */
export async function makeLogFolder(
  { fs }: Pick<Env, 'fs'>,
  rootDir: string,
  folder: string,
): Promise<void> {
  const isThere = (await fs.stat(folder)) !== undefined
  if (!isThere) await fs.makeFolder(folder, { mode: 0o755 })
  const probe = join(folder, '.navarch')
  await fs.write(probe, '')
  await fs.remove(probe)
  if (isThere) return
  await fs.makeFolder(rootDir)
  await fs.append(join(rootDir, MADE), `${folder}\n`)
}

/** For a node that is removed: what it left outside of its own folder. */
export async function removePodLogs(
  env: Pick<Env, 'fs' | 'process'>,
  rootDir: string,
): Promise<void> {
  for (const folder of await recorded(env, rootDir)) await forget(env, rootDir, folder)
  const made = (await env.fs.readText(join(rootDir, MADE)).catch(() => '')).split('\n')
  for (const folder of new Set(made))
    // Somebody else's logs may lie there by now.
    if (folder.startsWith('/')) await env.process.run(['rmdir', folder])
}
