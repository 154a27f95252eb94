/** Reads of the newest state without waiting, for what runs inside every request. */
import type { KubeObject, ResourceDefinition, ResourceRef } from '#machinery'
import { shownAs, type Collection } from './collection.ts'
import { keyFor, rangeFor } from './keys.ts'
import type { Registry, Served } from './registry.ts'
import type { Reader } from './inside.ts'

type Stored = Served & { readonly collection: Collection }

const TYPES = { added: 'ADDED', modified: 'MODIFIED', deleted: 'DELETED' } as const

/** Few objects are listed for every request, such as classes: such a list stands until the next change. */
const SHORT = 64
interface ShortList {
  readonly changedAt: number
  readonly objects: readonly KubeObject[]
}

export function registryReader(registry: Registry, currentRevision: () => number): Reader {
  const isStored = (served: Served | undefined): served is Stored =>
    served?.collection !== undefined
  let version = registry.version
  let byRef = new WeakMap<ResourceRef, Stored>()
  const find = (ref: ResourceRef): Stored | undefined => {
    if (version !== registry.version) {
      version = registry.version
      byRef = new WeakMap()
    }
    const known = byRef.get(ref)
    if (known !== undefined) return known
    const served = registry.get(ref.group, ref.version, ref.resource)
    if (!isStored(served)) return undefined
    byRef.set(ref, served)
    return served
  }
  const shortLists = new WeakMap<ResourceDefinition, ShortList>()
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
      const { size, changedAt } = collection.cache
      if (size === 0) return []
      const isShort = namespace === '' && size <= SHORT
      const known = isShort ? shortLists.get(definition) : undefined
      if (known?.changedAt === changedAt) return known.objects as readonly T[]
      const objects = collection.cache
        .list({ prefix: rangeFor(collection.prefix, definition.facts, namespace) })
        .entries.map((entry) => shownAs(definition, entry.object) as T)
      if (isShort) shortLists.set(definition, { changedAt, objects })
      return objects
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
