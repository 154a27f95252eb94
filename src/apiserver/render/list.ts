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
import { shownAs } from '../collection.ts'
import type { Reply } from '../exchange.ts'
import { CHUNK_BYTES, ChunkWriter } from '../json-bytes.ts'
import { LIST_SHAPES, MEDIA_TYPES, notAcceptable, negotiate, type Accepted } from '../negotiate.ts'
import { itemWriter, jsonList, metadataWriter, rowWriter } from './json-list.ts'
import { protobufList } from './protobuf-list.ts'
import type { Page } from '../reads/index.ts'
import {
  includeObjectOf,
  listKindOf,
  partial,
  withoutKind,
  type IncludeObject,
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
  if (encoding === 'json' && !isPretty(exchange)) return jsonChunks(context, accepted, page, turn)
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

/** Without line ends, of what is stored as far as that can be. */
function jsonChunks(
  context: RenderContext,
  { shape, version }: Accepted,
  page: Page,
  turn: Turn,
): AsyncGenerator<Uint8Array> {
  const { definition } = context
  if (shape === 'object')
    return jsonList(page.entries, headOf(definition, page), 'items', itemWriter(definition), turn)
  if (shape === 'metadata') {
    const write = metadataWriter(definition, version)
    return jsonList(page.entries, { ...partialHead(page, version) }, 'items', write, turn)
  }
  const { head, options } = tableHead(context, version, page)
  const cellsOf = (object: KubeObject): unknown => {
    const { rows } = context.codec.encoder.table(
      definition,
      [object],
      {},
      {
        ...options,
        includeObject: 'None',
        columnDefinitions: false,
      },
    )
    return (rows as readonly { readonly cells: unknown }[])[0]?.cells
  }
  const write = rowWriter(definition, cellsOf, options)
  return jsonList(page.entries, head, 'rows', write, turn)
}

interface TableHead {
  readonly head: JsonObject
  readonly options: {
    readonly now: Date
    readonly includeObject: IncludeObject
    readonly version: 'v1' | 'v1beta1'
  }
}

/** A table without its rows, and how those are made. */
function tableHead(
  { codec, definition, exchange, clock }: RenderContext,
  version: 'v1' | 'v1beta1',
  page: Page,
): TableHead {
  const options = { now: clock.now(), includeObject: includeObjectOf(exchange.query), version }
  const { rows: _, ...head } = codec.encoder.table(definition, [], listMetaOf(page), options)
  return { head, options }
}

interface Values {
  /** The list without its items. */
  readonly head: JsonObject
  readonly field: 'items' | 'rows'
  readonly items: Iterable<unknown>
}

function valuesOf(context: RenderContext, { shape, version }: Accepted, page: Page): Values {
  const { codec, definition } = context
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
  const { head, options } = tableHead(context, version, page)
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
