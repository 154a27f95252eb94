/** A list in protobuf, its items encoded a few at a time, so that a long one holds up nobody. */
import type { JsonObject, KubeObject } from '#machinery'
import { CHUNK_BYTES } from './json-bytes.ts'

const MAGIC = Buffer.from([0x6b, 0x38, 0x73, 0x00])
const encoder = new TextEncoder()
/** Items encoded between two turns of others. */
const SLICE = 64

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

const field = (number: number, content: Uint8Array): Uint8Array =>
  Buffer.concat([varint((number << 3) | 2), varint(content.length), content])

/** In the envelope: kind and version in field 1, the list's message in field 2; in it metadata 1 and items 2. */
export async function* protobufList(
  list: { readonly kind: string; readonly apiVersion: string; readonly metadata: JsonObject },
  objects: readonly KubeObject[],
  encode: {
    readonly metadata: (metadata: JsonObject) => Uint8Array
    readonly item: (object: KubeObject) => Uint8Array
  },
  pause: () => Promise<void>,
): AsyncGenerator<Uint8Array> {
  const items: Uint8Array[] = []
  let length = 0
  for (const [i, object] of objects.entries()) {
    if (i > 0 && i % SLICE === 0) await pause()
    const bytes = encode.item(object)
    const head = Buffer.concat([Uint8Array.of(0x12), varint(bytes.length)])
    items.push(head, bytes)
    length += head.length + bytes.length
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
  for (const part of items) {
    chunk.push(part)
    size += part.length
    if (size < CHUNK_BYTES) continue
    yield Buffer.concat(chunk)
    await pause()
    chunk = []
    size = 0
  }
  yield Buffer.concat([...chunk, tail])
}
