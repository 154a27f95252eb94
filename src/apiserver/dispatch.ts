/** From a request that may happen to the one function that does it. */
import { deprecationWarning } from '#api'
import type { Env } from '#base'
import {
  StatusError,
  apiVersionOf,
  badRequest,
  matchesFields,
  matchesLabels,
  notFound,
  parseFieldSelector,
  parseLabelSelector,
  type JsonObject,
  type KubeObject,
  type ResourceDefinition,
  type SubresourceFact,
} from '#machinery'
import { kindOf, readDeleteOptions, readNewObject, readObject, type ExpectedKind } from './body.ts'
import type { Codec } from './codec.ts'
import { readyEntries, readyEntry, shownAs, type Collection } from './collection.ts'
import { connectOptions } from './connect-options.ts'
import type { Exchange, Handler, Reply, RequestInfo } from './exchange.ts'
import { textOf } from './json.ts'
import { keyFor } from './keys.ts'
import { negotiate, NO_SHAPES } from './negotiate.ts'
import {
  parseDeleteOptions,
  type DeleteOptions,
  parseListOptions,
  parseWriteOptions,
  type WriteOptions,
} from './options.ts'
import type { RequestMetrics } from './metrics.ts'
import { BINDING, EVICTION, bindPod, evictPod } from './pod-subresources.ts'
import { getEntry, listEntries, type ReadContext } from './reads.ts'
import type { Registry, Served } from './registry.ts'
import {
  entryReply,
  listKindOf,
  objectReply,
  withoutKind,
  writtenReply,
  type RenderContext,
} from './render.ts'
import { listReply } from './render-list.ts'
import { isInProcess, successStatus, valueReply } from './replies.ts'
import { SCALE, SCALE_COLUMNS, scaleOf, scaled } from './scale.ts'
import type { Extensions } from './server.ts'
import { watchReply } from './watch.ts'
import {
  admitOnly,
  applyScale,
  bindNamespace,
  createObject,
  deleteObject,
  deletedStatus,
  formed,
  idOf,
  patchObject,
  patchType,
  patched,
  readPatch,
  returnsObject,
  updateObject,
  type AdmissionTarget,
  type Outcome,
  type WriteTarget,
  type Writer,
} from './writes/index.ts'

export interface Dispatcher {
  readonly env: Pick<Env, 'clock' | 'random' | 'log' | 'metrics'>
  readonly codec: Codec
  readonly registry: Registry
  readonly writer: Writer
  readonly metrics: RequestMetrics
  readonly extensions: () => Extensions
}

interface Call extends Dispatcher {
  readonly exchange: Exchange
  readonly info: RequestInfo
  readonly definition: ResourceDefinition
  readonly namespace: string
}

export const pathNotFound = (): StatusError =>
  new StatusError('NotFound', 'the server could not find the requested resource', { details: {} })

export const methodNotAllowed = (): StatusError =>
  new StatusError(
    'MethodNotAllowed',
    'the server does not allow this method on the requested resource',
    { details: {} },
  )

/** Serves everything below /api and /apis that names a resource. */
export const resourceHandler =
  (dispatcher: Dispatcher): Handler =>
  async (exchange) => {
    const { info } = exchange
    if (info === undefined) throw pathNotFound()
    const served = dispatcher.registry.get(info.group, info.version, info.resource)
    if (served === undefined) throw pathNotFound()
    const { definition, collection } = served
    const deprecated = definition.deprecation ?? deprecationWarning(definition.facts)
    if (deprecated !== undefined) {
      exchange.warnings.push(deprecated)
      dispatcher.metrics.deprecated(info)
    }
    const { facts } = definition
    if (
      facts.namespaced
        ? info.namespace === '' && info.name !== '' && !isSelected(exchange)
        : isMisplaced(info)
    )
      throw pathNotFound()
    const call: Call = {
      ...dispatcher,
      exchange,
      info,
      definition,
      namespace: facts.namespaced ? info.namespace : '',
    }
    // Nobody routes it but proxies, and what definitions have brought.
    const isHead = exchange.method === 'HEAD' && info.subresource !== 'proxy'
    if (isHead && definition.isCustom !== true) throw methodNotAllowed()
    if (info.subresource !== '') return subresource(call, served)
    if (collection === undefined) return virtual(call)
    await collection.ready
    return mainResource(call, collection)
  }

/** A name that a field selector gave, not the path. */
const isSelected = ({ info }: Exchange): boolean =>
  info?.verb === 'list' || info?.verb === 'watch' || info?.verb === 'deletecollection'

/** A namespace in the path of something that is in none; a namespace's own path names itself. */
const isMisplaced = ({ namespace, resource, group }: RequestInfo): boolean =>
  namespace !== '' && !(resource === 'namespaces' && group === '')

const rendering = ({ codec, exchange, definition, env }: Call): RenderContext => ({
  codec,
  exchange,
  definition,
  clock: env.clock,
})
const reading = ({ definition, exchange, env }: Call, collection: Collection): ReadContext => ({
  definition,
  collection,
  clock: env.clock,
  signal: exchange.signal,
})
const writing = (call: Call, collection: Collection): WriteTarget => ({
  exchange: call.exchange,
  definition: call.definition,
  collection,
  namespace: call.namespace,
  subresource: call.info.subresource,
})

async function mainResource(call: Call, collection: Collection): Promise<Reply> {
  const { exchange, info, definition, namespace, writer, codec } = call
  const { verbs, namespaced } = definition.facts
  const { verb, name } = info
  if (!verbs.includes(verb)) throw methodNotAllowed()
  // Across namespaces one can only look; what a definition has brought has no other paths.
  if (namespaced && namespace === '' && verb !== 'list' && verb !== 'watch')
    throw definition.isCustom === true ? pathNotFound() : methodNotAllowed()
  switch (verb) {
    case 'get': {
      const entry = await getEntry(
        reading(call, collection),
        namespace,
        name,
        exchange.query.get('resourceVersion') ?? '',
      )
      return entryReply(rendering(call), 200, await readyEntry(definition, entry))
    }
    case 'list': {
      const page = await listEntries(
        reading(call, collection),
        namespace,
        parseListOptions(exchange.query, false),
      )
      call.metrics.listed(definition.facts, page.entries.length)
      return listReply(rendering(call), page)
    }
    case 'watch':
      return watchReply(
        { ...call, collection },
        namespace,
        // A selector's name is the selector's business.
        exchange.query.has('fieldSelector') ? '' : name,
      )
    case 'create': {
      if (name !== '') throw methodNotAllowed()
      const options = parseWriteOptions(exchange.query, 'CreateOptions')
      const { object, template } = await readNewObject(
        codec,
        exchange,
        kindOf(definition),
        options.fieldValidation,
      )
      const target = writing(call, collection)
      const outcome = await createObject(writer, target, object, options, { template })
      return outcomeReply(call, outcome)
    }
    case 'update': {
      if (name === '') throw methodNotAllowed()
      return outcomeReply(call, await putObject(call, collection))
    }
    case 'patch': {
      if (name === '') throw methodNotAllowed()
      const options = patchOptions(call)
      const target = writing(call, collection)
      return outcomeReply(call, await patchObject(writer, target, name, options))
    }
    case 'delete': {
      const options = parseDeleteOptions(await readDeleteOptions(codec, exchange), exchange.query)
      const deleted = await deleteObject(writer, writing(call, collection), name, options)
      return deleteReply(call, deleted, options)
    }
    case 'deletecollection':
      return deleteCollection(call, collection)
    default:
      throw methodNotAllowed()
  }
}

const patchOptions = ({ exchange, definition }: Call): WriteOptions =>
  parseWriteOptions(exchange.query, 'PatchOptions', patchType(exchange, definition) === 'apply')

async function putObject(call: Call, collection: Collection): Promise<Outcome> {
  const { exchange, definition, info, writer, codec } = call
  const options = parseWriteOptions(exchange.query, 'UpdateOptions')
  const expected = kindOf(definition)
  const read = (validation = options.fieldValidation) =>
    readObject(codec, exchange, expected, validation)
  const first = await read()
  const creates = definition.createOnUpdate && info.subresource === ''
  return updateObject(
    writer,
    writing(call, collection),
    info.name,
    {
      // An attempt that lost its race has worked on its object: the next one needs it fresh.
      next: (_old, attempt) => (attempt === 1 ? first : read('Ignore')),
      ...(creates ? { absent: () => first } : {}),
      isPut: true,
    },
    options,
  )
}

function outcomeReply(call: Call, outcome: Outcome): Reply {
  const context = rendering(call)
  switch (outcome.type) {
    case 'stored':
      return writtenReply(
        context,
        outcome.created ? 201 : 200,
        outcome.bytes,
        outcome.revision,
        outcome.object,
      )
    case 'unchanged':
      return call.definition.convert?.ahead === undefined
        ? entryReply(context, 200, outcome.entry)
        : objectReply(context, 200, outcome.object())
    case 'value':
      return objectReply(context, outcome.created ? 201 : 200, outcome.object())
  }
}

function deleteReply(
  call: Call,
  deleted: Awaited<ReturnType<typeof deleteObject>>,
  { asObject }: Pick<DeleteOptions, 'asObject'>,
): Reply {
  if (!deleted.gone) {
    const reply = outcomeReply(call, deleted.outcome)
    // Only who asks in the old way for the dependents to go learns that the object has to wait.
    return asObject['orphanDependents'] === false ? { ...reply, status: 202 } : reply
  }
  if (returnsObject(call.definition)) return objectReply(rendering(call), 200, deleted.object)
  return plainReply(call, 200, deletedStatus(call.definition, deleted.object))
}

/** An answer that has no other shape. */
function plainReply({ codec, exchange }: Call, status: number, value: unknown): Reply {
  if (isInProcess(exchange)) return { status, headers: {}, value }
  const { encoding } = negotiate(exchange.headers['accept'], STATUS_SHAPES)
  return valueReply(codec, exchange, status, value, encoding)
}
/** Who asks for a table of what is deleted is given the Status as it is. */
const STATUS_SHAPES = { Table: 'object', PartialObjectMetadata: 'object' } as const

/** Deletes of one collection that are under way at once. */
const DELETE_WORKERS = 16

async function deleteCollection(call: Call, collection: Collection): Promise<Reply> {
  const { exchange, namespace, writer, codec, definition } = call
  const options = parseDeleteOptions(await readDeleteOptions(codec, exchange), exchange.query)
  const page = await listEntries(
    reading(call, collection),
    namespace,
    parseListOptions(exchange.query, false),
  )
  const target = writing(call, collection)
  const waiting = page.entries[Symbol.iterator]()
  const worker = async (): Promise<void> => {
    for (const entry of waiting) {
      const { metadata } = entry.object
      const each = { ...target, namespace: metadata.namespace ?? '' }
      try {
        await deleteObject(writer, each, metadata.name, options, '')
      } catch (error) {
        // Somebody else was faster: it is gone as asked.
        if (!(error instanceof StatusError) || error.reason !== 'NotFound') throw error
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(DELETE_WORKERS, page.entries.length) }, worker))
  const ready = await readyEntries(definition, page.entries)
  const items = ready.map((entry) => shownAs(definition, entry.object))
  const list = {
    kind: listKindOf(definition),
    apiVersion: apiVersionOf(definition.facts),
    metadata: { resourceVersion: String(page.revision) },
    items,
  }
  if (isInProcess(exchange)) return { status: 200, headers: {}, value: list }
  return listReply(rendering(call), {
    ...page,
    entries: ready,
    continue: undefined,
    remaining: undefined,
  })
}

// --- Subresources ---------------------------------------------------------------------------------

async function subresource(call: Call, served: Served): Promise<Reply> {
  const { info, definition, namespace } = call
  const { collection } = served
  const fact = definition.facts.subresources?.find((each) => each.name === info.subresource)
  if (fact === undefined || collection === undefined) throw pathNotFound()
  await collection.ready
  const id = `${idOf(definition)}/${fact.name}`
  if (fact.connect === true || id === 'pods/log') return connect(call, collection, fact, id)
  if (!fact.verbs.includes(info.verb)) throw methodNotAllowed()
  switch (id) {
    case 'pods/binding':
      return binding(call, collection, info.name)
    case 'pods/eviction':
      return eviction(call, collection)
    case 'serviceaccounts/token':
      return token(call, collection)
  }
  if (fact.name === 'scale') return scale(call, collection)
  switch (info.verb) {
    case 'get': {
      const entry = await getEntry(reading(call, collection), namespace, info.name)
      return entryReply(rendering(call), 200, await readyEntry(call.definition, entry))
    }
    case 'update':
      return outcomeReply(call, await putObject(call, collection))
    case 'patch':
      return outcomeReply(
        call,
        await patchObject(call.writer, writing(call, collection), info.name, patchOptions(call)),
      )
    default:
      throw methodNotAllowed()
  }
}

const CONNECT_METHODS: Readonly<Record<string, readonly string[]>> = { log: ['GET'] }

async function connect(
  call: Call,
  collection: Collection,
  fact: SubresourceFact,
  id: string,
): Promise<Reply> {
  const { exchange, info, definition, namespace, writer } = call
  // Proxies pass on whatever is asked; the others are opened, and a log is read.
  const methods = CONNECT_METHODS[fact.name] ?? ['GET', 'POST']
  if (fact.name !== 'proxy' && !methods.includes(exchange.method)) throw methodNotAllowed()
  const handler = call.extensions().connect?.[id]
  if (handler === undefined)
    throw new StatusError('ServiceUnavailable', `this server has no ${id}: it runs without nodes`)
  if (fact.hasPath !== true && info.rest !== '' && info.rest !== '/') throw pathNotFound()
  const entry = collection.cache.get(keyFor(collection.prefix, namespace, info.name))
  const isProxy = fact.name === 'proxy'
  if (entry === undefined && !isProxy) throw notFound(definition.facts, info.name)
  if (fact.name !== 'log')
    await admitOnly(
      writer,
      writing(call, collection),
      'CONNECT',
      info.name,
      { dryRun: false, asObject: undefined },
      {
        object: connectOptions(fact, exchange.query, info.rest),
      },
    )
  return handler(exchange, {
    definition,
    namespace,
    name: info.name,
    subresource: fact.name,
    rest: info.rest,
    object: entry?.object,
  })
}

async function binding(
  call: Call,
  collection: Collection,
  name: string,
  asked?: AdmissionTarget,
): Promise<Reply> {
  const { exchange, writer, codec } = call
  const options = parseWriteOptions(exchange.query, 'CreateOptions')
  const object = await readObject(codec, exchange, BINDING, options.fieldValidation)
  const target = { ...writing(call, collection), subresource: 'binding' }
  bindNamespace(target, object)
  const podName = name === '' ? textOf((object['metadata'] as JsonObject)['name']) : name
  await bindPod(writer, target, podName, object, options, asked)
  return plainReply(call, 201, successStatus())
}

async function eviction(call: Call, collection: Collection): Promise<Reply> {
  const { exchange, writer, codec, registry, info } = call
  const options = parseWriteOptions(exchange.query, 'CreateOptions')
  const object = await readObject(codec, exchange, EVICTION, options.fieldValidation)
  const target = writing(call, collection)
  bindNamespace(target, object)
  await evictPod(writer, registry, target, info.name, object, options)
  return plainReply(call, 201, successStatus())
}

const TOKEN_REQUEST: ExpectedKind = {
  group: 'authentication.k8s.io',
  version: 'v1',
  kind: 'TokenRequest',
  type: 'io.k8s.api.authentication.v1.TokenRequest',
}

async function token(call: Call, collection: Collection): Promise<Reply> {
  const { exchange, writer, codec, info, namespace } = call
  const { issueToken } = call.extensions()
  if (issueToken === undefined)
    throw new StatusError('ServiceUnavailable', 'this server has no key to sign tokens with')
  const options = parseWriteOptions(exchange.query, 'CreateOptions')
  const request = await readObject(codec, exchange, TOKEN_REQUEST, options.fieldValidation)
  const target = writing(call, collection)
  bindNamespace(target, request)
  const account = await getEntry(reading(call, collection), namespace, info.name)
  await admitOnly(writer, target, 'CREATE', info.name, options, { object: request })
  return plainReply(call, 201, await issueToken(exchange, account.object, request))
}

async function scale(call: Call, collection: Collection): Promise<Reply> {
  const { exchange, info, definition, namespace, writer, codec } = call
  // A scale is a type of the server whatever it scales: it has a form in protobuf, and columns of its own.
  const columns = { ...definition, isCustom: false, columns: SCALE_COLUMNS }
  const reply = (object: KubeObject): Reply =>
    objectReply({ ...rendering(call), definition: columns }, 200, scaleOf(definition, object))
  if (info.verb === 'get') {
    const entry = await getEntry(reading(call, collection), namespace, info.name)
    return reply(shownAs(definition, (await readyEntry(definition, entry)).object))
  }
  const target = writing(call, collection)
  if (info.verb === 'update') {
    const options = parseWriteOptions(exchange.query, 'UpdateOptions')
    const wanted = await readObject(codec, exchange, SCALE, options.fieldValidation)
    const given = (wanted['metadata'] as JsonObject)['name']
    if (given !== undefined && given !== '' && given !== info.name)
      throw badRequest(
        `the name of the object (${textOf(given)}) does not match the name on the URL (${info.name})`,
      )
    const outcome = await updateObject(
      writer,
      target,
      info.name,
      { next: (old) => scaled(definition, old, wanted) },
      options,
    )
    return reply(outcome.object())
  }
  const type = patchType(exchange, definition)
  const options = patchOptions(call)
  if (type === 'apply') {
    const outcome = await applyScale(writer, target, info.name, options)
    return reply(outcome.object())
  }
  const { value: patch } = await readPatch(exchange, type)
  const outcome = await updateObject(
    writer,
    target,
    info.name,
    {
      next(old) {
        const now = scaleOf(definition, old)
        // Scales have no lists: a strategic patch is a merge patch here.
        const result = patched(codec, definition, type === 'strategic' ? 'merge' : type, now, patch)
        const wanted = formed(codec, exchange, SCALE, {
          result,
          problems: [],
          validation: options.fieldValidation,
          strategicPatch: type === 'strategic' ? patch : undefined,
        })
        return scaled(definition, old, wanted)
      },
    },
    options,
  )
  return reply(outcome.object())
}

// --- Resources that are answered and not stored -----------------------------------------------------

async function virtual(call: Call): Promise<Reply> {
  const { exchange, info, definition, registry, codec } = call
  const id = idOf(definition)
  const { verbs } = definition.facts
  // What is only answered has no path of its own to name.
  if (info.name !== '' && verbs.every((verb) => verb === 'create')) throw pathNotFound()
  if (!verbs.includes(info.verb)) throw methodNotAllowed()
  if (id === 'bindings') {
    const pods = registry.get('', 'v1', 'pods')
    if (pods?.collection === undefined) throw pathNotFound()
    const podCall = { ...call, definition: pods.definition }
    // Admission sees what was asked for: a binding, and nothing of a pod.
    const asked = { exchange, definition, namespace: call.namespace, subresource: '' }
    return binding(podCall, pods.collection, '', asked)
  }
  if (info.verb === 'get' || info.verb === 'list') return virtualRead(call, id)
  const handler = call.extensions().virtualResources?.[id]
  if (handler === undefined) throw pathNotFound()
  // These answer a question: there is no table of it.
  const { encoding } = isInProcess(exchange)
    ? { encoding: 'json' as const }
    : negotiate(exchange.headers['accept'], NO_SHAPES)
  const options = parseWriteOptions(exchange.query, 'CreateOptions')
  const object = await readObject(codec, exchange, kindOf(definition), options.fieldValidation)
  const given = (object['metadata'] as JsonObject)['namespace']
  if (
    definition.facts.namespaced &&
    given !== undefined &&
    given !== '' &&
    given !== call.namespace
  )
    throw badRequest(
      'the namespace of the provided object does not match the namespace sent on the request',
    )
  const { name } = object['metadata'] as JsonObject
  await admitOnly(
    call.writer,
    { exchange, definition, namespace: call.namespace, subresource: '' },
    'CREATE',
    textOf(name),
    options,
    { object },
  )
  const answer = await handler(exchange, object)
  return valueReply(codec, exchange, 201, answer, encoding)
}

/** By labels, and by the fields that every object has. */
function selected({ query }: Exchange, objects: readonly KubeObject[]): readonly KubeObject[] {
  const labels = parseLabelSelector(query.get('labelSelector') ?? '')
  const fields = parseFieldSelector(query.get('fieldSelector') ?? '')
  if (labels.length === 0 && fields.length === 0) return objects
  return objects.filter(
    ({ metadata }) =>
      matchesLabels(labels, metadata.labels) &&
      matchesFields(fields, {
        'metadata.name': metadata.name,
        'metadata.namespace': metadata.namespace ?? '',
      }),
  )
}

async function virtualRead(call: Call, id: string): Promise<Reply> {
  const { exchange, info, definition, namespace, codec, env } = call
  const source = call.extensions().virtualReads?.[id]
  if (source === undefined) throw pathNotFound()
  const found = await source(exchange, { namespace, name: info.verb === 'get' ? info.name : '' })
  const objects = info.verb === 'get' ? found : selected(exchange, found)
  if (info.verb === 'get') {
    const [object] = objects
    if (object === undefined) throw notFound(definition.facts, info.name)
    return objectReply(rendering(call), 200, object)
  }
  const value = {
    kind: listKindOf(definition),
    apiVersion: apiVersionOf(definition.facts),
    metadata: {},
    items: objects,
  }
  if (isInProcess(exchange)) return { status: 200, headers: {}, value }
  const accepted = negotiate(exchange.headers['accept'], { Table: 'table' })
  const shown =
    accepted.shape === 'table'
      ? codec.table(definition, objects, {}, { now: env.clock.now(), version: accepted.version })
      : { ...value, items: objects.map((each) => withoutKind(definition, each)) }
  return valueReply(codec, exchange, 200, shown, accepted.encoding)
}
