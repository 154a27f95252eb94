/**
 * The protobuf form of objects, driven by the field numbers of the facts
 * (`application/vnd.kubernetes.protobuf`). Fields are written in the order of their numbers; scalars and
 * structs that are not pointers always, even when they are zero; lists of numbers are not packed; the
 * entries of a map are sorted.
 */
import type { FieldFact, SchemaFact, TypeFact, TypeTable } from './facts.ts'
import type { JsonObject } from './object.ts'
import { BYTES, FIXED64, Reader, VARINT, Writer, decodeText } from './protobuf-wire.ts'
import { bytesOfShared } from './shared-fields.ts'
import { badRequest } from './status.ts'

const MAGIC = Uint8Array.of(0x6b, 0x38, 0x73, 0x00)

interface MessagePlan {
  readonly slots: readonly Slot[]
  readonly byNumber: ReadonlyMap<number, Slot>
}
/** A field, or a message that holds fields which JSON has one level up. */
type Slot =
  | {
      readonly number: number
      readonly field: FieldFact
      readonly name: string
      readonly kind: 'field'
      /** A value that is there, as quickly as its type allows. */
      readonly write: (w: Writer, value: unknown) => void
      /** What stands for a value that is not there: always the same bytes. */
      absent: Uint8Array | undefined
    }
  | {
      readonly number: number
      readonly inner: MessagePlan
      readonly kind: 'inner'
      readonly always: boolean
    }

const plans = new WeakMap<TypeTable, Map<string, MessagePlan>>()

function planOf(types: TypeTable, definition: string): MessagePlan {
  let known = plans.get(types)
  if (known === undefined) plans.set(types, (known = new Map()))
  let plan = known.get(definition)
  if (plan === undefined) {
    plan = build(
      types,
      (types[definition]?.fields ?? []).filter((field) => field.via !== 'TypeMeta'),
      0,
    )
    known.set(definition, plan)
  }
  return plan
}

function build(types: TypeTable, fields: readonly FieldFact[], depth: number): MessagePlan {
  const slots: Slot[] = []
  const groups = new Map<number, FieldFact[]>()
  for (const field of fields) {
    const via = field.via === 'TypeMeta' ? undefined : field.via?.[depth]
    if (via === undefined) {
      const { num: number, name } = field
      if (number === undefined) continue
      const write = writerOf(types, field, number)
      slots.push({ kind: 'field', number, field, name, write, absent: undefined })
    } else {
      const group = groups.get(via[1])
      if (group === undefined) groups.set(via[1], [field])
      else group.push(field)
    }
  }
  for (const [number, group] of groups)
    slots.push({ kind: 'inner', number, inner: build(types, group, depth + 1), always: true })
  slots.sort((a, b) => a.number - b.number)
  return { slots, byNumber: new Map(slots.map((slot) => [slot.number, slot])) }
}

const lastName = (definition: string): string => definition.slice(definition.lastIndexOf('.') + 1)

function writeMessage(w: Writer, types: TypeTable, plan: MessagePlan, object: JsonObject): void {
  for (const slot of plan.slots) {
    if (slot.kind === 'inner') {
      w.tag(slot.number, BYTES)
      const start = w.begin()
      writeMessage(w, types, slot.inner, object)
      w.end(start)
      continue
    }
    const value = object[slot.name]
    if (value !== undefined && value !== null) slot.write(w, value)
    else w.few((slot.absent ??= absentOf(types, slot.field, slot.number)))
  }
}

function absentOf(types: TypeTable, field: FieldFact, number: number): Uint8Array {
  const w = new Writer()
  writeField(w, types, field, number, undefined)
  return w.done()
}

/** How values of a field are written, worked out once for the fields that most of all messages consist of. */
function writerOf(
  types: TypeTable,
  field: FieldFact,
  number: number,
): (w: Writer, value: unknown) => void {
  const one = field.type === 'array' ? field.items : field
  const write = one && oneWriterOf(types, one, number, field.proto)
  if (write === undefined) return (w, value) => writeField(w, types, field, number, value)
  if (field.type !== 'array') return write
  return (w, value) => {
    for (const item of value as readonly unknown[]) write(w, item)
  }
}

/** Texts, numbers, truths and messages; undefined of other values, and of what is not what its type says. */
function oneWriterOf(
  types: TypeTable,
  schema: SchemaFact,
  number: number,
  proto: string | undefined,
): ((w: Writer, value: unknown) => void) | undefined {
  const { ref, type } = schema
  const other = (w: Writer, value: unknown): void =>
    writeValue(w, types, schema, number, value, proto)
  if (ref !== undefined) {
    const fact = types[ref]
    if (fact?.alias !== undefined || fact?.scalar !== undefined) return undefined
    let plan: MessagePlan | undefined
    return (w, value) => {
      if (typeof value !== 'object' || value === null) return other(w, value)
      w.tag(number, BYTES)
      const start = w.begin()
      // Types refer to one another, and to themselves.
      writeMessage(w, types, (plan ??= planOf(types, ref)), value as JsonObject)
      w.end(start)
    }
  }
  if (type === 'boolean') return other
  if (type === 'integer')
    return (w, value) => {
      if (typeof value !== 'number') return other(w, value)
      w.tag(number, VARINT)
      w.varint(value)
    }
  if (type !== 'string' || schema.format === 'byte' || proto === 'bytes') return undefined
  return (w, value) => {
    if (typeof value !== 'string') return other(w, value)
    w.tag(number, BYTES)
    w.string(value)
  }
}

function writeField(
  w: Writer,
  types: TypeTable,
  field: FieldFact,
  number: number,
  value: unknown,
): void {
  const target = field.ref === undefined ? undefined : types[field.ref]
  const alias = target?.alias
  if (field.type === 'array') {
    for (const item of (value as readonly unknown[] | null | undefined) ?? [])
      writeValue(w, types, field.items ?? {}, number, item, field.proto)
    return
  }
  if (field.type === 'object') {
    writeMap(
      w,
      types,
      field.values ?? {},
      number,
      value as JsonObject | null | undefined,
      field.proto,
    )
    return
  }
  if (alias !== undefined) {
    // A named list is a message with `repeated … items = 1`.
    if (value === undefined || value === null) {
      if (field.ptr === true || field.omitempty === true) return
    }
    w.tag(number, BYTES)
    writeItems(w, types, alias, value)
    return
  }
  if (value === undefined || value === null) {
    if (field.ptr === true || field.format === 'byte' || field.proto === 'bytes') return
    writeValue(w, types, field, number, undefined, field.proto)
    return
  }
  writeValue(w, types, field, number, value, field.proto)
}

function writeMap(
  w: Writer,
  types: TypeTable,
  values: SchemaFact,
  number: number,
  map: JsonObject | null | undefined,
  proto: string | undefined,
): void {
  const valueProto = valueProtoOf(proto)
  for (const key of sortedKeys(map)) {
    w.tag(number, BYTES)
    const start = w.begin()
    w.tag(1, BYTES)
    w.string(key)
    writeValue(w, types, values, 2, map?.[key], valueProto)
    w.end(start)
  }
}

const NO_FIELDS: JsonObject = {}

function sortedKeys(map: JsonObject | null | undefined): readonly string[] {
  const keys = Object.keys(map ?? NO_FIELDS)
  // Stored maps are in order already.
  for (let i = 1; i < keys.length; i++) if (keys[i - 1]! > keys[i]!) return keys.toSorted()
  return keys
}

/** What is worked out once of each text of the type table. */
function remembered<T>(make: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>()
  return (given) => {
    let found = known.get(given)
    if (found === undefined) known.set(given, (found = make(given)))
    return found
  }
}
const valueProtoIn = remembered((proto) => /^map<[^,]+,\s*(.+)>$/.exec(proto)?.[1] ?? '')
const valueProtoOf = (proto: string | undefined): string | undefined =>
  proto === undefined ? undefined : valueProtoIn(proto)
const scalarName = remembered(lastName)

/** The items of a list that is a message of its own. */
function writeItems(w: Writer, types: TypeTable, { items = {} }: SchemaFact, value: unknown): void {
  const start = w.begin()
  for (const item of (value as readonly unknown[] | null | undefined) ?? [])
    writeValue(w, types, items, 1, item, 'string')
  w.end(start)
}

function writeValue(
  w: Writer,
  types: TypeTable,
  schema: SchemaFact,
  number: number,
  value: unknown,
  proto: string | undefined,
): void {
  if (schema.ref !== undefined) {
    const fact = types[schema.ref]
    w.tag(number, BYTES)
    if (fact?.alias !== undefined) {
      writeItems(w, types, fact.alias, value)
      return
    }
    const start = w.begin()
    if (fact?.scalar === undefined)
      writeMessage(w, types, planOf(types, schema.ref), (value ?? NO_FIELDS) as JsonObject)
    else writeScalar(w, types, scalarName(schema.ref), value)
    w.end(start)
    return
  }
  switch (schema.type) {
    case 'array':
      // A list as the value of a map is a message with `repeated … items = 1`.
      w.tag(number, BYTES)
      writeItems(w, types, schema, value)
      return
    case 'boolean':
      w.tag(number, VARINT)
      w.byte(value === true ? 1 : 0)
      return
    case 'integer':
      w.tag(number, VARINT)
      w.varint(typeof value === 'number' ? value : 0)
      return
    case 'number':
      w.tag(number, FIXED64)
      w.double(typeof value === 'number' ? value : 0)
      return
    default:
      w.tag(number, BYTES)
      if (schema.format === 'byte' || proto === 'bytes') {
        const bytes = Buffer.from(typeof value === 'string' ? value : '', 'base64')
        w.varint(bytes.length)
        w.raw(bytes)
      } else w.string(typeof value === 'string' ? value : '')
  }
}

function writeScalar(w: Writer, types: TypeTable, name: string, value: unknown): void {
  switch (name) {
    case 'Time':
    case 'MicroTime': {
      if (typeof value !== 'string' || value === '') return
      const ms = Date.parse(value)
      const seconds = Math.floor(ms / 1000)
      w.tag(1, VARINT)
      w.varint(Number.isNaN(seconds) ? 0 : seconds)
      w.tag(2, VARINT)
      w.varint(name === 'Time' ? 0 : nanosOf(value))
      return
    }
    case 'Quantity':
      w.tag(1, BYTES)
      w.string(typeof value === 'number' ? String(value) : typeof value === 'string' ? value : '0')
      return
    case 'Duration':
      w.tag(1, VARINT)
      w.varint64(durationNanos(typeof value === 'string' ? value : '0s'))
      return
    case 'IntOrString': {
      const isText = typeof value === 'string'
      w.tag(1, VARINT)
      w.varint(isText ? 1 : 0)
      w.tag(2, VARINT)
      w.varint(isText ? 0 : Number(value ?? 0))
      w.tag(3, BYTES)
      w.string(isText ? value : '')
      return
    }
    case 'JSONSchemaPropsOrBool': {
      const isBool = typeof value === 'boolean'
      w.tag(1, VARINT)
      w.byte(value === false ? 0 : 1)
      if (!isBool && value !== undefined && value !== null) nestedSchema(w, types, 2, value)
      return
    }
    case 'JSONSchemaPropsOrArray':
      if (Array.isArray(value)) for (const item of value) nestedSchema(w, types, 2, item)
      else if (value !== undefined && value !== null) nestedSchema(w, types, 1, value)
      return
    case 'JSONSchemaPropsOrStringArray':
      if (Array.isArray(value)) {
        for (const item of value) {
          w.tag(2, BYTES)
          w.string(String(item))
        }
      } else if (value !== undefined && value !== null) nestedSchema(w, types, 1, value)
      return
    default: {
      // RawExtension, FieldsV1, JSON: the text of the JSON inside.
      if (value === undefined || value === null) return
      w.tag(1, BYTES)
      const bytes = typeof value === 'object' ? bytesOfShared(value) : undefined
      if (bytes === undefined) return w.string(JSON.stringify(value))
      w.varint(bytes.length)
      w.raw(bytes)
    }
  }
}

/** Of a second, from the digits after the point. */
const nanosOf = (time: string): number =>
  Number((/\.(\d+)/.exec(time)?.[1] ?? '').padEnd(9, '0').slice(0, 9))

const SCHEMA_PROPS = 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps'
function nestedSchema(w: Writer, types: TypeTable, number: number, value: unknown): void {
  w.tag(number, BYTES)
  const start = w.begin()
  writeMessage(w, types, planOf(types, SCHEMA_PROPS), value as JsonObject)
  w.end(start)
}

const UNIT_NANOS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1000n,
  µs: 1000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
}

/** Go's form of a duration, `1h2m3.5s`, in nanoseconds. */
export function durationNanos(duration: string): bigint {
  let nanos = 0n
  for (const [, whole = '0', fraction = '', unit = 's'] of duration.matchAll(
    /(\d*)(?:\.(\d+))?(ns|us|µs|ms|s|m|h)/g,
  )) {
    const scale = UNIT_NANOS[unit] ?? 0n
    nanos +=
      BigInt(whole || '0') * scale +
      (fraction === '' ? 0n : (BigInt(fraction) * scale) / 10n ** BigInt(fraction.length))
  }
  return duration.startsWith('-') ? -nanos : nanos
}

/** Nanoseconds in Go's form: `1h2m3.5s`. */
export function formatDuration(nanos: bigint): string {
  if (nanos === 0n) return '0s'
  const sign = nanos < 0n ? '-' : ''
  const size = nanos < 0n ? -nanos : nanos
  const decimal = (value: bigint, unit: bigint): string => {
    const fraction = (value % unit)
      .toString()
      .padStart(unit.toString().length - 1, '0')
      .replace(/0+$/, '')
    return `${value / unit}${fraction === '' ? '' : `.${fraction}`}`
  }
  if (size < 1000n) return `${sign}${size}ns`
  if (size < 1_000_000n) return `${sign}${decimal(size, 1000n)}µs`
  if (size < 1_000_000_000n) return `${sign}${decimal(size, 1_000_000n)}ms`
  const hours = size / 3_600_000_000_000n
  const minutes = (size / 60_000_000_000n) % 60n
  const seconds = decimal(size % 60_000_000_000n, 1_000_000_000n)
  return `${sign}${hours > 0n ? `${hours}h` : ''}${hours > 0n || minutes > 0n ? `${minutes}m` : ''}${seconds}s`
}

function readMessage(
  r: Reader,
  types: TypeTable,
  plan: MessagePlan,
  object: JsonObject,
): JsonObject {
  while (r.more) {
    const key = r.small()
    const slot = plan.byNumber.get(key >>> 3)
    const wire = key & 7
    if (slot === undefined) {
      r.skip(wire)
      continue
    }
    if (slot.kind === 'inner') readMessage(r.message(), types, slot.inner, object)
    else readField(r, types, slot.field, wire, object)
  }
  return object
}

function readField(
  r: Reader,
  types: TypeTable,
  field: FieldFact,
  wire: number,
  object: JsonObject,
): void {
  const { name } = field
  if (field.type === 'array') {
    const list = (object[name] ??= []) as unknown[]
    const item = field.items ?? {}
    if (
      wire === BYTES &&
      (item.type === 'integer' || item.type === 'number' || item.type === 'boolean')
    ) {
      const packed = r.message()
      while (packed.more) list.push(readValue(packed, types, item, field.proto))
    } else list.push(readValue(r, types, item, field.proto))
    return
  }
  if (field.type === 'object') {
    const map = (object[name] ??= {}) as JsonObject
    const entry = r.message()
    const valueProto = valueProtoOf(field.proto)
    let key = ''
    let value: unknown
    while (entry.more) {
      const tag = entry.small()
      if (tag >>> 3 === 1) key = entry.string()
      else if (tag >>> 3 === 2) value = readValue(entry, types, field.values ?? {}, valueProto)
      else entry.skip(tag & 7)
    }
    Object.defineProperty(map, key, {
      value: value === undefined ? emptyOf(field.values) : value,
      writable: true,
      enumerable: true,
      configurable: true,
    })
    return
  }
  object[name] = readValue(r, types, field, field.proto)
}

const emptyOf = (schema: SchemaFact | undefined): unknown =>
  schema?.ref === undefined
    ? schema?.type === 'string'
      ? ''
      : schema?.type === 'integer'
        ? 0
        : null
    : {}

function readValue(
  r: Reader,
  types: TypeTable,
  schema: SchemaFact,
  proto: string | undefined,
): unknown {
  if (schema.ref !== undefined) {
    const fact: TypeFact | undefined = types[schema.ref]
    const inner = r.message()
    if (fact?.alias !== undefined) return readAlias(inner, types, fact.alias)
    return fact?.scalar === undefined
      ? readMessage(inner, types, planOf(types, schema.ref), {})
      : readScalar(inner, types, lastName(schema.ref))
  }
  switch (schema.type) {
    case 'array':
      return readAlias(r.message(), types, schema)
    case 'boolean':
      return r.small() !== 0
    case 'integer':
      return Number(BigInt.asIntN(64, r.varint()))
    case 'number':
      return r.double()
    default:
      return schema.format === 'byte' || proto === 'bytes'
        ? Buffer.from(r.bytes()).toString('base64')
        : r.string()
  }
}

function readAlias(r: Reader, types: TypeTable, alias: SchemaFact): unknown[] {
  const list: unknown[] = []
  while (r.more) {
    const key = r.small()
    if (key >>> 3 === 1) list.push(readValue(r, types, alias.items ?? {}, 'string'))
    else r.skip(key & 7)
  }
  return list
}

function readScalar(r: Reader, types: TypeTable, name: string): unknown {
  const numbers = new Map<number, bigint>()
  const chunks = new Map<number, Uint8Array[]>()
  while (r.more) {
    const key = r.small()
    const number = key >>> 3
    if ((key & 7) === VARINT) numbers.set(number, BigInt.asIntN(64, r.varint()))
    else if ((key & 7) === BYTES) chunks.set(number, [...(chunks.get(number) ?? []), r.bytes()])
    else r.skip(key & 7)
  }
  const chunk = (number: number): string =>
    decodeText.decode(chunks.get(number)?.[0] ?? new Uint8Array())
  const schema = (bytes: Uint8Array): JsonObject =>
    readMessage(r.of(bytes), types, planOf(types, SCHEMA_PROPS), {})
  switch (name) {
    case 'Time':
    case 'MicroTime': {
      if (numbers.size === 0) return null
      const seconds = new Date(Number(numbers.get(1) ?? 0n) * 1000).toISOString().slice(0, 19)
      if (name === 'Time') return `${seconds}Z`
      return `${seconds}.${String(Math.trunc(Number(numbers.get(2) ?? 0n) / 1000)).padStart(6, '0')}Z`
    }
    case 'Quantity':
      return chunk(1)
    case 'Duration':
      return formatDuration(numbers.get(1) ?? 0n)
    case 'IntOrString':
      return numbers.get(1) === 1n ? chunk(3) : Number(numbers.get(2) ?? 0n)
    case 'JSONSchemaPropsOrBool': {
      const inner = chunks.get(2)?.[0]
      return inner === undefined ? numbers.get(1) === 1n : schema(inner)
    }
    case 'JSONSchemaPropsOrArray': {
      const one = chunks.get(1)?.[0]
      return one === undefined ? (chunks.get(2) ?? []).map(schema) : schema(one)
    }
    case 'JSONSchemaPropsOrStringArray': {
      const one = chunks.get(1)?.[0]
      return one === undefined
        ? (chunks.get(2) ?? []).map((bytes) => decodeText.decode(bytes))
        : schema(one)
    }
    default: {
      const raw = chunks.get(1)?.[0]
      if (raw === undefined || raw.length === 0) return null
      try {
        return JSON.parse(decodeText.decode(raw)) as unknown
      } catch {
        throw badRequest('the protobuf body has an embedded object that is not JSON')
      }
    }
  }
}

/** The whole form of an object: magic, envelope, message. */
export function encodeProtobuf(
  types: TypeTable,
  definition: string,
  object: { readonly apiVersion?: unknown; readonly kind?: unknown },
): Uint8Array {
  const w = new Writer()
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
  writeMessage(w, types, planOf(types, definition), object as JsonObject)
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
    } else if (key === 18) raw = Uint8Array.from(r.bytes())
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
