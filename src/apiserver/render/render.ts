/** Objects as answers: in the encoding and shape that the client asked for, with as little work as that takes. */
import type { Clock } from '#base'
import { toWireForm } from '#api'
import { badRequest, goJson, type KubeObject, type ResourceDefinition } from '#machinery'
import type { Codec } from '../codec/index.ts'
import { shownAs, type StoredEntry } from '../collection.ts'
import type { Exchange, Reply } from '../exchange.ts'
import { hasHead, spliced, storedFormOf } from '../json-bytes.ts'
import { MEDIA_TYPES, OBJECT_SHAPES, negotiate, type Accepted } from '../negotiate.ts'
import { encodeValue, isInProcess, isPretty, utf8 } from '../replies.ts'

export interface RenderContext {
  readonly codec: Codec
  readonly exchange: Exchange
  readonly definition: ResourceDefinition
  readonly clock: Clock
}

/** `Content-Type` of an answer: shapes other than the object name themselves. */
function contentTypeOf({ encoding }: Accepted): string {
  return MEDIA_TYPES[encoding]
}

/** How much of the object each row of a table has. */
export type IncludeObject = 'None' | 'Metadata' | 'Object'
/** Throws 400 for a word that says nothing. */
export const includeObjectOf = (query: URLSearchParams): IncludeObject => {
  const asked = query.get('includeObject') ?? ''
  if (asked === 'None' || asked === 'Object') return asked
  if (asked !== '' && asked !== 'Metadata')
    throw badRequest(
      `Unable to convert to Table as requested: includeObject: Invalid value: ${JSON.stringify(asked)}: must be 'Metadata', 'Object', 'None', or empty`,
    )
  return 'Metadata'
}

/** One object that is stored. */
export function entryReply(context: RenderContext, status: number, entry: StoredEntry): Reply {
  const { exchange, definition } = context
  if (isInProcess(exchange))
    return { status, headers: {}, value: shownAs(definition, entry.object) }
  const accepted = negotiate(exchange.headers['accept'], OBJECT_SHAPES, definition)
  if (isPlainJson(accepted) && definition.convert === undefined && !isPretty(exchange)) {
    const form = storedFormOf(definition.facts)
    const { bytes } = entry
    if (hasHead(bytes, form))
      return {
        status,
        headers: { 'content-type': MEDIA_TYPES.json },
        body: spliced(bytes, entry.modified, form),
      }
  }
  return shapedReply(context, status, shownAs(definition, entry.object), accepted)
}

/** One object that has a value only: a dry run's, a subresource's. */
export function objectReply(context: RenderContext, status: number, object: KubeObject): Reply {
  const { exchange, definition } = context
  if (isInProcess(exchange)) return { status, headers: {}, value: object }
  return shapedReply(
    context,
    status,
    object,
    negotiate(exchange.headers['accept'], OBJECT_SHAPES, definition),
  )
}

/** An object whose stored bytes were just written. */
export function writtenReply(
  context: RenderContext,
  status: number,
  bytes: Uint8Array,
  revision: number,
  object: () => KubeObject,
): Reply {
  const { exchange, definition } = context
  if (isInProcess(exchange)) return { status, headers: {}, value: object() }
  const accepted = negotiate(exchange.headers['accept'], OBJECT_SHAPES, definition)
  if (isPlainJson(accepted) && definition.convert === undefined && !isPretty(exchange))
    return {
      status,
      headers: { 'content-type': MEDIA_TYPES.json },
      body: spliced(bytes, revision, storedFormOf(definition.facts)),
    }
  return shapedReply(context, status, object(), accepted)
}

const isPlainJson = ({ encoding, shape }: Accepted): boolean =>
  encoding === 'json' && shape === 'object'

function shapedReply(
  { codec, exchange, definition, clock }: RenderContext,
  status: number,
  object: KubeObject,
  accepted: Accepted,
): Reply {
  const value =
    accepted.shape === 'object'
      ? // Messages have no nulls.
        accepted.encoding === 'protobuf'
        ? object
        : toWireForm(object)
      : accepted.shape === 'metadata'
        ? partial(object, accepted.version)
        : codec.encoder.table(
            definition,
            [object],
            { resourceVersion: object.metadata.resourceVersion },
            {
              now: clock.now(),
              includeObject: includeObjectOf(exchange.query),
              version: accepted.version,
            },
          )
  return {
    status,
    headers: { 'content-type': contentTypeOf(accepted) },
    body: encodeValue(codec, value, accepted.encoding, isPretty(exchange)),
  }
}

export const partial = (object: KubeObject, version: 'v1' | 'v1beta1'): KubeObject => ({
  kind: 'PartialObjectMetadata',
  apiVersion: `meta.k8s.io/${version}`,
  metadata: object.metadata,
})

/** `PodList`; kinds that are called otherwise say so in their facts. */
export const listKindOf = ({ facts }: ResourceDefinition): string =>
  facts.listType === undefined
    ? `${facts.kind}List`
    : facts.listType.slice(facts.listType.lastIndexOf('.') + 1)

/** Items of typed lists carry no kind; those of custom resources do. */
export const isBuiltIn = ({ isCustom = false }: ResourceDefinition): boolean => !isCustom

export const withoutKind = (definition: ResourceDefinition, object: KubeObject): unknown => {
  if (!isBuiltIn(definition)) return object
  const { kind: _kind, apiVersion: _version, ...rest } = object
  return rest
}

/** One object of a watch, in JSON without a line end. */
export function entryJson(definition: ResourceDefinition, entry: StoredEntry): Uint8Array {
  const form = storedFormOf(definition.facts)
  if (definition.convert === undefined) {
    const { bytes } = entry
    if (hasHead(bytes, form)) return spliced(bytes, entry.modified, form).subarray(0, -1)
  }
  return utf8(goJson(JSON.stringify(toWireForm(shownAs(definition, entry.object)))))
}

export const entryProtobuf = (
  codec: Codec,
  definition: ResourceDefinition,
  entry: StoredEntry,
): Uint8Array => codec.encoder.encodeProtobuf(shownAs(definition, entry.object))
