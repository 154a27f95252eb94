/** Where a node puts the logs of its pods: where collectors look, when it may. */
import { join } from 'node:path'
import type { Env } from '#base'
import { CONTAINER_LINKS, makeLogFolder } from '#kubelet'
import { ClusterError } from './options.ts'

export interface PodLogPlaces {
  readonly root: string
  /** Links to all containers' logs; undefined where none can be made. */
  readonly links?: string
  /** Where they lay before. */
  readonly former?: string
}

const USUAL = '/var/log/pods'

/** In the data folder: where nothing else can be written, and where they lay before. */
const ownFolder = (dataDir: string): string => join(dataDir, 'pods')

/** For a node with real containers. A folder that was asked for must be writable; the usual one need not be. */
export async function podLogPlaces(
  env: Pick<Env, 'fs' | 'log'>,
  { dataDir, podLogsDir }: { readonly dataDir: string; readonly podLogsDir?: string },
): Promise<PodLogPlaces> {
  const root = podLogsDir ?? USUAL
  const own = ownFolder(dataDir)
  const rootDir = join(dataDir, 'kubelet')
  try {
    await makeLogFolder(env, rootDir, root)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    if (podLogsDir !== undefined)
      throw new ClusterError(
        `The logs of pods cannot be written to ${root}: ${why}`,
        'Choose another folder: --pod-logs-dir DIR',
      )
    env.log.for('cluster').warn('The logs of pods stay in the data folder', { folder: own, why })
    return { root: own }
  }
  try {
    await makeLogFolder(env, rootDir, CONTAINER_LINKS)
    return { root, links: CONTAINER_LINKS, former: own }
  } catch (error) {
    env.log.for('cluster').warn('There are no links to the logs of containers', {
      folder: CONTAINER_LINKS,
      error,
    })
    return { root, former: own }
  }
}
