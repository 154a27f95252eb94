/** Update: how a new state comes from the one that is there, for every resource alike. */
import {
  conflict,
  invalid,
  notFound,
  type FieldError,
  type JsonObject,
  type KubeObject,
} from '#machinery'
import { admit, mutate } from './admission-run.ts'
import { readyEntry, shownAs, storedForm, type StoredEntry } from '../collection.ts'
import type { Exchange } from '../exchange.ts'
import { attributesOf, forbiddenFor, requireUser } from '../filters/index.ts'
import { textOf } from '../json.ts'
import { keyFor } from '../keys.ts'
import { keepServerMetadata, validateMetadataUpdate } from '../metadata.ts'
import type { WriteOptions } from '../options.ts'
import { dedupOwners } from './owner-references.ts'
import { admissionRequest, replaceTyped } from './admission.ts'
import { createObject } from './create.ts'
import { saysTheSame, specChanged } from './differences.ts'
import { checkIdentity, uidDiffers } from './identity.ts'
import { replace } from './store.ts'
import {
  bindNamespace,
  idOf,
  managerOf,
  metadataOf,
  type Outcome,
  type WriteTarget,
  type Writer,
} from './target.ts'
import { inTurn } from './turns.ts'

/** How a new state comes from the one that is there. */
export interface Change {
  /** Called again for each attempt; the result belongs to the request, `old` is shared. */
  readonly next: (old: KubeObject, attempt: number) => JsonObject | Promise<JsonObject>
  /** What is created when nothing is there; absent means that this is 404. */
  readonly absent?: () => JsonObject | Promise<JsonObject>
  /** Apply notes the owners of fields itself. */
  readonly tracked?: boolean
  /** A whole object, whose uid says which one it was meant for. */
  readonly isPut?: boolean
}

/** Carries out a change on the latest state, again and again until no other write comes between. */
export async function updateObject(
  writer: Writer,
  target: WriteTarget,
  name: string,
  change: Change,
  options: WriteOptions,
): Promise<Outcome> {
  const { definition, collection, namespace, exchange } = target
  const { facts } = definition
  const key = keyFor(collection.prefix, facts.namespaced ? namespace : '', name)
  const latest = async (): Promise<StoredEntry | undefined> => {
    await collection.refresh(exchange.signal)
    return collection.cache.get(key)
  }
  const round = async (
    entry: StoredEntry | undefined,
    attempt: number,
  ): Promise<Outcome | undefined> => {
    if (entry === undefined) {
      if (change.absent === undefined) throw notFound(facts, name)
      await mayCreate(writer, exchange)
      const object = await change.absent()
      // An update that says what it replaces cannot begin something.
      if (textOf(metadataOf(object)['uid']) !== '')
        throw conflict(facts, name, uidDiffers(key, textOf(metadataOf(object)['uid']), ''))
      delete metadataOf(object)['resourceVersion']
      metadataOf(object)['name'] = name
      return createObject(writer, target, object, options, {
        tracked: change.tracked ?? false,
      })
    }
    const done = await updateOnce(writer, target, key, name, entry, change, options, attempt)
    return 'outcome' in done ? done.outcome : undefined
  }
  const first = await round(await latest(), 1)
  if (first !== undefined) return first
  // Who says no revision never loses: those who were too late go on one after another.
  let attempt = 1
  return inTurn(collection, key, exchange.signal, async () => round(await latest(), ++attempt))
}

/** A PUT or an apply that makes a new object needs the right to create it too. */
async function mayCreate(writer: Writer, exchange: Exchange): Promise<void> {
  if (exchange.info === undefined) return
  const attributes = { ...attributesOf(requireUser(exchange), exchange.info), verb: 'create' }
  const { verdict, reason } = await writer.authorizer().authorize(attributes)
  if (verdict !== 'allow') throw forbiddenFor(attributes, reason)
}

async function updateOnce(
  writer: Writer,
  target: WriteTarget,
  key: string,
  name: string,
  entry: StoredEntry,
  change: Change,
  options: WriteOptions,
  round: number,
): Promise<{ readonly outcome: Outcome } | { readonly current: StoredEntry | undefined }> {
  const { definition, exchange, subresource } = target
  const { facts } = definition
  const old = shownAs(definition, (await readyEntry(definition, entry)).object)
  const object = await change.next(old, round)
  const metadata = metadataOf(object)
  bindNamespace(target, object)
  checkIdentity(target, name, metadata, old.metadata, { key, isPut: change.isPut === true })
  definition.defaults(object)

  const now = writer.env.clock.now()
  if (change.isPut === true) dedupOwners(metadata, 'request', exchange)
  if (change.tracked !== true) {
    const manager = managerOf(exchange, options.fieldManager)
    writer.codec.owners.trackUpdate(definition, old, object, { manager, now, subresource })
  }
  const request = admissionRequest(
    target,
    'UPDATE',
    name,
    options,
    { object, old },
    replaceTyped(writer, target, object),
  )
  await mutate(writer, request)

  dedupOwners(metadata, 'admission', exchange)
  keepServerMetadata(metadata, old.metadata)
  const context = { user: requireUser(exchange), now, subresource }
  definition.prepareForUpdate(object, old, context)
  if (definition.hasGeneration && specChanged(definition, object, old, subresource))
    metadata['generation'] = (old.metadata.generation ?? 0) + 1

  const problems: FieldError[] = [
    ...validateMetadataUpdate(metadata, old.metadata, definition.facts),
    ...(definition.validatesUpdateAlone === true ? [] : definition.validate(object)),
    ...definition.validateUpdate(object, old, context),
  ]
  if (problems.length > 0) throw invalid(facts, name, problems)
  // Those who write a status did not write the rest.
  if (subresource !== 'status')
    for (const text of definition.warnings(object, old)) exchange.warnings.push(text)
  // Other endpoints put back the old spec, which is shared.
  const allocator = target.subresource === '' ? writer.allocators[idOf(definition)] : undefined
  const giveBack = allocator?.assign(object, old, options)
  let done = false
  try {
    await admit(writer, request)
    const stored = await storedForm(definition, object)
    if (saysTheSame(stored, entry.object)) {
      done = true
      return { outcome: { type: 'unchanged', entry, object: () => old } }
    }
    const shown = object as unknown as KubeObject
    if (options.dryRun) return { outcome: { type: 'value', created: false, object: () => shown } }
    const result = await replace(writer, target, key, entry, stored, object)
    done = 'outcome' in result
    if (done) allocator?.settle(old, shown)
    return result
  } finally {
    if (!done) giveBack?.()
  }
}
