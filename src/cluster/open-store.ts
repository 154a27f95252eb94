/** The store of a cluster, or what to do when it cannot be opened. */
import type { Env } from '#base'
import { openSqliteStorage, StorageOpenError, type SqliteStorage } from '#storage'
import { ClusterError } from './options.ts'

/** Throws in words that say what helps. */
export function openStore(path: string, env: Env): SqliteStorage {
  try {
    return openSqliteStorage({ path, clock: env.clock, log: env.log.for('storage') })
  } catch (error) {
    if (!(error instanceof StorageOpenError)) throw error
    const advice: Readonly<Record<typeof error.failure, readonly string[]>> = {
      damaged: ['Restore the file from a copy, or begin anew: navarch delete --yes'],
      version: ['Use the version of Navarch that wrote it, or another folder: --data-dir DIR'],
      locked: ['Stop the other one first: navarch down. Or use another folder: --data-dir DIR'],
      permission: ['Run as the user who owns it, or use another folder: --data-dir DIR'],
      unavailable: [],
    }
    throw new ClusterError(error.message, ...advice[error.failure])
  }
}
