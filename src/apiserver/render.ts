/** Objects and lists as answers: in the encoding and shape that the client asked for, with as little work as that takes. */
import type { Clock } from '#base'
import { apiVersionOf, type JsonObject, type KubeObject, type ResourceDefinition } from '#machinery'
import type { Codec } from './codec.ts'
import { shownAs, type StoredEntry } from './collection.ts'
import type { Exchange, Reply } from './exchange.ts'
import {
  ChunkWriter,
  hasHead,
  splice,
  spliceBound,
  spliced,
  storedFormOf,
  type StoredForm,
} from './json-bytes.ts'
import { LIST_SHAPES, MEDIA_TYPES, OBJECT_SHAPES, negotiate, type Accepted } from './negotiate.ts'
import type { Page } from './reads.ts'
import { encodeValue, isInProcess, isPretty, utf8 } from './replies.ts'

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
export const includeObjectOf = (query: URLSearchParams): IncludeObject => {
  const asked = query.get('includeObject')
  return asked === 'None' || asked === 'Object' ? asked : 'Metadata'
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
      ? object
      : accepted.shape === 'metadata'
        ? partial(object, accepted.version)
        : codec.table(
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

const listMetaOf = (page: Page): JsonObject => ({
  resourceVersion: String(page.revision),
  ...(page.continue === undefined ? {} : { continue: page.continue }),
  ...(page.remaining === undefined ? {} : { remainingItemCount: page.remaining }),
})

/** Objects of a page are made a few at a time, so that nobody else waits. */
const SLICE = 64
export const pause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function objectsOf(
  definition: ResourceDefinition,
  entries: readonly StoredEntry[],
): Promise<KubeObject[]> {
  const objects: KubeObject[] = []
  for (const [i, entry] of entries.entries()) {
    if (i > 0 && i % SLICE === 0 && entries.length > 4 * SLICE) await pause()
    objects.push(shownAs(definition, entry.object))
  }
  return objects
}

export async function listReply(context: RenderContext, page: Page): Promise<Reply> {
  const { codec, exchange, definition, clock } = context
  const kind = listKindOf(definition)
  const apiVersion = apiVersionOf(definition.facts)
  const metadata = listMetaOf(page)
  if (isInProcess(exchange)) {
    // Parsed objects are at hand mostly; those of a large list that are not are parsed bit by bit.
    const items =
      page.entries.length <= SLICE * 4
        ? page.entries.map((entry) => shownAs(definition, entry.object))
        : await objectsOf(definition, page.entries)
    return { status: 200, headers: {}, value: { kind, apiVersion, metadata, items } }
  }
  const accepted = negotiate(exchange.headers['accept'], LIST_SHAPES, definition)
  const headers = { 'content-type': contentTypeOf(accepted) }
  if (isPlainJson(accepted) && !isPretty(exchange)) {
    const chunks = jsonList(definition, page, metadata)
    return { status: 200, headers, ...(await wholeIfSmall(chunks)) }
  }
  const objects = await objectsOf(definition, page.entries)
  if (accepted.shape === 'object' && accepted.encoding === 'protobuf') {
    const chunks = codec.encodeProtobufList(
      definition,
      { kind, apiVersion, metadata },
      objects,
      pause,
    )
    return { status: 200, headers, ...(await wholeIfSmall(chunks)) }
  }
  const value =
    accepted.shape === 'object'
      ? { kind, apiVersion, metadata, items: objects.map((o) => withoutKind(definition, o)) }
      : accepted.shape === 'metadata'
        ? {
            kind: 'PartialObjectMetadataList',
            apiVersion: `meta.k8s.io/${accepted.version}`,
            metadata,
            items: objects.map((object) => partial(object, accepted.version)),
          }
        : codec.table(definition, objects, metadata, {
            now: clock.now(),
            includeObject: includeObjectOf(exchange.query),
            version: accepted.version,
          })
  return {
    status: 200,
    headers,
    body: encodeValue(codec, value, accepted.encoding, isPretty(exchange)),
  }
}

/** Items of typed lists carry no kind; those of custom resources do. */
export const isBuiltIn = ({ isCustom = false }: ResourceDefinition): boolean => !isCustom

const withoutKind = (definition: ResourceDefinition, object: KubeObject): unknown => {
  if (!isBuiltIn(definition)) return object
  const { kind: _kind, apiVersion: _version, ...rest } = object
  return rest
}

/** One chunk is sent with its length; more than one as they come. */
async function wholeIfSmall(
  chunks: AsyncGenerator<Uint8Array>,
): Promise<Pick<Reply, 'body' | 'compressible'>> {
  const first = await chunks.next()
  if (first.done === true) return { body: new Uint8Array() }
  const second = await chunks.next()
  if (second.done === true) return { body: first.value }
  return { body: following([first.value, second.value], chunks), compressible: true }
}

async function* following(
  ready: readonly Uint8Array[],
  rest: AsyncGenerator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    yield* ready
    yield* rest
  } finally {
    await rest.return(undefined)
  }
}

/** The list's text around the items, which are copied as they are stored. */
async function* jsonList(
  definition: ResourceDefinition,
  page: Page,
  metadata: JsonObject,
): AsyncGenerator<Uint8Array> {
  const form = storedFormOf(definition.facts)
  const withKind = !isBuiltIn(definition)
  const writer = new ChunkWriter()
  const kind = JSON.stringify(listKindOf(definition))
  const apiVersion = JSON.stringify(form.apiVersion)
  writer.text(
    `{"kind":${kind},"apiVersion":${apiVersion},"metadata":${JSON.stringify(metadata)},"items":[`,
  )
  let parsed = 0
  for (const [i, entry] of page.entries.entries()) {
    if (i > 0) writer.text(',')
    if (!writeEntry(writer, definition, entry, form, withKind) && ++parsed % SLICE === 0)
      await pause()
    const full = writer.take()
    if (full.length > 0) {
      yield* full
      // Copying is fast and the other side may be too: others get their turn in between.
      await pause()
    }
  }
  writer.text(']}\n')
  yield* writer.finish()
}

/** Copies the stored bytes when they are what is shown; otherwise makes the object's own. True when copied. */
function writeEntry(
  writer: ChunkWriter,
  definition: ResourceDefinition,
  entry: StoredEntry,
  form: StoredForm,
  withKind: boolean,
): boolean {
  if (definition.convert === undefined) {
    const { bytes } = entry
    if (hasHead(bytes, form)) {
      const target = writer.reserve(spliceBound(bytes))
      writer.advance(splice(target, writer.position, bytes, entry.modified, form, { withKind }))
      return true
    }
  }
  const object = shownAs(definition, entry.object)
  writer.bytes(utf8(JSON.stringify(withKind ? object : withoutKind(definition, object))))
  return false
}

/** One object of a watch, in JSON without a line end. */
export function entryJson(definition: ResourceDefinition, entry: StoredEntry): Uint8Array {
  const form = storedFormOf(definition.facts)
  if (definition.convert === undefined) {
    const { bytes } = entry
    if (hasHead(bytes, form)) return spliced(bytes, entry.modified, form).subarray(0, -1)
  }
  return utf8(JSON.stringify(shownAs(definition, entry.object)))
}

export const entryProtobuf = (
  codec: Codec,
  definition: ResourceDefinition,
  entry: StoredEntry,
): Uint8Array => codec.encodeProtobuf(shownAs(definition, entry.object))
