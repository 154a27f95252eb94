/** Objects by key, with indexes. */
import { keyOf, type KubeObject } from '#machinery'

/** Reads are synchronous; objects are shared and read only. */
export interface Lister<T extends KubeObject> {
  get(key: string): T | undefined
  list(namespace?: string): readonly T[]
  /** Objects by the value of an index added with `addIndex`. */
  by(index: string, value: string): readonly T[]
}

export interface Cache<T extends KubeObject> extends Lister<T> {
  /** Gives what was there before. */
  set(object: T): T | undefined
  delete(key: string): T | undefined
  keys(): IterableIterator<string>
  /** Idempotent by name. */
  addIndex(name: string, values: (object: T) => readonly string[]): void
}

interface Index<T> {
  readonly values: (object: T) => readonly string[]
  readonly objects: Map<string, Map<string, T>>
}

const NAMESPACE = 'namespace'
const NOTHING: readonly never[] = []

export function createCache<T extends KubeObject>(): Cache<T> {
  const objects = new Map<string, T>()
  const indexes = new Map<string, Index<T>>()
  const link = (index: Index<T>, key: string, object: T): void => {
    for (const value of index.values(object)) {
      const group = index.objects.get(value)
      if (group === undefined) index.objects.set(value, new Map([[key, object]]))
      else group.set(key, object)
    }
  }
  const unlink = (index: Index<T>, key: string, object: T): void => {
    for (const value of index.values(object)) {
      const group = index.objects.get(value)
      group?.delete(key)
      if (group?.size === 0) index.objects.delete(value)
    }
  }
  const by = (name: string, value: string): readonly T[] => {
    const group = indexes.get(name)?.objects.get(value)
    return group === undefined ? NOTHING : [...group.values()]
  }
  const cache: Cache<T> = {
    get: (key) => objects.get(key),
    list: (namespace) =>
      namespace === undefined || namespace === ''
        ? [...objects.values()]
        : by(NAMESPACE, namespace),
    by,
    keys: () => objects.keys(),
    set(object) {
      const key = keyOf(object)
      const old = objects.get(key)
      objects.set(key, object)
      for (const index of indexes.values()) {
        if (old !== undefined) unlink(index, key, old)
        link(index, key, object)
      }
      return old
    },
    delete(key) {
      const old = objects.get(key)
      if (old === undefined) return undefined
      objects.delete(key)
      for (const index of indexes.values()) unlink(index, key, old)
      return old
    },
    addIndex(name, values) {
      if (indexes.has(name)) return
      const index: Index<T> = { values, objects: new Map() }
      indexes.set(name, index)
      for (const [key, object] of objects) link(index, key, object)
    },
  }
  cache.addIndex(NAMESPACE, (object) => [object.metadata.namespace ?? ''])
  return cache
}
