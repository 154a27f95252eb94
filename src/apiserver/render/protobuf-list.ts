/** A list in protobuf, its items encoded a few at a time, so that a long one holds up nobody. */
import type { Turn } from '#base'
import type { JsonObject } from '#machinery'
import type { StoredEntry } from '../collection.ts'
import type { ItemEncoder } from '../codec/index.ts'
import { ChunkWriter } from '../json-bytes.ts'

const MAGIC = Buffer.from([0x6b, 0x38, 0x73, 0x00])
const encoder = new TextEncoder()

/**
 * Encoded items that lists hold until they are sent, all lists together. Beyond, items are encoded once to know
 * their size, and again to be sent: so much memory at once makes the collector stop everything.
 */
const MOST_HELD_BYTES = 64 * 1024 * 1024
/** Longer lists hold nothing. */
const MOST_HELD_ITEMS = 20_000
let heldBytes = 0

const varintBytes = (value: number): number => {
  let count = 1
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 128)) count++
  return count
}

/** Gives the place after it. */
function putVarint(target: Uint8Array, start: number, value: number): number {
  let at = start
  let rest = value
  while (rest > 0x7f) {
    target[at++] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  target[at++] = rest
  return at
}

function putField(writer: ChunkWriter, number: number, content: Uint8Array): void {
  putHead(writer, number, content.length)
  writer.bytes(content)
}

function putHead(writer: ChunkWriter, number: number, length: number): void {
  const target = writer.reserve(MOST_HEAD_BYTES)
  const { position } = writer
  target[position] = (number << 3) | 2
  writer.advance(putVarint(target, position + 1, length))
}
const MOST_HEAD_BYTES = 11

/** In the envelope: kind and version in field 1, the list's message in field 2; in it metadata 1 and items 2. */
export async function* protobufList(
  list: { readonly kind: string; readonly apiVersion: string; readonly metadata: JsonObject },
  entries: readonly StoredEntry[],
  encode: ItemEncoder,
  turn: Turn,
  mostHeldBytes = MOST_HELD_BYTES,
): AsyncGenerator<Uint8Array> {
  const items: (Uint8Array | undefined)[] = []
  let ownBytes = 0
  try {
    // The length of all comes first.
    let length = 0
    for (const entry of entries) {
      const isHeld = entries.length <= MOST_HELD_ITEMS && heldBytes < mostHeldBytes
      const bytes = isHeld ? encode.item(entry) : encode.passing(entry)
      length += 1 + varintBytes(bytes.length) + bytes.length
      items.push(isHeld ? bytes : undefined)
      if (isHeld) {
        heldBytes += bytes.length
        ownBytes += bytes.length
      }
      if (turn.isOver()) await turn.next()
    }
    const metadata = encode.metadata(list.metadata)
    const writer = new ChunkWriter()
    writer.bytes(MAGIC)
    const [apiVersion, kind] = [encoder.encode(list.apiVersion), encoder.encode(list.kind)]
    const sizeOf = ({ length: size }: Uint8Array): number => 1 + varintBytes(size) + size
    putHead(writer, 1, sizeOf(apiVersion) + sizeOf(kind))
    putField(writer, 1, apiVersion)
    putField(writer, 2, kind)
    putHead(writer, 2, sizeOf(metadata) + length)
    putField(writer, 1, metadata)
    for (const [i, entry] of entries.entries()) {
      putField(writer, 2, items[i] ?? encode.passing(entry))
      if (turn.isOver()) await turn.next()
      const full = writer.take()
      if (full.length === 0) continue
      yield* full
      await turn.next()
    }
    writer.bytes(TAIL)
    yield* writer.finish()
  } finally {
    heldBytes -= ownBytes
  }
}

/** Content encoding and type, both empty. */
const TAIL = Uint8Array.of(0x1a, 0x00, 0x22, 0x00)
