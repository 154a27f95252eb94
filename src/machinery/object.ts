/** What every object has, and how resources are named. */
import type { ObjectMeta } from './meta.gen.ts'

/** What JSON can say. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue | undefined }
/** A JSON object under construction: what a decoder makes and defaulting, admission and strategies change in place. */
export interface JsonObject {
  [key: string]: unknown
}

/** Any object as it is read: shared and frozen by convention. */
export interface KubeObject {
  readonly apiVersion?: string
  readonly kind?: string
  readonly metadata: ObjectMeta
}

/** An object not yet created: the server fills in the rest. */
export type Draft<T extends KubeObject> = Omit<T, 'metadata'> & {
  readonly metadata: Partial<ObjectMeta>
}

/** Names a resource; the type parameter says what its objects are. */
export interface ResourceRef<T extends KubeObject = KubeObject> {
  readonly group: string
  readonly version: string
  readonly resource: string
  readonly kind: string
  readonly namespaced: boolean
  /** Never set: carries the type. */
  readonly object?: T
}

/** Names one object of a resource. `namespace` is absent for cluster-scoped ones. */
export interface ObjectKey {
  readonly namespace?: string
  readonly name: string
}

/** `apps/v1`; the core group has no name: `v1`. */
export const apiVersionOf = ({ group, version }: { group: string; version: string }): string =>
  group === '' ? version : `${group}/${version}`

/** `shop/web-0`, or `n1` for cluster-scoped objects: the key of caches and work queues. */
export const keyOf = ({
  metadata,
}: {
  metadata: { namespace?: string | undefined; name: string }
}): string =>
  metadata.namespace === undefined || metadata.namespace === ''
    ? metadata.name
    : `${metadata.namespace}/${metadata.name}`

/** The other way of `keyOf`. */
export function parseKey(key: string): ObjectKey {
  const slash = key.indexOf('/')
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) }
}

/** What happened; a bookmark only tells the revision. */
export type WatchEventType = 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR'
/** A line of a watch. */
export interface WatchEvent<T = KubeObject> {
  readonly type: WatchEventType
  readonly object: T
}
