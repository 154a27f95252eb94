/** Create and update: what happens to an object between its decoding and the store, for every resource alike. */
import type { Env } from '#base'
import {
  FieldPath,
  STALE_OBJECT,
  StatusError,
  alreadyExists,
  badRequest,
  conflict,
  forbidden,
  internalError,
  invalid,
  invalidValue,
  notFound,
  timestamp,
  type ConversionAhead,
  type FieldError,
  type JsonObject,
  type KubeObject,
  type ObjectMeta,
  type ResourceDefinition,
} from '#machinery'
import type { Origin, Write } from '#storage'
import type { Authorizer } from './access.ts'
import type { AdmissionMetrics } from './admission-metrics.ts'
import { admit, mutate } from './admission-run.ts'
import type { AdmissionPlugin, AdmissionRequest } from './admission.ts'
import { checkKind, kindOf } from './body.ts'
import type { Codec } from './codec.ts'
import { readyEntry, shownAs, storedForm, type Collection, type StoredEntry } from './collection.ts'
import type { Exchange } from './exchange.ts'
import { attributesOf, forbiddenFor, requireUser } from './filters.ts'
import { isObject, sameFields, sameJson, textOf } from './json.ts'
import { toStored, withRevision, type Stored } from './json-bytes.ts'
import { dedupOwners } from './owner-references.ts'
import { keyFor } from './keys.ts'
import {
  generatedName,
  keepServerMetadata,
  validateMetadata,
  validateMetadataUpdate,
} from './metadata.ts'
import type { WriteOptions } from './options.ts'
import type { Template } from './templates.ts'

/** What all writes of a server share. */
export interface Writer {
  readonly env: Pick<Env, 'clock' | 'random' | 'log' | 'tracing'>
  readonly codec: Codec
  readonly admissionMetrics: AdmissionMetrics
  readonly admission: () => readonly AdmissionPlugin[]
  readonly authorizer: () => Authorizer
  /** By resource (group after a dot): things that are given out with an object, such as a Service's address. */
  readonly allocators: Readonly<Record<string, Allocator>>
}

/** Gives things out to objects, such that two never get the same. */
export interface Allocator {
  /** Completes the object, in place; throws 422 when what it asks for is taken. The result gives back what was new. */
  assign(object: JsonObject, old: KubeObject | undefined, options: { dryRun: boolean }): () => void
  /** The object is gone, or has changed to `now`. */
  settle(old: KubeObject, now: KubeObject | undefined): void
}

/** What is written to, and by whom. */
export interface WriteTarget {
  readonly exchange: Exchange
  readonly definition: ResourceDefinition
  readonly collection: Collection
  readonly namespace: string
  readonly subresource: string
}

/** What became of a write. */
export type Outcome =
  | {
      readonly type: 'stored'
      readonly created: boolean
      readonly bytes: Uint8Array
      readonly revision: number
      readonly object: () => KubeObject
    }
  /** It said what was there already. */
  | { readonly type: 'unchanged'; readonly entry: StoredEntry; readonly object: () => KubeObject }
  /** Nothing was stored: a dry run, or an update that was the end of the object. */
  | { readonly type: 'value'; readonly created: boolean; readonly object: () => KubeObject }

/** How often a write that lost a race begins again. */
const NAME_ATTEMPTS = 8

export const idOf = ({ facts }: ResourceDefinition): string =>
  facts.group === '' ? facts.resource : `${facts.resource}.${facts.group}`

/** Heartbeats: made durable now and then. */
const VOLATILE: ReadonlySet<string> = new Set([
  'events',
  'events.events.k8s.io',
  'leases.coordination.k8s.io',
])

export const originOf = ({ env }: Writer, { exchange, definition }: WriteTarget): Origin => ({
  actor: exchange.user?.name ?? '',
  cause: exchange.cause ?? exchange.id,
  time: env.clock.now().getTime(),
  ...(VOLATILE.has(idOf(definition)) ? { volatile: true } : {}),
})

/** Who writes, for managedFields: as asked, or the client program's name. */
export function managerOf({ headers, user }: Exchange, asked: string): string {
  if (asked !== '') return asked
  const agent = headers['user-agent']
  if (agent !== undefined) return agent.split('/', 1)[0]!.slice(0, 128) || 'unknown'
  return user?.name.split(':').at(-1)?.slice(0, 128) || 'unknown'
}

interface AdmissionOptions {
  readonly dryRun: boolean
  /** Who only connects has none. */
  readonly asObject: JsonObject | undefined
}

/** What admission needs to know of where a request goes. */
export type AdmissionTarget = Omit<WriteTarget, 'collection'>

/** The options of what is done, whatever was asked: a patch updates, and an apply or a PUT may create. */
function optionsFor(operation: AdmissionRequest['operation'], options: JsonObject): JsonObject {
  if (operation === 'DELETE') return options
  const { force: _, ...rest } = options
  return { ...rest, kind: operation === 'CREATE' ? 'CreateOptions' : 'UpdateOptions' }
}

function admissionRequest(
  { exchange, definition, namespace, subresource }: AdmissionTarget,
  operation: AdmissionRequest['operation'],
  name: string,
  options: AdmissionOptions,
  objects: { readonly object?: JsonObject; readonly old?: KubeObject },
  replace: AdmissionRequest['replace'],
): AdmissionRequest {
  return {
    operation,
    definition,
    subresource,
    namespace,
    name,
    user: requireUser(exchange),
    dryRun: options.dryRun,
    ...objects,
    ...(options.asObject === undefined ? {} : { options: optionsFor(operation, options.asObject) }),
    warn: (text) => void exchange.warnings.push(text),
    annotate: (key, value) => void ((exchange.auditAnnotations ??= {})[key] = value),
    signal: exchange.signal,
    deadline: exchange.deadline,
    trace: exchange.trace,
    replace,
    rounds: { isSecond: false, again: false },
  }
}

/** Gives an object another's fields; it and its metadata stay the same JavaScript objects, which others hold. */
function become(object: JsonObject, next: JsonObject): void {
  const { metadata } = object
  for (const key in object) if (key !== 'metadata') delete object[key]
  if (!isObject(metadata) || !isObject(next['metadata'])) {
    Object.assign(object, next)
    return
  }
  for (const key in metadata) delete metadata[key]
  Object.assign(metadata, next['metadata'])
  Object.assign(object, next, { metadata })
}

/** For objects of the resource's own kind. */
const replaceTyped =
  (
    { codec }: Writer,
    { definition }: WriteTarget,
    object: JsonObject,
  ): AdmissionRequest['replace'] =>
  (next) => {
    const expected = kindOf(definition)
    const { object: shaped } = codec.shape(next, expected, false)
    checkKind(shaped, expected)
    definition.defaults(shaped)
    become(object, shaped)
  }

/** Admission of what has no object of its own to change: deletes, connects, small subresources. */
export async function admitOnly(
  writer: Writer,
  target: AdmissionTarget,
  operation: AdmissionRequest['operation'],
  name: string,
  options: AdmissionOptions,
  objects: { readonly object?: JsonObject; readonly old?: KubeObject },
): Promise<void> {
  const { object } = objects
  const request = admissionRequest(target, operation, name, options, objects, (next) => {
    if (object !== undefined) become(object, next)
  })
  await mutate(writer, request)
  await admit(writer, request)
}

const metadataOf = (object: JsonObject): JsonObject => object['metadata'] as JsonObject

/** The namespace of the path is the object's; where there is none, what an object says of one is forgotten. */
export function bindNamespace({ definition, namespace }: WriteTarget, object: JsonObject): void {
  const metadata = metadataOf(object)
  const given = textOf(metadata['namespace'])
  if (!definition.facts.namespaced) {
    delete metadata['namespace']
    return
  }
  if (given !== '' && given !== namespace)
    throw badRequest(
      'the namespace of the provided object does not match the namespace sent on the request',
    )
  metadata['namespace'] = namespace
}

export async function createObject(
  writer: Writer,
  target: WriteTarget,
  object: JsonObject,
  options: WriteOptions,
  { tracked = false, template }: NewObjectOptions = {},
): Promise<Outcome> {
  const { definition, exchange, namespace } = target
  const { env } = writer
  const metadata = metadataOf(object)
  bindNamespace(target, object)
  const saysWhen = /^0*[1-9][0-9]*$/.test(textOf(metadata['resourceVersion']))
  for (const field of SERVER_FIELDS) delete metadata[field]
  if (template === undefined) definition.defaults(object)
  else definition.defaultsOfMetadata?.(metadata)
  const now = env.clock.now()
  dedupOwners(metadata, 'request', exchange)
  if (!tracked) {
    const manager = managerOf(exchange, options.fieldManager)
    writer.codec.trackUpdate(definition, undefined, template?.viewWith(metadata) ?? object, {
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
    { object },
    replaceTyped(writer, target, object),
  )
  await mutate(writer, request)
  dedupOwners(metadata, 'admission', exchange)
  // A webhook may have meant another one.
  bindNamespace(target, object)

  metadata['uid'] = env.random.uuid()
  metadata['creationTimestamp'] = timestamp(now)
  if (definition.hasGeneration) metadata['generation'] = 1
  const context = { user: requireUser(exchange), now, subresource: target.subresource }
  definition.prepareForCreate(object, context)

  // Other endpoints put back the old spec, which is shared.
  const allocator = target.subresource === '' ? writer.allocators[idOf(definition)] : undefined
  for (let attempt = 1; ; attempt++) {
    if (isGenerated) {
      metadata['name'] = generatedName(generateName, () => env.random.next())
      // Some defaults come from the name.
      if (template === undefined) definition.defaults(object)
    }
    const name = textOf(metadata['name'])
    // From here on it is only read, but where something is given out to it.
    const sharing = allocator === undefined ? template : undefined
    const known = sharing?.shared(object)
    const created = known ?? object
    const problems = [
      ...validateMetadata(metadata, definition.facts, namespace),
      ...definition.validate(created),
    ]
    if (problems.length > 0) throw invalid(definition.facts, name || generateName, problems)
    if (attempt === 1)
      for (const text of definition.warnings(created, undefined)) exchange.warnings.push(text)
    const giveBack = allocator?.assign(created, undefined, options)
    let done = false
    try {
      await admit(writer, { ...request, name, object: created })
      // It is the store that refuses this, after all others.
      if (saysWhen && !options.dryRun)
        throw new StatusError('', 'resourceVersion should not be set on objects to be created')
      if (known === undefined) sharing?.keep(object)
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
  const stored = toStored(await storedForm(definition, object))
  const { bytes } = stored
  collection.cache.offer(key, bytes, stored.object as unknown as KubeObject)
  const origin = originOf(writer, target)
  const write = await commit(writer, target, () => collection.create(key, bytes, origin))
  return write.ok ? storedOutcome(target, key, stored, write.revision, true) : undefined
}

/** The store is there for others too: what it cannot do is told as an error of the server. */
export async function commit(
  { env: { tracing } }: Writer,
  { exchange: { trace } }: WriteTarget,
  write: () => Promise<Write>,
): Promise<Write> {
  try {
    const done = await (trace?.part('store', write) ?? write())
    // What others do because of it belongs to the same trace.
    if (done.ok && trace?.span !== undefined) tracing?.wrote(done.revision, trace.span)
    return done
  } catch (error) {
    if (error instanceof StatusError) throw error
    throw internalError(
      `the store could not write: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
}

async function storedOutcome(
  { definition, collection }: WriteTarget,
  key: string,
  { object: stored, bytes }: Stored,
  revision: number,
  created: boolean,
): Promise<Outcome> {
  const shared = (): KubeObject => {
    const entry = collection.cache.get(key)
    // The cache's own is shared by everyone who reads it next.
    return entry?.modified === revision ? entry.object : withRevision(stored, revision)
  }
  const ahead = definition.convert?.ahead
  // A webhook may make more of an object on its way back than went in.
  const ready = ahead && (await convertedBack(ahead, shared()))
  return {
    type: 'stored',
    created,
    bytes,
    revision,
    object: () => shownAs(definition, ready ?? shared()),
  }
}

/** Where a webhook converts: what was just stored, as those see it who read it in this version. */
const convertedBack = async (
  ahead: ConversionAhead,
  object: KubeObject,
): Promise<KubeObject | undefined> =>
  ahead.isNeeded(object) ? (await ahead.fromStorage([object]))[0] : undefined

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

const lines = new WeakMap<Collection, Map<string, Promise<unknown>>>()

/** Work that was too late goes on until it gives something: one after another for each key, in the order in which they came. */
export async function inTurn<T>(
  collection: Collection,
  key: string,
  signal: AbortSignal,
  round: () => Promise<T | undefined>,
): Promise<T> {
  const work = async (): Promise<T> => {
    for (;;) {
      signal.throwIfAborted()
      const done = await round()
      if (done !== undefined) return done
    }
  }
  let line = lines.get(collection)
  if (line === undefined) lines.set(collection, (line = new Map()))
  const mine = (line.get(key) ?? Promise.resolve()).then(work)
  const over = mine.catch(() => undefined)
  line.set(key, over)
  try {
    return await mine
  } finally {
    if (line.get(key) === over) line.delete(key)
  }
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
    writer.codec.trackUpdate(definition, old, object, { manager, now, subresource })
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
    ...validateMetadataUpdate(metadata, old.metadata),
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
  collection.cache.offer(key, bytes, next.object as unknown as KubeObject)
  const write = await commit(writer, target, () =>
    collection.update(key, bytes, entry.modified, origin),
  )
  return write.ok
    ? { outcome: await storedOutcome(target, key, next, write.revision, false) }
    : { current: currentOf(collection, write) }
}

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

/** As the store of Kubernetes tells it. */
const staleIdentity = (key: string, what: string, wanted: string, found: string): string =>
  `StorageError: invalid object, Code: 4, Key: ${key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: ${what} in precondition: ${wanted}, ${what} in object meta: ${found}`

export const uidDiffers = (key: string, wanted: string, found: string): string =>
  staleIdentity(key, 'UID', wanted, found)

export const revisionDiffers = (key: string, wanted: string, found: string): string =>
  staleIdentity(key, 'ResourceVersion', wanted, found)

function checkIdentity(
  { definition }: WriteTarget,
  name: string,
  metadata: JsonObject,
  old: ObjectMeta,
  { key, isPut }: { readonly key: string; readonly isPut: boolean },
): void {
  const { facts } = definition
  const called = textOf(metadata['name'])
  if (called === '') metadata['name'] = name
  else if (called !== name)
    throw badRequest(
      `the name of the object (${called}) does not match the name on the URL (${name})`,
    )
  const given = textOf(metadata['resourceVersion'])
  // Zero is no revision of anything: whatever is there is meant.
  const version = given === '0' ? '' : given
  if (version === '') {
    if (!definition.unconditionalUpdate)
      throw invalid(facts, name, [
        invalidValue(
          FieldPath.of('metadata', 'resourceVersion'),
          0,
          'must be specified for an update',
        ),
      ])
    metadata['resourceVersion'] = old.resourceVersion
  }
  const uid = textOf(metadata['uid'])
  // A patch that changes it meets the validation of metadata.
  if (isPut && uid !== '' && uid !== old.uid)
    throw conflict(facts, name, uidDiffers(key, uid, old.uid))
  if (version !== '' && version !== old.resourceVersion) throw conflict(facts, name, STALE_OBJECT)
}

const OUTSIDE_SPEC: ReadonlySet<string> = new Set(['metadata', 'status', 'kind', 'apiVersion'])
/** Without a status endpoint a custom resource's status is a part like any other. */
const OUTSIDE_ALL: ReadonlySet<string> = new Set(['metadata', 'kind', 'apiVersion'])

function specChanged(
  definition: ResourceDefinition,
  object: JsonObject,
  old: KubeObject,
  subresource: string,
): boolean {
  const hasStatus = definition.facts.subresources?.some(({ name }) => name === 'status') === true
  const outside = definition.isCustom === true && !hasStatus ? OUTSIDE_ALL : OUTSIDE_SPEC
  if (!sameFields(object, old as unknown as JsonObject, outside)) return true
  // A deployment's annotations go to its replica sets: its controller has something to do.
  return (
    idOf(definition) === 'deployments.apps' &&
    subresource === '' &&
    !sameJson(metadataOf(object)['annotations'] ?? {}, old.metadata.annotations ?? {})
  )
}

const METADATA: ReadonlySet<string> = new Set(['metadata'])
const NOT_COMPARED: ReadonlySet<string> = new Set(['resourceVersion', 'managedFields'])

/** Whether writing would change nothing but the times in managedFields. */
function saysTheSame(stored: JsonObject, old: KubeObject): boolean {
  const before = old as unknown as JsonObject
  const metadata = metadataOf(stored)
  const metadataBefore = metadataOf(before)
  return (
    sameFields(metadata, metadataBefore, NOT_COMPARED) &&
    sameFields(stored, before, METADATA) &&
    sameManagers(metadata['managedFields'], metadataBefore['managedFields'])
  )
}

const TIME: ReadonlySet<string> = new Set(['time'])

function sameManagers(a: unknown, b: unknown): boolean {
  const now = (a ?? []) as readonly JsonObject[]
  const before = (b ?? []) as readonly JsonObject[]
  return (
    now.length === before.length &&
    now.every((each, i) => sameFields(each, before[i] as JsonObject, TIME))
  )
}
