/** The last step of a write: the object becomes bytes, and the store takes or refuses them. */
import type { Awaitable } from '#base'
import {
  StatusError,
  internalError,
  type ConversionAhead,
  type JsonObject,
  type KubeObject,
} from '#machinery'
import type { Write } from '#storage'
import { shownAs, type Collection, type StoredEntry } from '../collection.ts'
import { toStored, withRevision, type Stored } from '../json-bytes.ts'
import { refuseTooLarge } from './size-limit.ts'
import {
  idOf,
  metadataOf,
  originOf,
  type Outcome,
  type WriteTarget,
  type Writer,
} from './target.ts'

/** The store is there for others too: what it cannot do is told as an error of the server. */
export function commit(
  { env: { tracing } }: Writer,
  { exchange: { trace } }: WriteTarget,
  write: () => Promise<Write>,
): Promise<Write> {
  const writing = trace === undefined ? write() : trace.part('store', write)
  const span = trace?.span
  if (span === undefined || tracing === undefined) return writing.catch(cannotWrite)
  return writing.then((done) => {
    // What others do because of it belongs to the same trace.
    if (done.ok) tracing.wrote(done.revision, span)
    return done
  }, cannotWrite)
}

function cannotWrite(error: unknown): never {
  if (error instanceof StatusError) throw error
  throw internalError(
    `the store could not write: ${error instanceof Error ? error.message : String(error)}`,
  )
}

/** What was just written, as the answer shows it: from the watch cache where that has it already. */
export function storedOutcome(
  { definition, collection }: WriteTarget,
  key: string,
  { object: stored, bytes }: Stored,
  revision: number,
  created: boolean,
): Awaitable<Outcome> {
  const shared = (): KubeObject => {
    const entry = collection.cache.get(key)
    // The cache's own is shared by everyone who reads it next.
    return entry?.modified === revision ? entry.object : withRevision(stored, revision)
  }
  const outcome = (ready?: KubeObject): Outcome => ({
    type: 'stored',
    created,
    bytes,
    revision,
    object: () => shownAs(definition, ready ?? shared()),
  })
  const ahead = definition.convert?.ahead
  // A webhook may make more of an object on its way back than went in.
  return ahead === undefined ? outcome() : convertedBack(ahead, shared()).then(outcome)
}

/** Where a webhook converts: what was just stored, as those see it who read it in this version. */
const convertedBack = async (
  ahead: ConversionAhead,
  object: KubeObject,
): Promise<KubeObject | undefined> =>
  ahead.isNeeded(object) ? (await ahead.fromStorage([object]))[0] : undefined

/** Writes the new state over the one it was made from, or ends the object when that was all it waited for. */
export async function replace(
  writer: Writer,
  target: WriteTarget,
  key: string,
  entry: StoredEntry,
  stored: JsonObject,
  object: JsonObject,
): Promise<{ readonly outcome: Outcome } | { readonly current: StoredEntry | undefined }> {
  const { collection } = target
  const origin = originOf(writer, target)
  if (isFinished(object)) {
    const gone = await commit(writer, target, () => collection.delete(key, entry.modified, origin))
    if (!gone.ok) return { current: currentOf(collection, gone) }
    const allocator = writer.allocators[idOf(target.definition)]
    allocator?.settle(shownAs(target.definition, entry.object), undefined)
    const last = withRevision(object, gone.revision)
    return { outcome: { type: 'value', created: false, object: () => last } }
  }
  const next = toStored(stored)
  const { bytes } = next
  refuseTooLarge(writer.codec, target.definition, next.object, bytes)
  collection.cache.offer(key, bytes, next.object as unknown as KubeObject)
  const write = await commit(writer, target, () =>
    collection.update(key, bytes, entry.modified, origin),
  )
  return write.ok
    ? { outcome: await storedOutcome(target, key, next, write.revision, false) }
    : { current: currentOf(collection, write) }
}

/** The state that stood in a write's way; undefined when there is none. */
export const currentOf = (
  collection: Collection,
  { current }: Extract<Write, { ok: false }>,
): StoredEntry | undefined => (current === undefined ? undefined : collection.cache.wrap(current))

/** Namespaces have finalizers in their spec as well. */
export function pendingFinalizers(object: JsonObject): boolean {
  const { metadata, spec, kind, apiVersion } = object as {
    metadata: JsonObject
    spec?: { finalizers?: readonly string[] }
    kind?: string
    apiVersion?: string
  }
  const { finalizers } = metadata
  if (Array.isArray(finalizers) && finalizers.length > 0) return true
  return kind === 'Namespace' && apiVersion === 'v1' && (spec?.finalizers?.length ?? 0) > 0
}

/** Being deleted, without grace left, and nobody who asked to be waited for. */
function isFinished(object: JsonObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds } = metadataOf(object)
  return (
    typeof deletionTimestamp === 'string' &&
    (deletionGracePeriodSeconds ?? 0) === 0 &&
    !pendingFinalizers(object)
  )
}
