/** What is to become of one object, from what is known of its owners and dependents. Pure. */
import type { KubeObject, OwnerReference } from '#machinery'

const FOREGROUND = 'foregroundDeletion'
export const ORPHAN = 'orphan'

/** Of an owner reference: whether its owner is there, gone, going and waiting for us, or cannot be told. */
export type OwnerState = 'present' | 'absent' | 'waiting' | 'unknown'

export type Verdict =
  | { readonly type: 'keep' }
  /** Its dependents lose the reference to it, then it loses its finalizer. */
  | { readonly type: 'orphanDependents' }
  /** All that it waited for is gone. */
  | { readonly type: 'removeFinalizer'; readonly finalizer: string }
  /** Dependents that it waits for have to be looked at. */
  | { readonly type: 'await'; readonly dependents: readonly KubeObject[] }
  /** Some owners are there and others not: it forgets the others. */
  | { readonly type: 'removeOwners'; readonly uids: ReadonlySet<string> }
  | {
      readonly type: 'delete'
      readonly propagationPolicy: 'Orphan' | 'Foreground' | 'Background'
      /** Dependents that wait for it themselves, in a circle: they must not block it. */
      readonly unblock: boolean
    }

const has = ({ metadata }: KubeObject, finalizer: string): boolean =>
  metadata.finalizers?.includes(finalizer) === true

export const isBeingDeleted = ({ metadata }: KubeObject): boolean =>
  metadata.deletionTimestamp !== undefined
/** In a foreground deletion: it stays until its blocking dependents are gone. */
export const awaitsDependents = (object: KubeObject): boolean =>
  isBeingDeleted(object) && has(object, FOREGROUND)
export const isOrphaning = (object: KubeObject): boolean =>
  isBeingDeleted(object) && has(object, ORPHAN)

export const ownersOf = ({ metadata }: KubeObject): readonly OwnerReference[] =>
  metadata.ownerReferences ?? []

const blocks = (dependent: KubeObject, owner: KubeObject): boolean =>
  ownersOf(dependent).some(
    ({ uid, blockOwnerDeletion }) => uid === owner.metadata.uid && blockOwnerDeletion === true,
  )

export function judge(
  object: KubeObject,
  stateOf: (owner: OwnerReference) => OwnerState,
  dependents: readonly KubeObject[],
): Verdict {
  if (isOrphaning(object)) return { type: 'orphanDependents' }
  if (awaitsDependents(object)) {
    const blocking = dependents.filter((each) => blocks(each, object))
    return blocking.length === 0
      ? { type: 'removeFinalizer', finalizer: FOREGROUND }
      : { type: 'await', dependents: blocking.filter((each) => !awaitsDependents(each)) }
  }
  const owners = ownersOf(object)
  if (isBeingDeleted(object) || owners.length === 0) return { type: 'keep' }
  const states = owners.map((owner) => ({ uid: owner.uid, state: stateOf(owner) }))
  const lost = states.filter(({ state }) => state === 'absent' || state === 'waiting')
  if (lost.length < states.length) {
    // What cannot be told is no reason to change anything.
    if (lost.length === 0 || states.some(({ state }) => state === 'unknown'))
      return { type: 'keep' }
    return { type: 'removeOwners', uids: new Set(lost.map(({ uid }) => uid)) }
  }
  const awaited = lost.some(({ state }) => state === 'waiting')
  if (awaited && dependents.length > 0)
    return {
      type: 'delete',
      propagationPolicy: 'Foreground',
      unblock: dependents.some(awaitsDependents),
    }
  const propagationPolicy = has(object, ORPHAN)
    ? 'Orphan'
    : has(object, FOREGROUND)
      ? 'Foreground'
      : 'Background'
  return { type: 'delete', propagationPolicy, unblock: false }
}
