/**
 * Stored JSON on its way out without being parsed. Objects are stored without their resourceVersion and
 * always begin `{"kind":…,"apiVersion":…,"metadata":{`: the revision is put in right there.
 */
import {
  apiVersionOf,
  goJson,
  bytesOfShared,
  type JsonObject,
  type KubeObject,
  type ManagedFieldsEntry,
  type ResourceFact,
} from '#machinery'

import { toWireForm } from '#api'
import { isObject } from './json.ts'

const encoder = new TextEncoder()

export interface StoredForm {
  readonly kind: string
  readonly apiVersion: string
  /** `{"kind":"Pod","apiVersion":"v1","metadata":{` */
  readonly head: Uint8Array
}

const forms = new Map<string, StoredForm>()

/** How objects of a kind begin where they are stored. */
export function storedFormOf(facts: Pick<ResourceFact, 'group' | 'version' | 'kind'>): StoredForm {
  const apiVersion = apiVersionOf(facts)
  const id = `${apiVersion}/${facts.kind}`
  let form = forms.get(id)
  if (form === undefined) {
    const head = `{"kind":${JSON.stringify(facts.kind)},"apiVersion":${JSON.stringify(apiVersion)},"metadata":{`
    form = { kind: facts.kind, apiVersion, head: encoder.encode(head) }
    forms.set(id, form)
  }
  return form
}

export interface Stored {
  /** Without its revision. */
  readonly object: JsonObject
  readonly bytes: Uint8Array
}

/**
 * What is stored of an object: the order of the first fields is what `splice` relies on. The bytes have
 * what Go always writes, since they are what clients get; the object, which is for code, has not.
 */
export function toStored({ kind, apiVersion, metadata, ...own }: JsonObject): Stored {
  const { resourceVersion: _, managedFields, ...kept } = metadata as JsonObject
  const object = {
    kind,
    apiVersion,
    metadata: managedFields === undefined ? kept : { ...kept, managedFields },
    ...own,
  }
  const owners = partsOfOwners(managedFields)
  if (owners === undefined)
    return { object, bytes: Buffer.from(goJson(JSON.stringify(toWireForm(object)))) }
  const start = goJson(JSON.stringify({ kind, apiVersion, metadata: kept })).slice(0, -2)
  const comma = start.endsWith('{') ? '' : ','
  const end = bytesOfRest(object)
  const parts = [`${start}${comma}"managedFields":[`, ...owners]
  parts.push(end.length === 1 ? ']}' : ']},', end)
  return { object, bytes: bytesOf(parts) }
}

/** Texts and bytes one after the other: what many objects share need not be encoded for each of them. */
function bytesOf(parts: readonly (string | Uint8Array)[]): Uint8Array {
  let length = 0
  for (const part of parts)
    length += typeof part === 'string' ? Buffer.byteLength(part) : part.length
  const bytes = Buffer.allocUnsafe(length)
  let at = 0
  for (const part of parts)
    if (typeof part === 'string') at += bytes.write(part, at)
    else {
      bytes.set(part, at)
      at += part.length
    }
  return bytes
}

interface Rest {
  readonly object: JsonObject
  readonly bytes: Uint8Array
}

/** By their specs: what was last written of objects with a frozen one. */
const restOfFrozen = new WeakMap<object, Rest>()

/** The JSON of all that follows the metadata, with its closing brace. */
function bytesOfRest(object: JsonObject): Uint8Array {
  const spec = object['spec'] as object | undefined
  const known = spec && restOfFrozen.get(spec)
  if (known !== undefined && hasSameParts(object, known.object)) return known.bytes
  const { kind: _kind, apiVersion: _version, metadata: _metadata, ...rest } = toWireForm(object)
  const bytes = encoder.encode(goJson(JSON.stringify(rest)).slice(1))
  if (spec !== undefined && Object.isFrozen(spec)) {
    // Those that are not frozen may be others' by the next time.
    const { metadata: _, ...parts } = object
    if (Object.values(parts).every((part) => Object.isFrozen(part)))
      restOfFrozen.set(spec, { object: parts, bytes })
  }
  return bytes
}

function hasSameParts(object: JsonObject, parts: JsonObject): boolean {
  let count = 0
  for (const name in object) {
    if (name === 'metadata') continue
    if (object[name] !== parts[name]) return false
    count++
  }
  for (const _ in parts) count--
  return count === 0
}

/** The entries of managedFields as JSON when all their sets are shared ones, whose bytes are at hand: they are half of a new object. */
function partsOfOwners(managedFields: unknown): readonly (string | Uint8Array)[] | undefined {
  if (!Array.isArray(managedFields) || managedFields.length === 0) return undefined
  const parts: (string | Uint8Array)[] = []
  let before = ''
  for (const { fieldsV1, ...entry } of managedFields as ManagedFieldsEntry[]) {
    const bytes = isObject(fieldsV1) ? bytesOfShared(fieldsV1) : undefined
    if (bytes === undefined) return undefined
    parts.push(`${before}${JSON.stringify(entry).slice(0, -1)},"fieldsV1":`, bytes)
    before = '},'
  }
  parts.push('}')
  return parts
}

export function hasHead(bytes: Uint8Array, { head }: StoredForm): boolean {
  const { length } = head
  if (bytes.length <= length + 1 || bytes[length] === CLOSING_BRACE) return false
  // The ends differ first: kinds and versions share their beginnings.
  for (let i = length - 1; i >= 0; i--) if (bytes[i] !== head[i]) return false
  return true
}
const CLOSING_BRACE = 0x7d
const ITEM_HEAD = encoder.encode('{"metadata":{')
const REVISION_HEAD = encoder.encode('"resourceVersion":"')
/** The revision's text, its quote and comma. */
const MOST_REVISION_BYTES = REVISION_HEAD.length + 16 + 2

/** The most bytes that `splice` writes for these. */
export const spliceBound = (bytes: Uint8Array): number => bytes.length + MOST_REVISION_BYTES

/** Copies a stored object that `hasHead` into `target` with its revision; gives the offset after it. */
export function splice(
  target: Buffer,
  at: number,
  bytes: Uint8Array,
  revision: number,
  { head }: StoredForm,
  options: { readonly withKind: boolean },
): number {
  const start = options.withKind ? head : ITEM_HEAD
  const offset = writeStart(target, at, start, revision)
  target.set(bytes.subarray(head.length), offset)
  return offset + bytes.length - head.length
}

/** What comes before the metadata, and its revision. */
function writeStart(target: Buffer, at: number, start: Uint8Array, revision: number): number {
  target.set(start, at)
  let offset = at + start.length
  target.set(REVISION_HEAD, offset)
  offset += REVISION_HEAD.length
  return offset + target.write(`${revision}",`, offset, 'latin1')
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPENING_BRACE = 0x7b

/** Where the metadata of a stored object that `hasHead` is over: the offset after its closing brace. */
export function endOfMetadata(bytes: Uint8Array, { head }: StoredForm): number {
  let at = head.length
  for (let depth = 1; depth > 0 && at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte === QUOTE) {
      for (at++; bytes[at] !== QUOTE && at < bytes.length; at++) if (bytes[at] === BACKSLASH) at++
    } else if (byte === OPENING_BRACE) depth++
    else if (byte === CLOSING_BRACE) depth--
  }
  return at
}

/** Writes what comes before the metadata, its revision, the rest of it and a closing brace; gives the offset after it. */
export function spliceMetadata(
  target: Buffer,
  at: number,
  start: Uint8Array,
  metadata: Uint8Array,
  revision: number,
): number {
  const offset = writeStart(target, at, start, revision)
  target.set(metadata, offset)
  target[offset + metadata.length] = CLOSING_BRACE
  return offset + metadata.length + 1
}

/** One stored object as an answer: with kind, version and revision. */
export function spliced(bytes: Uint8Array, revision: number, form: StoredForm): Uint8Array {
  const target = Buffer.allocUnsafe(spliceBound(bytes) + 1)
  const end = splice(target, 0, bytes, revision, form, { withKind: true })
  target[end] = 0x0a
  return target.subarray(0, end + 1)
}

/** An object that was just stored, as its readers see it. */
export const withRevision = (object: JsonObject, revision: number): KubeObject => ({
  ...object,
  metadata: {
    ...(object['metadata'] as unknown as KubeObject['metadata']),
    resourceVersion: String(revision),
  },
})

/** Gathers pieces into chunks of about this size. */
export const CHUNK_BYTES = 128 * 1024

/** From this size on, what is left of a chunk is handed on as it is; less is copied. */
const COPIED_BELOW = CHUNK_BYTES / 4

/**
 * Chunks whose bytes were sent, for the next ones: new buffers in such numbers would make the engine
 * collect everything, in pauses as long as the heap is large.
 */
const free: Buffer[] = []
const FREE_CHUNKS = 32
/** The memory of all chunks that are lent. */
const lent = new WeakSet<ArrayBufferLike>()

function borrow(): Buffer {
  const chunk = free.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES)
  lent.add(chunk.buffer)
  return chunk
}

/** Whether the bytes should be given back once they are sent. */
export const isLent = ({ buffer }: Uint8Array): boolean => lent.has(buffer)

/** Gives back a chunk that a `ChunkWriter` handed on, when nobody will look at its bytes again. Others are left alone. */
export function giveBack({ buffer }: Uint8Array): void {
  if (!lent.delete(buffer)) return
  if (free.length < FREE_CHUNKS) free.push(Buffer.from(buffer))
}

/** A buffer that is handed on when it is full. Who has sent its bytes should give it back. */
export class ChunkWriter {
  #chunk = borrow()
  #used = 0
  readonly #full: Uint8Array[] = []

  /** Room for `bytes` more at `position`, in a chunk that has it. */
  reserve(bytes: number): Buffer {
    if (this.#used + bytes > this.#chunk.length) {
      if (this.#used > 0) this.#full.push(this.#chunk.subarray(0, this.#used))
      else giveBack(this.#chunk)
      this.#chunk = bytes > CHUNK_BYTES ? Buffer.allocUnsafeSlow(bytes) : borrow()
      this.#used = 0
    }
    return this.#chunk
  }
  get position(): number {
    return this.#used
  }
  /** What was written ends here. */
  advance(to: number): void {
    this.#used = to
  }
  text(text: string): void {
    const bound = text.length * 3
    const chunk = this.reserve(bound)
    this.#used += chunk.write(text, this.#used, 'utf8')
  }
  bytes(bytes: Uint8Array): void {
    const chunk = this.reserve(bytes.length)
    chunk.set(bytes, this.#used)
    this.#used += bytes.length
  }
  /** Full chunks so far. */
  take(): readonly Uint8Array[] {
    return this.#full.length === 0 ? [] : this.#full.splice(0)
  }
  /** Everything that is left. */
  finish(): readonly Uint8Array[] {
    const rest = this.#chunk.subarray(0, this.#used)
    if (rest.length < COPIED_BELOW) {
      if (rest.length > 0) this.#full.push(Buffer.from(rest))
      giveBack(this.#chunk)
    } else this.#full.push(rest)
    this.#used = 0
    this.#chunk = Buffer.alloc(0)
    return this.#full.splice(0)
  }
}
