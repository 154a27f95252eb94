/** A small API server's heart for unit tests: the real definitions over a map, all of it synchronous. */
import { findDefinition, typeTable } from '#api'
import type { Clock } from '#base'
import {
  alreadyExists,
  apiVersionOf,
  applyJsonPatch,
  applyMergePatch,
  applyStrategicPatch,
  conflict,
  invalid,
  keyOf,
  notFound,
  STALE_OBJECT,
  type Draft,
  type JsonObject,
  type KubeObject,
  type ObjectKey,
  type ResourceDefinition,
  type ResourceRef,
  type WatchEvent,
} from '#machinery'

/** Names a resource as paths do. */
export type ResourceName = Pick<ResourceRef, 'group' | 'version' | 'resource'>

export interface StoredEvent {
  readonly resource: ResourceName
  readonly revision: number
  readonly event: WatchEvent
  readonly previous: KubeObject | undefined
}

export interface DeleteRequest {
  readonly gracePeriodSeconds?: number
  readonly propagationPolicy?: string
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string }
}

const USER = { name: 'test', groups: ['system:masters'] }
const idOf = ({ group, resource }: ResourceName): string => `${group}/${resource}`

export interface ObjectStore {
  readonly revision: number
  readonly log: readonly StoredEvent[]
  /** Objects are frozen. */
  list<T extends KubeObject>(ref: ResourceRef<T> | ResourceName, namespace?: string): readonly T[]
  get<T extends KubeObject>(ref: ResourceRef<T> | ResourceName, key: ObjectKey): T | undefined
  create<T extends KubeObject>(ref: ResourceRef<T> | ResourceName, draft: Draft<T>): T
  update<T extends KubeObject>(
    ref: ResourceRef<T> | ResourceName,
    object: T,
    subresource?: string,
  ): T
  patch<T extends KubeObject>(
    ref: ResourceRef<T> | ResourceName,
    key: ObjectKey,
    options: {
      readonly contentType: string
      readonly patch: unknown
      readonly subresource?: string
    },
  ): T
  /** Undefined when it is gone, the object when it waits. */
  delete(ref: ResourceName, key: ObjectKey, request?: DeleteRequest): KubeObject | undefined
  /** Called for each event, at once. The returned function ends it. */
  onEvent(handler: (event: StoredEvent) => void): () => void
}

export function createObjectStore({ clock }: { readonly clock: Pick<Clock, 'now'> }): ObjectStore {
  const tables = new Map<string, Map<string, KubeObject>>()
  const log: StoredEvent[] = []
  const handlers = new Set<(event: StoredEvent) => void>()
  let revision = 0
  let named = 0

  const tableOf = (ref: ResourceName): Map<string, KubeObject> => {
    const id = idOf(ref)
    const table = tables.get(id) ?? new Map<string, KubeObject>()
    tables.set(id, table)
    return table
  }
  const definitionOf = ({ group, version, resource }: ResourceName) =>
    findDefinition(group, version, resource)
  const must = (ref: ResourceName, key: ObjectKey): KubeObject => {
    const found = tableOf(ref).get(keyOf({ metadata: key }))
    if (found === undefined) throw notFound(ref, key.name)
    return found
  }
  const timestamp = (): string => `${clock.now().toISOString().slice(0, 19)}Z`
  const contextOf = (subresource: string) => ({ user: USER, now: clock.now(), subresource })

  const commit = (
    ref: ResourceName,
    type: 'ADDED' | 'MODIFIED' | 'DELETED',
    object: JsonObject,
    previous: KubeObject | undefined,
  ): KubeObject => {
    revision++
    ;(object['metadata'] as JsonObject)['resourceVersion'] = String(revision)
    const frozen = deepFreeze(object) as unknown as KubeObject
    if (type === 'DELETED') tableOf(ref).delete(keyOf(frozen))
    else tableOf(ref).set(keyOf(frozen), frozen)
    const stored: StoredEvent = {
      resource: ref,
      revision,
      event: { type, object: frozen },
      previous,
    }
    log.push(stored)
    for (const handler of handlers) handler(stored)
    return frozen
  }
  const check = (definition: ResourceDefinition | undefined, object: JsonObject): void => {
    const errors = definition?.validate(object) ?? []
    const { name = '' } = object['metadata'] as { name?: string }
    if (definition !== undefined && errors.length > 0) throw invalid(definition.facts, name, errors)
  }

  const store: ObjectStore = {
    get revision() {
      return revision
    },
    log,
    list: (ref, namespace) =>
      [...tableOf(ref).values()]
        .filter(
          ({ metadata }) =>
            namespace === undefined || namespace === '' || metadata.namespace === namespace,
        )
        .toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1)) as unknown as readonly never[],
    get: (ref, key) => tableOf(ref).get(keyOf({ metadata: key })) as never,
    create(ref, draft) {
      const definition = definitionOf(ref)
      const object = structuredClone(draft) as unknown as JsonObject
      const metadata = object['metadata'] as Record<string, unknown>
      if (definition !== undefined) {
        object['apiVersion'] ??= apiVersionOf(ref)
        object['kind'] ??= definition.facts.kind
      }
      if (metadata['name'] === undefined) {
        named++
        metadata['name'] =
          `${String(metadata['generateName'])}${named.toString(36).padStart(5, 'x')}`
      }
      const name = metadata['name'] as string
      const known = tableOf(ref).has(
        keyOf({ metadata: { namespace: metadata['namespace'] as string, name } }),
      )
      if (known) throw alreadyExists(ref, name)
      metadata['uid'] = `uid-${revision + 1}`
      metadata['creationTimestamp'] = timestamp()
      delete metadata['deletionTimestamp']
      definition?.prepareForCreate(object, contextOf(''))
      definition?.defaults(object)
      if (definition?.hasGeneration === true) metadata['generation'] = 1
      check(definition, object)
      return commit(ref, 'ADDED', object, undefined) as never
    },
    update(ref, given, subresource = '') {
      const old = must(ref, given.metadata)
      const definition = definitionOf(ref)
      const { resourceVersion, uid } = given.metadata
      if (resourceVersion && resourceVersion !== old.metadata.resourceVersion)
        throw conflict(ref, old.metadata.name, STALE_OBJECT)
      if (uid && uid !== old.metadata.uid)
        throw conflict(ref, old.metadata.name, 'Precondition failed: UID in precondition')
      const object = structuredClone(given) as unknown as JsonObject
      const metadata = object['metadata'] as Record<string, unknown>
      for (const field of [
        'uid',
        'creationTimestamp',
        'deletionTimestamp',
        'deletionGracePeriodSeconds',
        'generation',
        'resourceVersion',
      ] as const)
        if (old.metadata[field] === undefined) delete metadata[field]
        else metadata[field] = old.metadata[field]
      // A binding and a finalization change what updates may not.
      const free = subresource === 'binding' || subresource === 'finalize'
      if (!free) definition?.prepareForUpdate(object, old, contextOf(subresource))
      definition?.defaults(object)
      check(definition, object)
      const errors = free
        ? []
        : (definition?.validateUpdate(object, old, contextOf(subresource)) ?? [])
      if (definition !== undefined && errors.length > 0)
        throw invalid(definition.facts, old.metadata.name, errors)
      if (same(object, old)) return old as never
      const before = old as unknown as JsonObject
      if (definition?.hasGeneration === true && !same(object['spec'], before['spec']))
        metadata['generation'] = (old.metadata.generation ?? 0) + 1
      if (finished(ref, object)) {
        commit(ref, 'DELETED', object, old)
        return object as never
      }
      return commit(ref, 'MODIFIED', object, old) as never
    },
    patch(ref, key, { contentType, patch, subresource = '' }) {
      const old = must(ref, key)
      const type = definitionOf(ref)?.facts.type
      const patched = contentType.startsWith('application/json-patch')
        ? applyJsonPatch(old, patch)
        : contentType.startsWith('application/strategic') && type !== undefined
          ? applyStrategicPatch(typeTable, type, old, patch)
          : applyMergePatch(old, patch)
      return store.update(ref, patched as KubeObject, subresource) as never
    },
    delete(ref, key, { gracePeriodSeconds, propagationPolicy, preconditions } = {}) {
      const old = must(ref, key)
      if (preconditions?.uid !== undefined && preconditions.uid !== old.metadata.uid)
        throw conflict(ref, key.name, 'Precondition failed: UID in precondition')
      const { resourceVersion } = preconditions ?? {}
      if (resourceVersion !== undefined && resourceVersion !== old.metadata.resourceVersion)
        throw conflict(ref, key.name, 'Precondition failed: ResourceVersion in precondition')
      const object = structuredClone(old) as unknown as JsonObject
      const metadata = object['metadata'] as Record<string, unknown>
      const finalizers = finalizersAfter(old, propagationPolicy)
      if (finalizers.length > 0) metadata['finalizers'] = finalizers
      else delete metadata['finalizers']
      const grace = definitionOf(ref)?.graceSeconds(old, gracePeriodSeconds) ?? 0
      const left = old.metadata.deletionGracePeriodSeconds ?? Infinity
      if (old.metadata.deletionTimestamp === undefined || grace < left) {
        metadata['deletionTimestamp'] =
          `${new Date(clock.now().getTime() + grace * 1000).toISOString().slice(0, 19)}Z`
        metadata['deletionGracePeriodSeconds'] = grace
        if (old.metadata.deletionTimestamp === undefined && old.metadata.generation !== undefined)
          metadata['generation'] = old.metadata.generation + 1
      }
      if (idOf(ref) === '/namespaces')
        object['status'] = { ...(object['status'] as JsonObject), phase: 'Terminating' }
      if (finished(ref, object)) {
        commit(ref, 'DELETED', object, old)
        return undefined
      }
      return same(object, old) ? old : commit(ref, 'MODIFIED', object, old)
    },
    onEvent(handler) {
      handlers.add(handler)
      return () => void handlers.delete(handler)
    },
  }
  return store
}

function finalizersAfter({ metadata }: KubeObject, policy: string | undefined): readonly string[] {
  const before = metadata.finalizers ?? []
  if (policy === undefined) return before
  const others = before.filter((each) => each !== 'orphan' && each !== 'foregroundDeletion')
  if (policy === 'Orphan') return [...others, 'orphan']
  return policy === 'Foreground' ? [...others, 'foregroundDeletion'] : others
}

/** Nothing keeps it any longer. */
function finished(ref: ResourceName, object: JsonObject): boolean {
  const metadata = object['metadata'] as KubeObject['metadata']
  const spec = object['spec'] as { finalizers?: readonly string[] } | undefined
  return (
    metadata.deletionTimestamp !== undefined &&
    (metadata.finalizers ?? []).length === 0 &&
    (metadata.deletionGracePeriodSeconds ?? 0) === 0 &&
    (idOf(ref) !== '/namespaces' || (spec?.finalizers ?? []).length === 0)
  )
}

const ordered = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(ordered)
    : typeof value === 'object' && value !== null
      ? Object.fromEntries(
          Object.entries(value)
            .filter(([, each]) => each !== undefined)
            .toSorted(([a], [b]) => (a < b ? -1 : 1))
            .map(([key, each]) => [key, ordered(each)]),
        )
      : value
const same = (a: unknown, b: unknown): boolean =>
  JSON.stringify(ordered(a)) === JSON.stringify(ordered(b))

function deepFreeze(value: unknown): unknown {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const each of Object.values(value)) deepFreeze(each)
  }
  return value
}
