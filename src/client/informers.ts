/** Caches that follow the API: one reflector for each resource and selection, shared by all that ask for it. */
import type { Env } from '#base'
import type { KubeObject, ResourceRef } from '#machinery'
import { isStatus, keyOf } from '#machinery'
import type { Client } from './client.ts'

export interface Selection {
  readonly namespace?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
}

/** `old` is absent when it is new, `current` when it is gone. */
export type ChangeHandler<T> = (current: T | undefined, old: T | undefined) => void

/** Reads are synchronous; objects are shared and read only. */
export interface Lister<T extends KubeObject> {
  get(key: string): T | undefined
  list(namespace?: string): readonly T[]
  /** Objects by the value of an index added with `addIndex`. */
  by(index: string, value: string): readonly T[]
}

export interface Informer<T extends KubeObject> extends Lister<T> {
  readonly ref: ResourceRef<T>
  /** Once the first full state is there. */
  readonly synced: Promise<void>
  readonly hasSynced: boolean
  /** Of the newest event seen, as a number. */
  readonly revision: number
  /** Called for each change after this, and for every object that is there now. The returned function ends it. */
  onChange(handler: ChangeHandler<T>): () => void
  /** Idempotent by name. */
  addIndex(name: string, values: (object: T) => readonly string[]): void
}

export interface Informers {
  informer<T extends KubeObject>(ref: ResourceRef<T>, selection?: Selection): Informer<T>
  /** Until all that were asked for so far have their first state. */
  synced(): Promise<void>
}

/** Waits between attempts grow from the first to the last, with chance mixed in so that clients do not come back together. */
const FIRST_RETRY_MS = 200
const LAST_RETRY_MS = 30_000

export function createInformers(
  client: Client,
  env: Pick<Env, 'clock' | 'random' | 'log'>,
  signal: AbortSignal,
): Informers {
  const running = new Map<string, Informer<KubeObject>>()
  return {
    informer<T extends KubeObject>(ref: ResourceRef<T>, selection: Selection = {}): Informer<T> {
      const key = JSON.stringify([
        ref.group,
        ref.version,
        ref.resource,
        selection.namespace,
        selection.labelSelector,
        selection.fieldSelector,
      ])
      const known = running.get(key)
      if (known !== undefined) return known as unknown as Informer<T>
      const made = startInformer(client, env, ref, selection, signal)
      running.set(key, made as unknown as Informer<KubeObject>)
      return made
    },
    async synced() {
      await Promise.all([...running.values()].map((informer) => informer.synced))
    },
  }
}

function startInformer<T extends KubeObject>(
  client: Client,
  env: Pick<Env, 'clock' | 'random' | 'log'>,
  ref: ResourceRef<T>,
  selection: Selection,
  signal: AbortSignal,
): Informer<T> {
  const log = env.log.for('informer')
  const cache = createCache<T>()
  const handlers = new Set<ChangeHandler<T>>()
  let hasSynced = false
  let revision = 0
  let markSynced: () => void = () => undefined
  let failSynced: (reason: unknown) => void = () => undefined
  const synced = new Promise<void>((resolve, reject) => {
    markSynced = resolve
    failSynced = reject
  })
  // Who does not wait for it need not hear that it was stopped.
  synced.catch(() => undefined)

  const tell = (current: T | undefined, old: T | undefined): void => {
    for (const handler of handlers) handler(current, old)
  }
  const put = (object: T): void => {
    const old = cache.set(object)
    if (old === undefined || old.metadata.resourceVersion !== object.metadata.resourceVersion)
      tell(object, old)
  }
  const drop = (object: T): void => {
    const old = cache.delete(keyOf(object))
    if (old !== undefined) tell(undefined, object)
  }
  const see = (version: string): void => {
    const seen = Number(version)
    if (seen > revision) revision = seen
  }

  /** Follows from `from` until the watch ends; gives whether the revision can be gone on from. */
  const follow = async (): Promise<void> => {
    const resume = revision > 0 && hasSynced
    const events = await client.watch(ref, {
      ...selection,
      ...(resume
        ? { resourceVersion: String(revision), allowBookmarks: true }
        : { sendInitialEvents: true }),
      signal,
    })
    // The first state of a fresh start: what is not in it is gone.
    const initial = resume ? undefined : new Set<string>()
    let complete = resume
    for await (const batch of events) {
      for (const { type, object } of batch) {
        switch (type) {
          case 'ADDED':
          case 'MODIFIED':
            if (!complete) initial?.add(keyOf(object))
            see(object.metadata.resourceVersion)
            put(object)
            break
          case 'DELETED':
            see(object.metadata.resourceVersion)
            drop(object)
            break
          case 'BOOKMARK':
            see(object.metadata.resourceVersion)
            if (
              !complete &&
              object.metadata.annotations?.['k8s.io/initial-events-end'] === 'true'
            ) {
              complete = true
              for (const known of cache.keys()) {
                const gone = initial?.has(known) === true ? undefined : cache.get(known)
                if (gone !== undefined) drop(gone)
              }
              hasSynced = true
              markSynced()
            }
            break
          case 'ERROR':
            throw Object.assign(new Error('watch ended with an error'), { status: object })
        }
      }
    }
  }

  const run = async (): Promise<void> => {
    let wait = FIRST_RETRY_MS
    while (!signal.aborted) {
      const before = revision
      try {
        await follow()
        wait = FIRST_RETRY_MS
      } catch (error) {
        if (signal.aborted) break
        const status = (error as { status?: { code?: number } }).status
        if (isStatus(error, 'Expired') || isStatus(error, 'Gone') || status?.code === 410)
          revision = 0
        log.debug('Watch failed', { resource: ref.resource, error: error as Error })
      }
      if (revision > before) wait = FIRST_RETRY_MS
      try {
        await env.clock.sleep(wait * (0.5 + env.random.next() / 2), signal)
      } catch {
        break
      }
      wait = Math.min(wait * 2, LAST_RETRY_MS)
    }
    failSynced(signal.reason ?? new Error('stopped'))
  }
  void run()

  return {
    ref,
    synced,
    get hasSynced() {
      return hasSynced
    },
    get revision() {
      return revision
    },
    get: cache.get,
    list: cache.list,
    by: cache.by,
    addIndex: cache.addIndex,
    onChange(handler) {
      handlers.add(handler)
      for (const object of cache.list()) handler(object, undefined)
      return () => void handlers.delete(handler)
    },
  }
}

interface Cache<T extends KubeObject> extends Lister<T> {
  set(object: T): T | undefined
  delete(key: string): T | undefined
  keys(): readonly string[]
  addIndex(name: string, values: (object: T) => readonly string[]): void
}

const NAMESPACE = 'namespace'

function createCache<T extends KubeObject>(): Cache<T> {
  const objects = new Map<string, T>()
  const indexes = new Map<
    string,
    { readonly values: (object: T) => readonly string[]; readonly keys: Map<string, Set<string>> }
  >()
  const link = (
    object: T,
    key: string,
    index: { values: (object: T) => readonly string[]; keys: Map<string, Set<string>> },
  ): void => {
    for (const value of index.values(object)) {
      const set = index.keys.get(value)
      if (set === undefined) index.keys.set(value, new Set([key]))
      else set.add(key)
    }
  }
  const unlink = (object: T, key: string): void => {
    for (const index of indexes.values()) {
      for (const value of index.values(object)) {
        const set = index.keys.get(value)
        set?.delete(key)
        if (set?.size === 0) index.keys.delete(value)
      }
    }
  }
  const by = (name: string, value: string): readonly T[] => {
    const found: T[] = []
    for (const key of indexes.get(name)?.keys.get(value) ?? []) {
      const object = objects.get(key)
      if (object !== undefined) found.push(object)
    }
    return found
  }
  const cache: Cache<T> = {
    get: (key) => objects.get(key),
    list: (namespace) =>
      namespace === undefined || namespace === ''
        ? [...objects.values()]
        : by(NAMESPACE, namespace),
    by,
    keys: () => [...objects.keys()],
    set(object) {
      const key = keyOf(object)
      const old = objects.get(key)
      if (old !== undefined) unlink(old, key)
      objects.set(key, object)
      for (const index of indexes.values()) link(object, key, index)
      return old
    },
    delete(key) {
      const old = objects.get(key)
      if (old !== undefined) {
        unlink(old, key)
        objects.delete(key)
      }
      return old
    },
    addIndex(name, values) {
      if (indexes.has(name)) return
      const index = { values, keys: new Map<string, Set<string>>() }
      indexes.set(name, index)
      for (const [key, object] of objects) link(object, key, index)
    },
  }
  cache.addIndex(NAMESPACE, (object) => [object.metadata.namespace ?? ''])
  return cache
}
