/** A server's cache for tests: objects that are put in by hand. */
import { keyOf, type KubeObject, type ResourceRef } from '#machinery'
import type { Reader } from '../inside.ts'

export interface TestReader extends Reader {
  put<T extends KubeObject>(ref: ResourceRef<T>, object: unknown): T
  remove<T extends KubeObject>(ref: ResourceRef<T>, namespace: string, name: string): void
}

export function testReader(): TestReader {
  const tables = new Map<string, Map<string, KubeObject>>()
  const followers = new Map<string, Set<(change: never) => void>>()
  let revision = 0
  const idOf = ({ group, resource }: ResourceRef): string => `${resource}.${group}`
  const table = (ref: ResourceRef): Map<string, KubeObject> => {
    let found = tables.get(idOf(ref))
    if (found === undefined) tables.set(idOf(ref), (found = new Map()))
    return found
  }
  const tell = (ref: ResourceRef, type: string, object: KubeObject): void => {
    for (const run of followers.get(idOf(ref)) ?? []) run({ type, object } as never)
  }
  const key = (namespace: string, name: string): string =>
    namespace === '' ? name : `${namespace}/${name}`
  return {
    get: <T extends KubeObject>(ref: ResourceRef<T>, namespace: string, name: string) =>
      table(ref).get(key(namespace, name)) as T | undefined,
    list: <T extends KubeObject>(ref: ResourceRef<T>, namespace = '') =>
      [...table(ref)]
        .filter(([id]) => namespace === '' || id.startsWith(`${namespace}/`))
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([, object]) => object as T),
    onChange: (ref, run) => {
      const id = idOf(ref)
      const runs = followers.get(id) ?? new Set()
      followers.set(id, runs.add(run))
      return () => runs.delete(run)
    },
    revision: () => revision,
    put: <T extends KubeObject>(ref: ResourceRef<T>, object: unknown) => {
      const found = object as T
      const id = keyOf(found)
      const type = table(ref).has(id) ? 'MODIFIED' : 'ADDED'
      const stored = {
        ...found,
        metadata: {
          ...found.metadata,
          uid: found.metadata.uid ?? `uid-${id}`,
          resourceVersion: String(++revision),
        },
      }
      table(ref).set(id, stored)
      tell(ref, type, stored)
      return stored
    },
    remove: (ref, namespace, name) => {
      const object = table(ref).get(key(namespace, name))
      table(ref).delete(key(namespace, name))
      revision++
      if (object !== undefined) tell(ref, 'DELETED', object)
    },
  }
}
