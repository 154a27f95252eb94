/**
 * The protobuf form of objects, driven by the field numbers of the facts
 * (`application/vnd.kubernetes.protobuf`): four bytes, an envelope that names the type, and the message.
 */
import type { TypeTable } from '../facts.ts'
import type { JsonObject } from '../object.ts'
import { planOf } from './plan.ts'
import { readMessage } from './read.ts'
import { BYTES, Reader, Writer } from './wire.ts'
import { writeMessage } from './write.ts'
import { badRequest } from '../status.ts'

const MAGIC = Uint8Array.of(0x6b, 0x38, 0x73, 0x00)

/** The whole form of an object: magic, envelope, message. */
export function encodeProtobuf(
  types: TypeTable,
  definition: string,
  object: { readonly apiVersion?: unknown; readonly kind?: unknown },
): Uint8Array {
  const w = shared
  w.clear()
  w.raw(MAGIC)
  w.tag(1, BYTES)
  const typeMeta = w.begin()
  w.tag(1, BYTES)
  w.string(typeof object.apiVersion === 'string' ? object.apiVersion : '')
  w.tag(2, BYTES)
  w.string(typeof object.kind === 'string' ? object.kind : '')
  w.end(typeMeta)
  w.tag(2, BYTES)
  const message = w.begin()
  writeMessage(w, types, planOf(types, definition), object as JsonObject, true)
  w.end(message)
  w.tag(3, BYTES)
  w.string('')
  w.tag(4, BYTES)
  w.string('')
  return w.done()
}

/** Writing ends before anything else begins. */
const shared = new Writer()

/** Only the message, without the envelope: what lists hold. */
export function encodeProtobufMessage(
  types: TypeTable,
  definition: string,
  object: JsonObject,
): Uint8Array {
  return written(types, definition, object).done()
}

/** The same for those who copy it at once: the next message is written over it. */
export const viewProtobufMessage = (
  types: TypeTable,
  definition: string,
  object: JsonObject,
): Uint8Array => written(types, definition, object).view()

function written(types: TypeTable, definition: string, object: JsonObject): Writer {
  shared.clear()
  writeMessage(shared, types, planOf(types, definition), object)
  return shared
}

/** What stands around a message: its kind, and its bytes. */
export interface Envelope {
  readonly apiVersion: string
  readonly kind: string
  readonly raw: Uint8Array
}

/** Opens the envelope. Throws 400 for what is none. */
export function readEnvelope(bytes: Uint8Array): Envelope {
  if (bytes.length < 4 || MAGIC.some((byte, i) => bytes[i] !== byte)) {
    throw badRequest(
      'the body is not in the protobuf form of Kubernetes: it does not begin with "k8s\\0"',
    )
  }
  const r = new Reader(bytes, 4)
  let [apiVersion, kind, raw] = ['', '', new Uint8Array()]
  while (r.more) {
    const key = r.small()
    if (key === 10) {
      const meta = r.message()
      while (meta.more) {
        const inner = meta.small()
        if (inner === 10) apiVersion = meta.string()
        else if (inner === 18) kind = meta.string()
        else meta.skip(inner & 7)
      }
    } else if (key === 18) raw = r.bytes().slice()
    else r.skip(key & 7)
  }
  return { apiVersion, kind, raw }
}

/** The message of a type, with the kind and version of its envelope. */
export function decodeProtobuf(
  types: TypeTable,
  definition: string,
  { apiVersion, kind, raw }: Envelope,
): JsonObject {
  return readMessage(new Reader(raw), types, planOf(types, definition), { kind, apiVersion })
}

/** A message inside another one. */
export const decodeMessage = (
  types: TypeTable,
  definition: string,
  bytes: Uint8Array,
): JsonObject => readMessage(new Reader(bytes), types, planOf(types, definition), {})

/** The metadata of an object and all that follows it; undefined when it does not come first, and once. */
export function splitMetadata(
  raw: Uint8Array,
): { readonly metadata: Uint8Array; readonly rest: Uint8Array } | undefined {
  const r = new Reader(raw)
  if (!r.more || r.small() !== METADATA_KEY) return undefined
  const metadata = r.bytes()
  const rest = raw.subarray(metadata.byteOffset - raw.byteOffset + metadata.byteLength)
  while (r.more) {
    const key = r.small()
    if (key >> 3 === METADATA_KEY >> 3) return undefined
    r.skip(key & 7)
  }
  return { metadata, rest }
}
/** Every object has it as its first field. */
const METADATA_KEY = (1 << 3) | BYTES

/** One event of a watch: its length in 4 bytes, then a bare WatchEvent with the enveloped object inside. */
export function encodeWatchFrame(type: string, object: Uint8Array): Uint8Array {
  const w = new Writer()
  w.tag(1, BYTES)
  w.string(type)
  w.tag(2, BYTES)
  const start = w.begin()
  w.tag(1, BYTES)
  w.varint(object.length)
  w.raw(object)
  w.end(start)
  const event = w.done()
  const frame = new Uint8Array(event.length + 4)
  new DataView(frame.buffer).setUint32(0, event.length)
  frame.set(event, 4)
  return frame
}
