/** Delete: at once, after a grace, or when those who asked to be waited for are done. */
import {
  STALE_OBJECT,
  conflict,
  notFound,
  timestamp,
  type JsonObject,
  type KubeObject,
  type ResourceDefinition,
} from '#machinery'
import { readyEntry, shownAs, storedForm, type StoredEntry } from '../collection.ts'
import { copyJson, sameJson } from '../json.ts'
import { withRevision } from '../json-bytes.ts'
import { keyFor } from '../keys.ts'
import type { DeleteOptions } from '../options.ts'
import { successStatus } from '../replies.ts'
import { admitOnly } from './admission.ts'
import { commit, currentOf, pendingFinalizers, replace } from './store.ts'
import { idOf, originOf, type Outcome, type WriteTarget, type Writer } from './target.ts'

const ORPHAN = 'orphan'
const FOREGROUND = 'foregroundDeletion'
const ATTEMPTS = 10

/** What became of a delete: objects with a grace or finalizers stay for a while. */
export type Deleted =
  /** The object is there still, and says that it is going. */
  | { readonly gone: false; readonly outcome: Outcome }
  | { readonly gone: true; readonly object: KubeObject }

/** Ends the object or marks it as going. Throws 404 and 409 when it is not there, or not the one that was meant. */
export async function deleteObject(
  writer: Writer,
  target: WriteTarget,
  name: string,
  options: DeleteOptions,
  /** Admission of a collection is asked without a name. */
  admittedAs = name,
): Promise<Deleted> {
  const { definition, collection, namespace, exchange } = target
  const { facts } = definition
  const key = keyFor(collection.prefix, facts.namespaced ? namespace : '', name)
  await collection.refresh(exchange.signal)
  let entry = collection.cache.get(key)
  let admittedUid: string | undefined
  for (let round = 1; ; round++) {
    if (entry === undefined) throw notFound(facts, name)
    const old = shownAs(definition, (await readyEntry(definition, entry)).object)
    if (admittedUid !== old.metadata.uid) {
      await admitOnly(writer, target, 'DELETE', admittedAs, options, { old })
      admittedUid = old.metadata.uid
    }
    checkPreconditions(definition, old, options)
    const result = await deleteOnce(writer, target, key, entry, old, options)
    if (!('current' in result)) return result
    if (round >= ATTEMPTS) throw conflict(facts, name, STALE_OBJECT)
    entry = result.current
  }
}

function checkPreconditions(
  { facts }: ResourceDefinition,
  { metadata }: KubeObject,
  { uid, resourceVersion }: DeleteOptions,
): void {
  // Upstream names the kind here, and not the resource.
  const target = { group: facts.group, resource: facts.kind }
  if (uid !== undefined && uid !== metadata.uid)
    throw conflict(
      target,
      metadata.name,
      `the UID in the precondition (${uid}) does not match the UID in record (${metadata.uid}). The object might have been deleted and then recreated`,
    )
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion)
    throw conflict(
      target,
      metadata.name,
      `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${metadata.resourceVersion}). The object might have been modified`,
    )
}

async function deleteOnce(
  writer: Writer,
  target: WriteTarget,
  key: string,
  entry: StoredEntry,
  old: KubeObject,
  options: DeleteOptions,
): Promise<Deleted | { readonly current: StoredEntry | undefined }> {
  const { definition, collection } = target
  const next = marked(definition, old, options, writer.env.clock.now())
  if (next === 'pending')
    return { gone: false, outcome: { type: 'unchanged', entry, object: () => old } }
  if (next.waits) {
    const { object } = next
    const shown = object as unknown as KubeObject
    if (options.dryRun)
      return { gone: false, outcome: { type: 'value', created: false, object: () => shown } }
    const stored = await storedForm(definition, object)
    const result = await replace(writer, target, key, entry, stored, object)
    return 'outcome' in result ? { gone: false, outcome: result.outcome } : result
  }
  if (options.dryRun) return { gone: true, object: next.object as unknown as KubeObject }
  const origin = originOf(writer, target)
  const write = await commit(writer, target, () => collection.delete(key, entry.modified, origin))
  if (!write.ok) return { current: currentOf(collection, write) }
  writer.allocators[idOf(definition)]?.settle(old, undefined)
  return { gone: true, object: withRevision(next.object, write.revision) }
}

/** The last moment that a timestamp can say. */
const END_OF_TIME_MS = Date.UTC(9999, 11, 31, 23, 59, 59)

/** What the object becomes by this delete, or `pending` when an earlier one already said as much. */
function marked(
  definition: ResourceDefinition,
  old: KubeObject,
  options: DeleteOptions,
  now: Date,
): 'pending' | { readonly object: JsonObject; readonly waits: boolean } {
  const { deletionTimestamp, deletionGracePeriodSeconds } = old.metadata
  const finalizers = finalizersAfter(definition, old, options)
  const finalizersChange = !sameJson(finalizers, old.metadata.finalizers ?? [])
  let grace = definition.graceSeconds(old, options.graceSeconds)
  if (deletionTimestamp !== undefined) {
    const left = deletionGracePeriodSeconds ?? 0
    // A later delete may only hurry.
    const hurries = options.graceSeconds !== undefined && grace !== undefined && grace < left
    if (
      !hurries &&
      !finalizersChange &&
      (left > 0 || pendingFinalizers(old as unknown as JsonObject))
    )
      return 'pending'
    if (!hurries) grace = left
  }
  const object = copyJson(old) as unknown as JsonObject
  const metadata = object['metadata'] as JsonObject
  if (finalizers.length > 0) metadata['finalizers'] = finalizers
  else delete metadata['finalizers']
  const seconds = grace ?? 0
  const started =
    deletionTimestamp === undefined
      ? now.getTime()
      : Date.parse(deletionTimestamp) - Number(deletionGracePeriodSeconds ?? 0) * 1000
  const ends = Math.min(Math.max(started, 0) + Number(seconds) * 1000, END_OF_TIME_MS)
  metadata['deletionTimestamp'] = timestamp(new Date(ends))
  metadata['deletionGracePeriodSeconds'] = seconds
  const { generation } = old.metadata
  if (deletionTimestamp === undefined && generation !== undefined && generation > 0)
    metadata['generation'] = generation + 1
  if (deletionTimestamp === undefined) definition.prepareForDelete?.(object, now)
  if (idOf(definition) === 'namespaces')
    object['status'] = { ...(object['status'] as JsonObject | undefined), phase: 'Terminating' }
  return { object, waits: seconds > 0 || pendingFinalizers(object) }
}

/** The garbage collector's own finalizers say what is to happen to the dependents. */
function finalizersAfter(
  { defaultPropagation }: ResourceDefinition,
  { metadata }: KubeObject,
  { propagation }: DeleteOptions,
): readonly string[] {
  const before = metadata.finalizers ?? []
  const policy =
    propagation ??
    (before.includes(ORPHAN)
      ? 'Orphan'
      : before.includes(FOREGROUND)
        ? 'Foreground'
        : defaultPropagation)
  const others = before.filter((each) => each !== ORPHAN && each !== FOREGROUND)
  switch (policy) {
    case 'Orphan':
      return [...others, ORPHAN]
    case 'Foreground':
      return [...others, FOREGROUND]
    case 'Background':
      return others
  }
}

/** What a DELETE that ended the object answers, when that is not the object. */
export const deletedStatus = (
  { facts }: ResourceDefinition,
  { metadata }: KubeObject,
): JsonObject =>
  successStatus({
    name: metadata.name,
    ...(facts.group === '' ? {} : { group: facts.group }),
    kind: facts.resource,
    uid: metadata.uid,
  })

/** Whether a delete answers with the object as it was rather than with a Status. */
export const returnsObject = ({ facts }: ResourceDefinition): boolean =>
  facts.deleteReturns !== undefined && facts.deleteReturns !== 'Status'
