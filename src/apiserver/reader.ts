/** Reads of the newest state without waiting, for what runs inside every request. */
import type { KubeObject, ResourceRef } from '#machinery'
import { shownAs, type Collection } from './collection.ts'
import { keyFor, rangeFor } from './keys.ts'
import type { Registry, Served } from './registry.ts'
import type { Reader } from './server.ts'

type Stored = Served & { readonly collection: Collection }

const TYPES = { added: 'ADDED', modified: 'MODIFIED', deleted: 'DELETED' } as const

export function registryReader(registry: Registry, currentRevision: () => number): Reader {
  const isStored = (served: Served | undefined): served is Stored =>
    served?.collection !== undefined
  const find = (ref: ResourceRef): Stored | undefined => {
    const served = registry.get(ref.group, ref.version, ref.resource)
    return isStored(served) ? served : undefined
  }
  return {
    get<T extends KubeObject>(ref: ResourceRef<T>, namespace: string, name: string) {
      const served = find(ref)
      if (served === undefined) return undefined
      const { definition, collection } = served
      const entry = collection.cache.get(
        keyFor(collection.prefix, ref.namespaced ? namespace : '', name),
      )
      return entry === undefined ? undefined : (shownAs(definition, entry.object) as T)
    },
    list<T extends KubeObject>(ref: ResourceRef<T>, namespace = '') {
      const served = find(ref)
      if (served === undefined) return []
      const { definition, collection } = served
      if (collection.cache.size === 0) return []
      return collection.cache
        .list({ prefix: rangeFor(collection.prefix, definition.facts, namespace) })
        .entries.map((entry) => shownAs(definition, entry.object) as T)
    },
    onChange(ref, run) {
      const served = find(ref)
      if (served === undefined) return () => undefined
      const { definition, collection } = served
      const stop = new AbortController()
      const changes = collection.cache.watch({
        from: collection.cache.revision,
        signal: stop.signal,
      })
      void (async () => {
        for await (const batch of changes)
          for (const { type, entry } of batch)
            run({ type: TYPES[type], object: shownAs(definition, entry.object) as never })
      })().catch(() => undefined)
      return () => stop.abort()
    },
    revision: currentRevision,
  }
}
