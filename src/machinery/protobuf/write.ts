/**
 * Writes messages. Fields go in the order of their numbers; scalars and structs that are not pointers always, even when
 * they are zero; lists of numbers are not packed; the entries of a map are sorted.
 */
import type { FieldFact, SchemaFact, TypeTable } from '../facts.ts'
import { durationNanos } from '../go-duration.ts'
import { goJson } from '../go-json.ts'
import type { JsonObject } from '../object.ts'
import { type MessagePlan, SCHEMA_PROPS, planOf, scalarName, valueProtoOf } from './plan.ts'
import { BYTES, FIXED64, VARINT, Writer } from './wire.ts'
import { bytesOfShared } from '../ownership/shared-fields.ts'

/** @param isWhole an object of its own: what it has that is frozen is shared with others, and written once for them */
export function writeMessage(
  w: Writer,
  types: TypeTable,
  plan: MessagePlan,
  object: JsonObject,
  isWhole = false,
): void {
  for (const slot of plan.slots) {
    if (slot.kind === 'inner') {
      w.tag(slot.number, BYTES)
      const start = w.begin()
      writeMessage(w, types, slot.inner, object)
      w.end(start)
      continue
    }
    const value = object[slot.name]
    if (value !== undefined && value !== null) {
      const write = (slot.write ??= writerOf(types, slot.field, slot.number))
      if (isWhole && typeof value === 'object' && Object.isFrozen(value))
        w.raw(bytesOfFrozen((slot.ofFrozen ??= new WeakMap()), value, write))
      else write(w, value)
    } else w.few((slot.absent ??= absentOf(types, slot.field, slot.number)))
  }
}

function bytesOfFrozen(
  known: WeakMap<object, Uint8Array>,
  value: object,
  write: (w: Writer, value: unknown) => void,
): Uint8Array {
  let bytes = known.get(value)
  if (bytes === undefined) {
    const w = new Writer()
    write(w, value)
    bytes = w.done()
    known.set(value, bytes)
  }
  return bytes
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
      if (typeof value === 'bigint') w.varint64(value)
      else w.varint(typeof value === 'number' ? value : 0)
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
      if (bytes === undefined) return w.string(goJson(JSON.stringify(value)))
      w.varint(bytes.length)
      w.raw(bytes)
    }
  }
}

/** Of a second, from the digits after the point. */
const nanosOf = (time: string): number =>
  Number((/\.(\d+)/.exec(time)?.[1] ?? '').padEnd(9, '0').slice(0, 9))

function nestedSchema(w: Writer, types: TypeTable, number: number, value: unknown): void {
  w.tag(number, BYTES)
  const start = w.begin()
  writeMessage(w, types, planOf(types, SCHEMA_PROPS), value as JsonObject)
  w.end(start)
}
