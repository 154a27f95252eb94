/** Who depends on whom, over all resources. */
import { groupOf } from '../framework/index.ts'
import type { KubeObject, OwnerReference, ResourceRef } from '#machinery'
import { awaitsDependents, isBeingDeleted, isOrphaning, ownersOf } from './judge.ts'

export interface GraphNode {
  readonly ref: ResourceRef
  readonly object: KubeObject
}

export interface Graph {
  get(uid: string): GraphNode | undefined
  dependentsOf(uid: string): readonly GraphNode[]
  all(): Iterable<GraphNode>
  /** Gives the uids of the objects that have to be judged anew. */
  set(node: GraphNode): readonly string[]
  delete(uid: string): readonly string[]
}

export function createGraph(): Graph {
  const nodes = new Map<string, GraphNode>()
  const dependents = new Map<string, Set<string>>()
  const link = (object: KubeObject): void => {
    for (const { uid } of ownersOf(object)) {
      const set = dependents.get(uid)
      if (set === undefined) dependents.set(uid, new Set([object.metadata.uid]))
      else set.add(object.metadata.uid)
    }
  }
  const unlink = (object: KubeObject): void => {
    for (const { uid } of ownersOf(object)) {
      const set = dependents.get(uid)
      set?.delete(object.metadata.uid)
      if (set?.size === 0) dependents.delete(uid)
    }
  }
  const idsBelow = (uid: string): readonly string[] => [...(dependents.get(uid) ?? [])]

  return {
    get: (uid) => nodes.get(uid),
    dependentsOf: (uid) =>
      idsBelow(uid).flatMap((id) => {
        const node = nodes.get(id)
        return node === undefined ? [] : [node]
      }),
    all: () => nodes.values(),
    set(node) {
      const { object } = node
      const { uid } = object.metadata
      const old = nodes.get(uid)?.object
      nodes.set(uid, node)
      // Most are owned by nobody, and are not on their way out.
      if (old === undefined && isPlain(object)) return NOBODY
      const ownersChanged = old === undefined || !sameOwners(ownersOf(old), ownersOf(object))
      if (ownersChanged) {
        if (old !== undefined) unlink(old)
        link(object)
      }
      const judged = new Set<string>()
      if (ownersChanged) {
        // A new object whose owner nobody has seen, or whose owner is on its way out.
        for (const owner of ownersOf(object)) {
          const found = nodes.get(owner.uid)
          if (
            found === undefined ||
            awaitsDependents(found.object) ||
            !isNamedBy(found, owner, object.metadata.namespace)
          )
            judged.add(uid)
          if (found !== undefined && old !== undefined) judged.add(owner.uid)
        }
        // An owner that waited for it need not any longer.
        for (const owner of old === undefined ? [] : ownersOf(old)) {
          judged.add(uid)
          judged.add(owner.uid)
        }
      }
      if (isOrphaning(object) && (old === undefined || !isOrphaning(old))) judged.add(uid)
      if (awaitsDependents(object) && (old === undefined || !awaitsDependents(old))) {
        judged.add(uid)
        for (const id of idsBelow(uid)) judged.add(id)
      }
      // The owner of what is going now may have asked for it to go with its own dependents first.
      if (isBeingDeleted(object) && old !== undefined && !isBeingDeleted(old))
        for (const owner of ownersOf(object)) judged.add(owner.uid)
      return [...judged]
    },
    delete(uid) {
      const node = nodes.get(uid)
      nodes.delete(uid)
      const judged = new Set(idsBelow(uid))
      if (node !== undefined) {
        unlink(node.object)
        for (const owner of ownersOf(node.object)) {
          const found = nodes.get(owner.uid)
          if (found !== undefined && awaitsDependents(found.object)) judged.add(owner.uid)
        }
      }
      return [...judged]
    },
  }
}

const NOBODY: readonly string[] = []

const isPlain = (object: KubeObject): boolean =>
  ownersOf(object).length === 0 && object.metadata.deletionTimestamp === undefined

const sameOwners = (a: readonly OwnerReference[], b: readonly OwnerReference[]): boolean =>
  a === b ||
  (a.length === b.length &&
    a.every(
      ({ uid, blockOwnerDeletion }, at) =>
        uid === b[at]?.uid &&
        (blockOwnerDeletion ?? false) === (b[at]?.blockOwnerDeletion ?? false),
    ))

/** Whether the reference, in an object of this namespace, means this one: a uid alone can be claimed by anybody. */
export const isNamedBy = (
  { ref, object }: GraphNode,
  owner: OwnerReference,
  namespace: string | undefined,
): boolean =>
  object.metadata.name === owner.name &&
  ref.kind === owner.kind &&
  ref.group === groupOf(owner.apiVersion) &&
  (!ref.namespaced || object.metadata.namespace === namespace)
