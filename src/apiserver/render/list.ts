/** Lists as answers, in every encoding and shape a few items at a time: a long one holds up nobody. */
import { Turn, type Clock } from '#base'
import { toWireForm } from '#api'
import {
  apiVersionOf,
  goJson,
  type JsonObject,
  type KubeObject,
  type ResourceDefinition,
} from '#machinery'
import { stringify as stringifyYaml } from 'yaml'
import { shownAs, type StoredEntry } from '../collection.ts'
import type { Reply } from '../exchange.ts'
import {
  CHUNK_BYTES,
  ChunkWriter,
  hasHead,
  splice,
  spliceBound,
  storedFormOf,
  type StoredForm,
} from '../json-bytes.ts'
import { LIST_SHAPES, MEDIA_TYPES, notAcceptable, negotiate, type Accepted } from '../negotiate.ts'
import { protobufList } from './protobuf-list.ts'
import type { Page } from '../reads/index.ts'
import {
  includeObjectOf,
  isBuiltIn,
  isPlainJson,
  listKindOf,
  partial,
  withoutKind,
  type RenderContext,
} from './render.ts'
import { isInProcess, isPretty, utf8 } from '../replies.ts'

const listMetaOf = (page: Page): JsonObject => ({
  resourceVersion: String(page.revision),
  ...(page.continue === undefined ? {} : { continue: page.continue }),
  ...(page.remaining === undefined ? {} : { remainingItemCount: page.remaining }),
})

export async function listReply(context: RenderContext, page: Page): Promise<Reply> {
  const { exchange, definition, clock } = context
  const turn = new Turn(clock)
  if (isInProcess(exchange)) {
    const items: KubeObject[] = []
    for (const entry of page.entries) {
      items.push(shownAs(definition, entry.object))
      if (turn.isOver()) await turn.next()
    }
    return { status: 200, headers: {}, value: { ...headOf(definition, page), items } }
  }
  const accepted = negotiate(exchange.headers['accept'], LIST_SHAPES, definition)
  const headers = { 'content-type': MEDIA_TYPES[accepted.encoding] }
  const chunks = chunksOf(context, accepted, page, turn)
  return { status: 200, headers, ...(await wholeIfSmall(chunks, exchange.signal, clock)) }
}

const headOf = (definition: ResourceDefinition, page: Page): JsonObject => ({
  kind: listKindOf(definition),
  apiVersion: apiVersionOf(definition.facts),
  metadata: listMetaOf(page),
})

function chunksOf(
  context: RenderContext,
  accepted: Accepted,
  page: Page,
  turn: Turn,
): AsyncGenerator<Uint8Array> {
  const { codec, definition, exchange } = context
  const { encoding, shape, version } = accepted
  if (isPlainJson(accepted) && !isPretty(exchange))
    return jsonList(definition, page, listMetaOf(page), turn)
  if (encoding === 'protobuf') {
    const encode = codec.encoder.protobufItems(definition, shape)
    if (encode === undefined) throw notAcceptable(['application/json', 'application/yaml'])
    const head =
      shape === 'metadata' ? partialHead(page, version) : (headOf(definition, page) as ListHead)
    return protobufList(head, page.entries, encode, turn)
  }
  const { head, field, items } = valuesOf(context, accepted, page)
  return encoding === 'yaml'
    ? yamlList(head, field, items, turn)
    : textList(head, field, items, isPretty(exchange), turn)
}

type ListHead = Parameters<typeof protobufList>[0]

const partialHead = (page: Page, version: string): ListHead => ({
  kind: 'PartialObjectMetadataList',
  apiVersion: `meta.k8s.io/${version}`,
  metadata: listMetaOf(page),
})

interface Values {
  /** The list without its items. */
  readonly head: JsonObject
  readonly field: 'items' | 'rows'
  readonly items: Iterable<unknown>
}

function valuesOf(
  { codec, definition, exchange, clock }: RenderContext,
  { shape, version }: Accepted,
  page: Page,
): Values {
  const shown = function* (make: (object: KubeObject) => unknown): Generator<unknown> {
    for (const entry of page.entries) yield make(shownAs(definition, entry.object))
  }
  if (shape === 'object')
    return {
      head: headOf(definition, page),
      field: 'items',
      items: shown((object) => withoutKind(definition, toWireForm(object))),
    }
  if (shape === 'metadata')
    return {
      head: { ...partialHead(page, version) },
      field: 'items',
      items: shown((object) => partial(object, version)),
    }
  const options = { now: clock.now(), includeObject: includeObjectOf(exchange.query), version }
  const { rows: _, ...head } = codec.encoder.table(definition, [], listMetaOf(page), options)
  const row = (object: KubeObject): unknown => {
    const { rows } = codec.encoder.table(
      definition,
      [object],
      {},
      { ...options, columnDefinitions: false },
    )
    return (rows as readonly unknown[])[0]
  }
  return { head, field: 'rows', items: shown(row) }
}

/** JSON around the items, with line ends when people are to read it. */
async function* textList(
  head: JsonObject,
  field: string,
  items: Iterable<unknown>,
  pretty: boolean,
  turn: Turn,
): AsyncGenerator<Uint8Array> {
  const indent = pretty ? 2 : undefined
  const writer = new ChunkWriter()
  const open = goJson(JSON.stringify(head, undefined, indent)).slice(0, pretty ? -2 : -1)
  writer.text(`${open}${pretty ? `,\n  "${field}": [` : `,"${field}":[`}`)
  let isFirst = true
  for (const item of items) {
    const text = goJson(JSON.stringify(item, undefined, indent))
    // Texts have no line ends in them: those that are there may be indented.
    const shown = pretty ? `\n    ${text.replaceAll('\n', '\n    ')}` : text
    writer.bytes(utf8(isFirst ? shown : `,${shown}`))
    isFirst = false
    yield* writer.take()
    if (turn.isOver()) await turn.next()
  }
  writer.text(pretty ? `${isFirst ? '' : '\n  '}]\n}\n` : ']}\n')
  yield* writer.finish()
}

const YAML = { aliasDuplicateObjects: false, lineWidth: 0 } as const

async function* yamlList(
  head: JsonObject,
  field: string,
  items: Iterable<unknown>,
  turn: Turn,
): AsyncGenerator<Uint8Array> {
  let text = stringifyYaml(head, YAML)
  let isFirst = true
  for (const item of items) {
    if (isFirst) text += `${field}:\n`
    isFirst = false
    text += stringifyYaml([item], YAML)
    if (text.length >= CHUNK_BYTES) {
      yield utf8(text)
      text = ''
    }
    if (turn.isOver()) await turn.next()
  }
  yield utf8(isFirst ? `${text}${field}: []\n` : text)
}

/** Who takes nothing of a list for so long gets no more of it. */
const STALLED_MS = 60_000

/** One chunk is sent with its length; more than one as they come. */
async function wholeIfSmall(
  chunks: AsyncGenerator<Uint8Array>,
  signal: AbortSignal,
  clock: Clock,
): Promise<Pick<Reply, 'body' | 'compressible' | 'over'>> {
  const first = await chunks.next()
  if (first.done === true) return { body: new Uint8Array() }
  const second = await chunks.next()
  if (second.done === true) return { body: first.value }
  // However it ends, even when nobody has begun to read it: what it holds is needed no more.
  const leave = (): void => void chunks.return(undefined)
  if (signal.aborted) leave()
  else signal.addEventListener('abort', leave, { once: true })
  const stalled = new AbortController()
  const body = following([first.value, second.value], chunks, clock, () => stalled.abort())
  return { body, compressible: true, over: stalled.signal }
}

async function* following(
  ready: readonly Uint8Array[],
  rest: AsyncGenerator<Uint8Array>,
  clock: Clock,
  onStalled: () => void,
): AsyncGenerator<Uint8Array> {
  let cancel = (): void => undefined
  try {
    for (const chunks of [ready, rest])
      for await (const chunk of chunks) {
        cancel = clock.schedule(STALLED_MS, onStalled)
        yield chunk
        cancel()
      }
  } finally {
    cancel()
    await rest.return(undefined)
  }
}

/** The list's text around the items, which are copied as they are stored. */
async function* jsonList(
  definition: ResourceDefinition,
  page: Page,
  metadata: JsonObject,
  turn: Turn,
): AsyncGenerator<Uint8Array> {
  const form = storedFormOf(definition.facts)
  const withKind = !isBuiltIn(definition)
  const writer = new ChunkWriter()
  const kind = JSON.stringify(listKindOf(definition))
  const apiVersion = JSON.stringify(form.apiVersion)
  writer.text(
    `{"kind":${kind},"apiVersion":${apiVersion},"metadata":${JSON.stringify(metadata)},"items":[`,
  )
  for (const [i, entry] of page.entries.entries()) {
    if (i > 0) writer.text(',')
    writeEntry(writer, definition, entry, form, withKind)
    if (turn.isOver()) await turn.next()
    const full = writer.take()
    if (full.length > 0) {
      yield* full
      // Copying is fast and the other side may be too: others get their turn in between.
      await turn.next()
    }
  }
  writer.text(']}\n')
  yield* writer.finish()
}

/** Copies the stored bytes when they are what is shown; otherwise makes the object's own. */
function writeEntry(
  writer: ChunkWriter,
  definition: ResourceDefinition,
  entry: StoredEntry,
  form: StoredForm,
  withKind: boolean,
): void {
  if (definition.convert === undefined) {
    const { bytes } = entry
    if (hasHead(bytes, form)) {
      const target = writer.reserve(spliceBound(bytes))
      writer.advance(splice(target, writer.position, bytes, entry.modified, form, { withKind }))
      return
    }
  }
  const object = toWireForm(shownAs(definition, entry.object))
  const text = JSON.stringify(withKind ? object : withoutKind(definition, object))
  writer.bytes(utf8(goJson(text)))
}
