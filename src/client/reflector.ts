/** Follows one resource: its whole state first, then every change, through broken connections and expired revisions. */
import type { Env } from '#base'
import type { KubeObject, ResourceRef } from '#machinery'
import { apiVersionOf, isStatus, keyOf, type Status } from '#machinery'
import type { Client } from './client.ts'

/** Which objects are listed and watched; all of them without one. */
export interface Selection {
  readonly namespace?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
}

export interface Reflection<T extends KubeObject> {
  readonly ref: ResourceRef<T>
  readonly selection: Selection
  readonly signal: AbortSignal
  readonly onSet: (object: T) => void
  /** `last` is absent when it went while nobody looked. */
  readonly onGone: (key: string, last: T | undefined) => void
  /** The keys that are held now. */
  readonly keys: () => Iterable<string>
  /** Everything up to this revision has been told. */
  readonly onRevision: (revision: number) => void
  readonly onSynced: () => void
}

/** Waits between attempts grow from the first to the last, with chance mixed in so that clients do not come back together. */
const FIRST_RETRY_MS = 200
const LAST_RETRY_MS = 30_000
/** Objects in one page when the server does not stream the first state. */
const PAGE = 500

/** Resolves when the signal aborts. */
export async function reflect<T extends KubeObject>(
  client: Client,
  env: Pick<Env, 'clock' | 'random' | 'log'>,
  reflection: Reflection<T>,
): Promise<void> {
  const { ref, selection, signal } = reflection
  const log = env.log.for('informer')
  /** Where a watch can go on; undefined when the state must be read anew. */
  let position: string | undefined
  /** Older servers refuse to stream the first state. */
  let streams = true

  const dropOthers = (present: ReadonlySet<string>): void => {
    for (const key of reflection.keys()) if (!present.has(key)) reflection.onGone(key, undefined)
  }
  const arrived = (revision: string): void => {
    position = revision
    reflection.onRevision(Number(revision))
  }

  const listAll = async (): Promise<void> => {
    const present = new Set<string>()
    let next: string | undefined
    let revision: string
    do {
      const page = await client.list(ref, {
        ...selection,
        limit: PAGE,
        signal,
        ...(next === undefined ? {} : { continue: next }),
      })
      for (const item of page.items) {
        // Items of a typed list carry no kind.
        const object = item.kind === undefined ? named(ref, item) : item
        present.add(keyOf(object))
        reflection.onSet(object)
      }
      revision = page.resourceVersion
      next = page.continue
    } while (next !== undefined)
    dropOthers(present)
    arrived(revision)
    reflection.onSynced()
  }

  const follow = async (): Promise<void> => {
    if (position === undefined && !streams) await listAll()
    const fresh = position === undefined ? new Set<string>() : undefined
    let complete = fresh === undefined
    const events = await client.watch(ref, {
      ...selection,
      ...(position === undefined
        ? { sendInitialEvents: true }
        : { resourceVersion: position, allowBookmarks: true }),
      signal,
    })
    for await (const batch of events)
      for (const { type, object } of batch)
        switch (type) {
          case 'ADDED':
          case 'MODIFIED':
            if (!complete) fresh?.add(keyOf(object))
            reflection.onSet(object)
            if (complete) arrived(object.metadata.resourceVersion)
            break
          case 'DELETED':
            fresh?.delete(keyOf(object))
            reflection.onGone(keyOf(object), object)
            if (complete) arrived(object.metadata.resourceVersion)
            break
          case 'BOOKMARK': {
            const ends = object.metadata.annotations?.['k8s.io/initial-events-end'] === 'true'
            if (!complete && ends && fresh !== undefined) {
              complete = true
              dropOthers(fresh)
              reflection.onSynced()
              fresh.clear()
            }
            if (complete) arrived(object.metadata.resourceVersion)
            break
          }
          case 'ERROR':
            throw Object.assign(new Error('The watch ended with an error'), {
              status: object as unknown as Status,
            })
        }
  }

  let wait = FIRST_RETRY_MS
  while (!signal.aborted) {
    const before = position
    try {
      await follow()
    } catch (error) {
      if (signal.aborted) return
      if (isExpired(error)) position = undefined
      else if (position === undefined && streams && isStatus(error, 'Invalid')) streams = false
      log.debug('Watch failed', { resource: ref.resource, error })
    }
    if (position !== undefined && position !== before) wait = FIRST_RETRY_MS
    try {
      await env.clock.sleep(wait * (0.5 + env.random.next() / 2), signal)
    } catch {
      return
    }
    wait = Math.min(wait * 2, LAST_RETRY_MS)
  }
}

const named = <T extends KubeObject>(ref: ResourceRef<T>, object: T): T => ({
  apiVersion: apiVersionOf(ref),
  kind: ref.kind,
  ...object,
})

const isExpired = (error: unknown): boolean =>
  isStatus(error, 'Expired') ||
  isStatus(error, 'Gone') ||
  (error as { status?: { code?: number } } | undefined)?.status?.code === 410
