/** Stores the objects of a resource anew, in the version in which they are stored now (KEP-4192). */
import { createWorkQueue, type Client } from '#client'
import { isStatus, type KubeObject, type ObjectKey, type ResourceRef } from '#machinery'
import { followDiscovery } from '../framework/discovered.ts'
import type { Controller, ControllerContext } from '../framework/index.ts'
import { begun, ended, isFinished, type Migration } from './decide.ts'

const migrations: ResourceRef<Migration> = {
  group: 'storagemigration.k8s.io',
  version: 'v1',
  resource: 'storageversionmigrations',
  kind: 'StorageVersionMigration',
  namespaced: false,
}

/** Objects of one listing, so many at a time. */
const PAGE = 500
/** Writes that are under way at once. */
const WORKERS = 8

export const storageVersionMigrator: Controller = { name: 'storage-version-migrator', start }

function start({ client, informers, env, signal }: ControllerContext): void {
  const log = env.log.for('storage-version-migrator')
  const queue = createWorkQueue(env)
  const informer = informers.informer(migrations)
  const discovered = followDiscovery({ client, informers, env }, signal)
  informer.onChange((current) => {
    if (current !== undefined && !isFinished(current)) queue.add(current.metadata.name)
  })

  const work = async (name: string): Promise<void> => {
    const seen = await client.getOptional(migrations, { name }, { signal })
    if (seen === undefined || isFinished(seen)) return
    const { group = '', resource } = seen.spec.resource
    const { resources, failed } = await discovered.current()
    const target = resources.find((each) => each.group === group && each.resource === resource)
    if (target === undefined) {
      const why =
        failed.length > 0
          ? `resource ${resource}.${group} cannot be looked up now`
          : 'resource does not exist in GC, or is not served'
      if (failed.length > 0) throw new Error(why)
      await client.updateStatus(migrations, ended(seen, why, env.clock.now()), { signal })
      return
    }
    const first = await client.list(target, { limit: 1, signal })
    const running = await client.updateStatus(
      migrations,
      begun(seen, first.resourceVersion, env.clock.now()),
      { signal },
    )
    const problem = await migrate(client, target, signal)
    const newest = (await client.getOptional(migrations, { name }, { signal })) ?? running
    if (newest.metadata.uid !== seen.metadata.uid) return
    await client.updateStatus(migrations, ended(newest, problem, env.clock.now()), { signal })
  }

  queue.run(work, {
    concurrency: 1,
    signal,
    onError: (name, error) => {
      if (!isStatus(error, 'Conflict')) log.info('Cannot migrate', { name, error })
    },
  })
}

/** Writes every object as it is; what went wrong for the first that could not be written, in words. */
async function migrate(
  client: Client,
  target: ResourceRef,
  signal: AbortSignal,
): Promise<string | undefined> {
  let next: string | undefined
  let problem: string | undefined
  do {
    const page = await client.list(target, {
      limit: PAGE,
      signal,
      ...(next === undefined ? {} : { continue: next }),
    })
    const waiting = page.items.values()
    const worker = async (): Promise<void> => {
      for (const { metadata } of waiting) problem ??= await touch(client, target, metadata, signal)
    }
    await Promise.all(Array.from({ length: WORKERS }, worker))
    next = page.continue
  } while (next !== undefined && problem === undefined)
  return problem
}

/** A patch that changes nothing is written all the same when the object is stored in an older version. */
async function touch(
  client: Client,
  target: ResourceRef,
  { name, namespace, uid, resourceVersion }: KubeObject['metadata'],
  signal: AbortSignal,
): Promise<string | undefined> {
  const key: ObjectKey = { name, ...(namespace === undefined ? {} : { namespace }) }
  try {
    await client.patch(target, key, 'merge', { metadata: { uid, resourceVersion } }, { signal })
    return undefined
  } catch (error) {
    // Who has written it since has stored it anew; what is gone needs nothing.
    if (isStatus(error, 'Conflict') || isStatus(error, 'NotFound')) return undefined
    signal.throwIfAborted()
    return error instanceof Error ? error.message : String(error)
  }
}
