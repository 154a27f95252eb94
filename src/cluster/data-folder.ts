/** The folder of a cluster: whether it is one of ours, and whether this version may write to it. */
import { join } from 'node:path'
import type { Env } from '#base'
import { ClusterError } from './options.ts'
import { NAVARCH_VERSION } from './version.ts'

/** Counts changes of the folder's layout that an older program cannot read. */
const LAYOUT = 1

interface Mark {
  readonly layout: number
  readonly version: string
  readonly created: string
}

/** Makes the folder, or checks that it can be used. Nothing is changed in one that cannot. */
export async function openDataFolder(
  env: Pick<Env, 'fs' | 'clock'>,
  dataDir: string,
): Promise<void> {
  const file = join(dataDir, 'version.json')
  await guarded(dataDir, () => env.fs.makeFolder(dataDir))
  if ((await env.fs.stat(file)) === undefined) {
    const others = (await env.fs.list(dataDir)).filter((name) => name !== 'log')
    if (others.length > 0) {
      throw new ClusterError(
        `${dataDir} is not empty and not a cluster's folder: it holds ${others.slice(0, 3).join(', ')}`,
        'Name an empty or a new folder: --data-dir DIR',
      )
    }
    const mark: Mark = {
      layout: LAYOUT,
      version: NAVARCH_VERSION,
      created: env.clock.now().toISOString(),
    }
    await guarded(dataDir, () => env.fs.write(file, `${JSON.stringify(mark)}\n`, { atomic: true }))
    return
  }
  const mark = readMark(await env.fs.readText(file))
  if (mark === undefined) {
    throw new ClusterError(
      `${file} is damaged: it is not the JSON that Navarch writes`,
      'Restore it from a copy, or begin anew: navarch delete --yes',
    )
  }
  if (mark.layout > LAYOUT) {
    throw new ClusterError(
      `${dataDir} was written by Navarch ${mark.version}, which is newer than this ${NAVARCH_VERSION}`,
      `Use Navarch ${mark.version} or newer, or another folder: --data-dir DIR`,
    )
  }
}

function readMark(text: string): Mark | undefined {
  try {
    const mark = JSON.parse(text) as Partial<Mark>
    return typeof mark.layout === 'number' && typeof mark.version === 'string'
      ? (mark as Mark)
      : undefined
  } catch {
    return undefined
  }
}

/** Turns the system's refusals into words. */
export async function guarded<T>(what: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'EACCES' || code === 'EPERM')
      throw new ClusterError(
        `No permission to write to ${what}`,
        'Run as root, or name another folder: --data-dir DIR',
      )
    if (code === 'EROFS')
      throw new ClusterError(
        `${what} is on a read-only file system`,
        'Name another folder: --data-dir DIR',
      )
    if (code === 'ENOSPC')
      throw new ClusterError(
        `No space left for ${what}`,
        'Free some space, then run navarch up again: nothing was lost',
      )
    throw error
  }
}
