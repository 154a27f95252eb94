/** Caches that follow the API: one reflector for each resource and selection, shared by all that ask for it. */
import type { Env } from '#base'
import type { KubeObject, ResourceRef } from '#machinery'
import { createCache, type Lister } from './cache.ts'
import type { Client } from './client.ts'
import { reflect, type Selection } from './reflector.ts'

/** `old` is absent when it is new, `current` when it is gone; then `old` is its last state. */
export type ChangeHandler<T> = (current: T | undefined, old: T | undefined) => void

/** The newest state of a collection, kept by a list and a watch. */
export interface Informer<T extends KubeObject> extends Lister<T> {
  readonly ref: ResourceRef<T>
  /** Once the first full state is there. Rejects when stopped before. */
  readonly synced: Promise<void>
  readonly hasSynced: boolean
  /** Of the newest change that the cache shows, as a number. */
  readonly revision: number
  /** Called for each change after this, and for every object that is there now. The returned function ends it. */
  onChange(handler: ChangeHandler<T>): () => void
  /** Called when `revision` has grown, after the change was told. The returned function ends it. */
  onProgress(handler: (revision: number) => void): () => void
  /** Idempotent by name. */
  addIndex(name: string, values: (object: T) => readonly string[]): void
}

/** One informer for each selection, shared by all who ask. */
export interface Informers {
  informer<T extends KubeObject>(ref: ResourceRef<T>, selection?: Selection): Informer<T>
  /** The same with only the metadata kept, unless somebody keeps the whole objects already. */
  metadata(ref: ResourceRef): Informer<KubeObject>
  /** Stops following what nobody needs any more: a custom resource that is gone. */
  forget(ref: ResourceRef): void
  /** Until all that were asked for so far have their first state. */
  synced(): Promise<void>
}

type InformerEnv = Pick<Env, 'clock' | 'random' | 'log'>

interface Running {
  readonly informer: Informer<KubeObject>
  readonly stop: () => void
}

/** They follow until the signal aborts. */
export function createInformers(client: Client, env: InformerEnv, signal: AbortSignal): Informers {
  const running = new Map<string, Running>()
  const start = <T extends KubeObject>(
    ref: ResourceRef<T>,
    selection: Selection,
    trim: ((object: T) => T) | undefined,
  ): Informer<T> => {
    const id = idOf(ref, selection, trim !== undefined)
    const known = running.get(id)
    if (known !== undefined) return known.informer as unknown as Informer<T>
    const own = new AbortController()
    const informer = startInformer(client, env, {
      ref,
      selection,
      trim,
      signal: AbortSignal.any([signal, own.signal]),
    })
    running.set(id, {
      informer: informer as unknown as Informer<KubeObject>,
      stop: () => own.abort(new Error('No longer followed')),
    })
    return informer
  }
  return {
    informer: (ref, selection = {}) => start(ref, selection, undefined),
    metadata: (ref) => running.get(idOf(ref, {}, false))?.informer ?? start(ref, {}, metadataOf),
    forget(ref) {
      for (const trimmed of [true, false]) {
        const id = idOf(ref, {}, trimmed)
        running.get(id)?.stop()
        running.delete(id)
      }
    },
    async synced() {
      await Promise.all([...running.values()].map(({ informer }) => informer.synced))
    },
  }
}

const idOf = (
  { group, version, resource }: ResourceRef,
  { namespace, labelSelector, fieldSelector }: Selection,
  trimmed: boolean,
): string =>
  JSON.stringify([group, version, resource, namespace, labelSelector, fieldSelector, trimmed])

/** What ownership needs: managed fields and annotations are most of a small object. */
function metadataOf({ apiVersion, kind, metadata }: KubeObject): KubeObject {
  const { managedFields: _, annotations: __, ...rest } = metadata
  return {
    ...(apiVersion === undefined ? {} : { apiVersion }),
    ...(kind === undefined ? {} : { kind }),
    metadata: rest,
  }
}

function startInformer<T extends KubeObject>(
  client: Client,
  env: InformerEnv,
  {
    ref,
    selection,
    trim = (object) => object,
    signal,
  }: {
    readonly ref: ResourceRef<T>
    readonly selection: Selection
    readonly trim: ((object: T) => T) | undefined
    readonly signal: AbortSignal
  },
): Informer<T> {
  const log = env.log.for('informer')
  const cache = createCache<T>()
  const handlers = new Set<ChangeHandler<T>>()
  const progress = new Set<(revision: number) => void>()
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
    for (const handler of handlers)
      try {
        handler(current, old)
      } catch (error) {
        // One listener's mistake must not make the others deaf.
        log.error('A handler failed', { resource: ref.resource, error })
      }
  }

  const ended = reflect(client, env, {
    ref,
    selection,
    signal,
    onSet(object) {
      const kept = trim(object)
      const old = cache.set(kept)
      if (old === undefined || old.metadata.resourceVersion !== kept.metadata.resourceVersion)
        tell(kept, old)
    },
    onGone(key, last) {
      const old = cache.delete(key)
      if (old !== undefined) tell(undefined, last === undefined ? old : trim(last))
    },
    keys: () => cache.keys(),
    onRevision(seen) {
      if (seen <= revision) return
      revision = seen
      for (const handler of progress) handler(seen)
    },
    onSynced() {
      hasSynced = true
      markSynced()
    },
  })
  void ended.finally(() => failSynced(signal.reason ?? new Error('stopped')))

  return {
    ref,
    synced,
    get hasSynced() {
      return hasSynced
    },
    get revision() {
      return revision
    },
    get: (key) => cache.get(key),
    list: (namespace) => cache.list(namespace),
    by: (index, value) => cache.by(index, value),
    addIndex: (name, values) => cache.addIndex(name, values),
    onChange(handler) {
      handlers.add(handler)
      for (const object of cache.list()) handler(object, undefined)
      return () => void handlers.delete(handler)
    },
    onProgress(handler) {
      progress.add(handler)
      return () => void progress.delete(handler)
    },
  }
}
