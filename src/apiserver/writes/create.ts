/** Create: what happens to a new object between its decoding and the store, for every resource alike. */
import {
  StatusError,
  alreadyExists,
  forbidden,
  invalid,
  timestamp,
  type JsonObject,
  type KubeObject,
} from '#machinery'
import { admit, mutate, sourcesOf } from './admission-run.ts'
import { storedForm } from '../collection.ts'
import { requireUser } from '../filters/index.ts'
import { toStored } from '../json-bytes.ts'
import { textOf } from '../json.ts'
import { keyFor } from '../keys.ts'
import { generatedName, isMetadataLate, validateMetadata } from '../metadata.ts'
import type { WriteOptions } from '../options.ts'
import { refuseTooLarge } from './size-limit.ts'
import { dedupOwners } from './owner-references.ts'
import type { Template } from '../codec/templates.ts'
import { admissionRequest, replaceTyped } from './admission.ts'
import { commit, storedOutcome } from './store.ts'
import {
  bindNamespace,
  idOf,
  managerOf,
  metadataOf,
  originOf,
  type Outcome,
  type WriteTarget,
  type Writer,
} from './target.ts'

/** How often a write that lost a race begins again. */
const NAME_ATTEMPTS = 8

/** Stores a new object, or says why not. `given` belongs to the request and is changed; what it has of a template is not. */
export async function createObject(
  writer: Writer,
  target: WriteTarget,
  given: JsonObject,
  options: WriteOptions,
  { tracked = false, template }: NewObjectOptions = {},
): Promise<Outcome> {
  const { definition, exchange, namespace } = target
  const { env } = writer
  const metadata = metadataOf(given)
  bindNamespace(target, given)
  const saysWhen = /^0*[1-9][0-9]*$/.test(textOf(metadata['resourceVersion']))
  for (const field of SERVER_FIELDS) if (field in metadata) delete metadata[field]
  if (template === undefined) definition.defaults(given)
  else definition.defaultsOfMetadata?.(metadata)
  const now = env.clock.now()
  dedupOwners(metadata, 'request', exchange)
  if (!tracked) {
    const manager = managerOf(exchange, options.fieldManager)
    writer.codec.owners.trackUpdate(definition, undefined, given, {
      manager,
      now,
      subresource: target.subresource,
    })
  }

  const generateName = textOf(metadata['generateName'])
  const isGenerated = textOf(metadata['name']) === '' && generateName !== ''
  if (definition.isEnding === true)
    throw forbidden(definition.facts, textOf(metadata['name']), ENDING)
  const request = admissionRequest(
    target,
    'CREATE',
    textOf(metadata['name']),
    options,
    { object: given },
    (next) => replaceTyped(writer, target, object)(next),
  )
  // Other endpoints put back the old spec, which is shared.
  const allocator = target.subresource === '' ? writer.allocators[idOf(definition)] : undefined
  // From here on its rest is only read, but where something is given out to it.
  const sharing = allocator === undefined ? template : undefined
  const sources = sharing && sourcesOf(writer, request)
  const admitted = sources && sharing?.admitted(metadata, sources)
  const object = admitted ?? template?.objectWith(metadata) ?? given
  request.becomes(request.name, object)
  const mutating = mutate(writer, request, { isChanged: admitted !== undefined })
  if (mutating instanceof Promise) await mutating
  dedupOwners(metadata, 'admission', exchange)
  // A webhook may have meant another one.
  bindNamespace(target, object)

  metadata['uid'] = env.random.uuid()
  metadata['creationTimestamp'] = timestamp(now)
  if (definition.hasGeneration) metadata['generation'] = 1
  const context = { user: requireUser(exchange), now, subresource: target.subresource }
  if (admitted === undefined) definition.prepareForCreate(object, context)

  for (let attempt = 1; ; attempt++) {
    if (isGenerated) {
      metadata['name'] = generatedName(generateName, () => env.random.next())
      // Some defaults come from the name.
      if (template === undefined) definition.defaults(object)
    }
    const name = textOf(metadata['name'])
    const known = admitted ?? sharing?.shared(object, sources)
    const created = known ?? object
    const others = [...definition.validate(created), ...(definition.validateNew?.(created) ?? [])]
    const problems =
      others.length > 0 && isMetadataLate(definition.facts)
        ? others
        : [...validateMetadata(metadata, definition.facts, namespace), ...others]
    if (problems.length > 0) throw invalid(definition.facts, name || generateName, problems)
    if (attempt === 1)
      for (const text of definition.warnings(created, undefined)) exchange.warnings.push(text)
    const giveBack = allocator?.assign(created, undefined, options)
    let done = false
    try {
      const admitting = admit(writer, request.becomes(name, created))
      if (admitting instanceof Promise) await admitting
      // It is the store that refuses this, after all others.
      if (saysWhen && !options.dryRun)
        throw new StatusError('', 'resourceVersion should not be set on objects to be created')
      if (known === undefined) sharing?.keep(object, sources)
      const outcome = await put(writer, target, created, name, options)
      done = outcome !== undefined && !options.dryRun
      if (outcome !== undefined) return outcome
    } finally {
      if (!done) giveBack?.()
    }
    if (!isGenerated || attempt === NAME_ATTEMPTS) throw alreadyExists(definition.facts, name)
  }
}

interface NewObjectOptions {
  /** Apply has noted the owners of fields already. */
  readonly tracked?: boolean
  /** What the object was made from, and has its defaults from. */
  readonly template?: Template | undefined
}

/** While the objects of a definition are being removed, no new ones come: not by an apply either. */
const ENDING = 'create not allowed while custom resource definition is terminating'

const SERVER_FIELDS = [
  'uid',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'selfLink',
  'resourceVersion',
  'generation',
]

/** Stores a new object; undefined when the name is taken. */
async function put(
  writer: Writer,
  target: WriteTarget,
  object: JsonObject,
  name: string,
  options: WriteOptions,
): Promise<Outcome | undefined> {
  const { definition, collection, namespace } = target
  const key = keyFor(collection.prefix, definition.facts.namespaced ? namespace : '', name)
  if (options.dryRun) {
    await collection.refresh(target.exchange.signal)
    if (collection.cache.get(key) !== undefined) return undefined
    return { type: 'value', created: true, object: () => object as unknown as KubeObject }
  }
  const form = storedForm(definition, object)
  const stored = toStored(form instanceof Promise ? await form : form)
  const { bytes } = stored
  refuseTooLarge(writer.codec, definition, stored.object, bytes)
  collection.cache.offer(key, bytes, stored.object as unknown as KubeObject)
  const origin = originOf(writer, target)
  const write = await commit(writer, target, () => collection.create(key, bytes, origin))
  return write.ok ? storedOutcome(target, key, stored, write.revision, true) : undefined
}
