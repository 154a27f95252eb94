/** A list in protobuf, its items encoded a few at a time, so that a long one holds up nobody. */
import type { Turn } from '#base'
import type { JsonObject } from '#machinery'
import type { StoredEntry } from './collection.ts'
import { CHUNK_BYTES } from './json-bytes.ts'

const MAGIC = Buffer.from([0x6b, 0x38, 0x73, 0x00])
const encoder = new TextEncoder()

/** How the parts of a list become messages. */
export interface ItemEncoder {
  readonly metadata: (metadata: JsonObject) => Uint8Array
  readonly item: (entry: StoredEntry) => Uint8Array
}

function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  while (rest > 0x7f) {
    bytes.push((rest % 128) | 0x80)
    rest = Math.floor(rest / 128)
  }
  bytes.push(rest)
  return Uint8Array.from(bytes)
}

const varintBytes = (value: number): number => {
  let count = 1
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 128)) count++
  return count
}

const field = (number: number, content: Uint8Array): Uint8Array =>
  Buffer.concat([varint((number << 3) | 2), varint(content.length), content])

/** In the envelope: kind and version in field 1, the list's message in field 2; in it metadata 1 and items 2. */
export async function* protobufList(
  list: { readonly kind: string; readonly apiVersion: string; readonly metadata: JsonObject },
  entries: readonly StoredEntry[],
  encode: ItemEncoder,
  turn: Turn,
): AsyncGenerator<Uint8Array> {
  // The length of all comes first.
  const items: Uint8Array[] = []
  let length = 0
  for (const entry of entries) {
    const bytes = encode.item(entry)
    items.push(bytes)
    length += 1 + varintBytes(bytes.length) + bytes.length
    if (turn.isOver()) await turn.next()
  }
  const metadata = field(1, encode.metadata(list.metadata))
  const typeMeta = Buffer.concat([
    field(1, encoder.encode(list.apiVersion)),
    field(2, encoder.encode(list.kind)),
  ])
  const tail = Buffer.from([0x1a, 0x00, 0x22, 0x00])
  let chunk: Uint8Array[] = [
    MAGIC,
    field(1, typeMeta),
    Uint8Array.of(0x12),
    varint(metadata.length + length),
    metadata,
  ]
  let size = 0
  for (const item of items) {
    chunk.push(ITEM, varint(item.length), item)
    size += item.length
    if (size < CHUNK_BYTES) continue
    yield Buffer.concat(chunk)
    await turn.next()
    chunk = []
    size = 0
  }
  yield Buffer.concat([...chunk, tail])
}

const ITEM = Uint8Array.of(0x12)
