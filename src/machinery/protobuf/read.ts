/** Reads messages. */
import type { FieldFact, SchemaFact, TypeFact, TypeTable } from '../facts.ts'
import { formatDuration } from '../go-duration.ts'
import { exactInteger, parseJson } from '../integers.ts'
import type { JsonObject } from '../object.ts'
import { type MessagePlan, SCHEMA_PROPS, planOf, scalarName, valueProtoOf } from './plan.ts'
import { BYTES, type Reader, VARINT, decodeText } from './wire.ts'
import { badRequest } from '../status.ts'

/** Fields that the facts do not know are left out. */
export function readMessage(
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
      : readScalar(inner, types, scalarName(schema.ref))
  }
  switch (schema.type) {
    case 'array':
      return readAlias(r.message(), types, schema)
    case 'boolean':
      return r.small() !== 0
    case 'integer':
      return exactInteger(BigInt.asIntN(64, r.varint()))
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
      const seconds = timeOf(Number(numbers.get(1) ?? 0n))
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
        return parseJson(decodeText.decode(raw))
      } catch {
        throw badRequest('the protobuf body has an embedded object that is not JSON')
      }
    }
  }
}

/** Years of four digits, as JSON has them: `2026-01-01T00:00:00`. */
function timeOf(seconds: number): string {
  if (seconds < FIRST_SECOND || seconds > LAST_SECOND)
    throw badRequest('the protobuf body has a time whose year is outside of range [0,9999]')
  return new Date(seconds * 1000).toISOString().slice(0, 19)
}

const FIRST_SECOND = -62_167_219_200
const LAST_SECOND = 253_402_300_799
