/** How a watch looks on the wire: frames of JSON or protobuf, encoded once for all watchers of one form. */
import { toWireForm } from '#api'
import type { Env } from '#base'
import {
  apiVersionOf,
  goJson,
  type JsonObject,
  type KubeObject,
  type ResourceDefinition,
  type WatchEventType,
} from '#machinery'
import type { Delivery } from '#storage'
import type { Codec } from '../codec/index.ts'
import { shownAs, type StoredEntry } from '../collection.ts'
import type { Accepted } from '../negotiate.ts'
import { entryJson, entryProtobuf, partial, type IncludeObject } from '../render/index.ts'
import { utf8 } from '../replies.ts'

/** What a watch says next. */
export type Step =
  | { readonly type: 'initial'; readonly entries: readonly StoredEntry[] }
  | { readonly type: 'changes'; readonly deliveries: readonly Delivery<KubeObject>[] }
  | { readonly type: 'bookmark'; readonly revision: number; readonly endsInitial: boolean }

export const WATCH_TYPES: Readonly<Record<Delivery['type'], WatchEventType>> = {
  added: 'ADDED',
  modified: 'MODIFIED',
  deleted: 'DELETED',
}

const INITIAL_END = { 'k8s.io/initial-events-end': 'true' }

export const bookmark = (
  definition: ResourceDefinition,
  { revision, endsInitial }: { readonly revision: number; readonly endsInitial: boolean },
): JsonObject => ({
  kind: definition.facts.kind,
  apiVersion: apiVersionOf(definition.facts),
  metadata: {
    resourceVersion: String(revision),
    ...(endsInitial ? { annotations: INITIAL_END } : {}),
  },
})

/** What is sent at once, at most: a watcher that was slow has thousands of changes waiting. */
export const CHUNK_BYTES = 256 * 1024

/** What came together is sent together. Encoded when it is asked for; `isFirst` says that nothing was sent yet. */
export function* chunksOf(form: Form, step: Step, isFirst: boolean): Generator<Uint8Array> {
  let parts: Uint8Array[] = []
  let size = 0
  for (const part of partsOf(form, step, isFirst)) {
    parts.push(part)
    size += part.length
    if (size < CHUNK_BYTES) continue
    yield Buffer.concat(parts)
    parts = []
    size = 0
  }
  if (parts.length > 0) yield parts.length === 1 ? parts[0]! : Buffer.concat(parts)
}

function* partsOf(form: Form, step: Step, isFirst: boolean): Generator<Uint8Array> {
  let first = isFirst
  if (step.type === 'bookmark') yield form.bookmark(step, first)
  else if (step.type === 'initial')
    for (const entry of step.entries) {
      yield form.entry('ADDED', entry, first)
      first = false
    }
  else
    for (const delivery of step.deliveries) {
      yield form.delivery(delivery, first)
      first = false
    }
}

/** One way to show a resource's changes. `isFirst` says whether the columns of a table are still to be told. */
export interface Form {
  entry(type: WatchEventType, entry: StoredEntry, isFirst: boolean): Uint8Array
  /** Its bytes are shared between the watchers of this form where they are the same for all. */
  delivery(delivery: Delivery<KubeObject>, isFirst: boolean): Uint8Array
  bookmark(
    at: { readonly revision: number; readonly endsInitial: boolean },
    isFirst: boolean,
  ): Uint8Array
}

const LINE_END = utf8('}\n')
export const jsonFrame = (type: WatchEventType, object: Uint8Array): Uint8Array =>
  Buffer.concat([utf8(`{"type":"${type}","object":`), object, LINE_END])

export function formFor(
  codec: Codec,
  definition: ResourceDefinition,
  { encoding, shape, version }: Accepted,
  includeObject: IncludeObject,
  clock: Env['clock'],
): Form {
  const { facts } = definition
  const id = `${facts.group}/${facts.version}/${facts.kind}`
  const shaped = (object: KubeObject, isFirst: boolean): unknown =>
    shape === 'metadata'
      ? partial(object, version)
      : shape === 'table'
        ? codec.encoder.table(
            definition,
            [object],
            { resourceVersion: object.metadata.resourceVersion },
            { now: clock.now(), includeObject, version, columnDefinitions: isFirst },
          )
        : object
  const encode = (type: WatchEventType, value: unknown): Uint8Array =>
    encoding === 'protobuf'
      ? codec.encoder.watchFrame(type, codec.encoder.encodeProtobuf(value as KubeObject))
      : jsonFrame(type, utf8(goJson(JSON.stringify(value))))
  const entry = (type: WatchEventType, each: StoredEntry, isFirst: boolean): Uint8Array => {
    if (shape === 'object')
      return encoding === 'protobuf'
        ? codec.encoder.watchFrame(type, entryProtobuf(codec, definition, each))
        : jsonFrame(type, entryJson(definition, each))
    return encode(type, shaped(shownAs(definition, each.object), isFirst))
  }
  const memoKey = `${id}|${encoding}|${shape}|${version}`
  const memoKeys = {
    added: `${memoKey}|added`,
    modified: `${memoKey}|modified`,
    deleted: `${memoKey}|deleted`,
  }
  return {
    entry,
    delivery: (delivery, isFirst) => {
      const type = WATCH_TYPES[delivery.type]
      // Ages in tables depend on the moment, and are shown to people only.
      return shape === 'table'
        ? entry(type, delivery.entry, isFirst)
        : delivery.event.memo(memoKeys[delivery.type], () => entry(type, delivery.entry, false))
    },
    bookmark(at, isFirst) {
      // Typed clients see an object of which only the revision is said.
      const object = toWireForm(bookmark(definition, at)) as unknown as KubeObject
      return encode('BOOKMARK', shape === 'object' ? object : shaped(object, isFirst))
    },
  }
}
