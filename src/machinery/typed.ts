/**
 * Reading a JSON value as a type of the table: unknown fields are found, wrong types refused, and the
 * result has the form in which the server writes it (field order, what is empty left out), so that
 * the same object always gives the same bytes. One plan is compiled for each type.
 */
import type { FieldFact, SchemaFact, TypeTable } from './facts.ts'
import type { JsonObject } from './object.ts'
import { setOwn } from './own-key.ts'
import {
  explainConversion,
  explainMismatch,
  isRecord,
  Mismatch,
  nameOf,
  TypeMismatchError,
} from './typed-mismatch.ts'
import { anything, readBase64, SCALARS } from './typed-scalars.ts'

/** The object, and what in it nobody knows. */
export interface DecodeResult {
  readonly object: JsonObject
  /** Paths: `spec.containers[0].imagee`. */
  readonly unknownFields: readonly string[]
}

interface Trail {
  readonly unknown: string[] | undefined
  /** Paths are made only when there is something to tell: they cost as much as the rest. */
  readonly hasPaths: boolean
}

type Reader = (value: unknown, path: string, trail: Trail) => unknown

interface FieldPlan {
  readonly name: string
  readonly read: Reader
  /** What stands when it is absent; undefined leaves it out. */
  readonly absent: (() => unknown) | undefined
  /** An empty value is left out. */
  readonly dropEmpty: (value: unknown) => boolean
}

interface StructPlan {
  readonly fields: readonly FieldPlan[]
  readonly known: ReadonlySet<string>
}

const NO_TRAIL: Trail = { unknown: undefined, hasPaths: false }

const plans = new WeakMap<TypeTable, Map<string, Reader>>()
const structs = new WeakMap<TypeTable, Map<string, StructPlan>>()

/** Throws `TypeMismatchError`; unknown fields are dropped, and named when asked for. */
export function decodeTyped(
  types: TypeTable,
  definition: string,
  value: unknown,
  options: { readonly unknown?: 'ignore' | 'collect' } = {},
): DecodeResult {
  const reader = readerOf(types, definition)
  const read = (hasPaths: boolean): DecodeResult => {
    const unknown: string[] = []
    const trail = { unknown: options.unknown === 'ignore' ? undefined : unknown, hasPaths }
    const object = (reader(value, '', trail) ?? {}) as JsonObject
    return { object, unknownFields: unknown.toSorted() }
  }
  try {
    const result = read(false)
    if (result.unknownFields.length === 0) return result
  } catch (error) {
    if (!(error instanceof Mismatch)) throw error
  }
  try {
    return read(true)
  } catch (error) {
    if (!(error instanceof Mismatch)) throw error
    throw new TypeMismatchError(error.path, explainMismatch(types, definition, value, error), {
      conversion: explainConversion(error),
      expected: error.text === undefined ? error.expected : '',
    })
  }
}

function readerOf(types: TypeTable, definition: string): Reader {
  let known = plans.get(types)
  if (known === undefined) plans.set(types, (known = new Map()))
  const found = known.get(definition)
  if (found !== undefined) return found
  const compiled = compileType(types, definition)
  known.set(definition, compiled)
  return compiled
}

function compileType(types: TypeTable, definition: string): Reader {
  const name = definition.slice(definition.lastIndexOf('.') + 1)
  const scalar = SCALARS[name]
  const fact = types[definition]
  if (fact === undefined || (fact.scalar !== undefined && scalar === undefined)) return anything
  if (name.startsWith('JSONSchemaPropsOr')) return schemaUnionReader(types, definition)
  if (fact.scalar !== undefined && scalar !== undefined) return scalar
  if (fact.alias !== undefined) return schemaReader(types, fact.alias, name)
  const goType = goNameOf(definition)
  // Types refer to themselves: the plan is made when it is first used.
  let plan: StructPlan | undefined
  return (value, path, trail) => {
    plan ??= structOf(types, definition)
    return readStruct(plan, goType, value, path, trail)
  }
}

/**
 * A schema, or a list of them or what else the union allows: schemas in it are read as any other, so that none keeps the
 * zeros of the protobuf form. What they hold that nobody knows is dropped unsaid, as Go's own reader of the union does.
 */
function schemaUnionReader(types: TypeTable, definition: string): Reader {
  const props = definition.slice(0, definition.lastIndexOf('.')) + '.JSONSchemaProps'
  let reader: Reader | undefined
  const one = (value: unknown, path: string): unknown =>
    isRecord(value)
      ? (reader ??= readerOf(types, props))(value, path, NO_TRAIL)
      : structuredClone(value)
  return (value, path) =>
    Array.isArray(value) ? value.map((each) => one(each, path)) : one(value, path)
}

function structOf(types: TypeTable, definition: string): StructPlan {
  let known = structs.get(types)
  if (known === undefined) structs.set(types, (known = new Map()))
  const found = known.get(definition)
  if (found !== undefined) return found
  const fields = (types[definition]?.fields ?? []).map((field) => fieldPlan(types, field))
  const plan: StructPlan = { fields, known: new Set(fields.map(({ name }) => name)) }
  known.set(definition, plan)
  return plan
}

function readStruct(
  { fields, known }: StructPlan,
  type: string,
  value: unknown,
  path: string,
  trail: Trail,
): JsonObject {
  if (!isRecord(value)) throw new Mismatch(path, nameOf(value), type)
  const object: JsonObject = {}
  let used = 0
  for (const field of fields) {
    const given = value[field.name]
    if (given === undefined || given === null) {
      if (given === null) used++
      const filled = field.absent?.()
      if (filled !== undefined) object[field.name] = filled
      continue
    }
    used++
    const read = field.read(given, trail.hasPaths ? memberPath(path, field.name) : '', trail)
    if (read !== undefined && !field.dropEmpty(read)) object[field.name] = read
  }
  if (trail.unknown !== undefined) {
    let count = 0
    for (const key in value) if (value[key] !== undefined) count++
    if (count > used) noteUnknown(known, value, path, trail.unknown)
  }
  return object
}

function noteUnknown(
  known: ReadonlySet<string>,
  value: Record<string, unknown>,
  path: string,
  unknown: string[],
): void {
  for (const key of Object.keys(value))
    if (!known.has(key) && value[key] !== undefined) unknown.push(memberPath(path, key))
}

const memberPath = (path: string, name: string): string => (path === '' ? name : `${path}.${name}`)

const never = (): boolean => false
const isNull = (value: unknown): boolean => value === null
const emptyText = (value: unknown): boolean => value === '' || value === 0 || value === false
const emptyList = (value: unknown): boolean => (value as readonly unknown[]).length === 0
const emptyMap = (value: unknown): boolean => {
  for (const _ in value as object) return false
  return true
}

/** What stands in JSON for a field that is absent; undefined when it is left out. */
export const alwaysWritten = (types: TypeTable, field: FieldFact): (() => unknown) | undefined =>
  fieldPlan(types, field).absent

function fieldPlan(types: TypeTable, field: FieldFact): FieldPlan {
  const read = schemaReader(types, field, goNumber(field))
  const plain = { name: field.name, read }
  // Pointers: absent and empty differ. An empty time is absent. Those that are always written say null.
  if (field.ptr === true)
    return field.omitempty === true || field.omitzero === true
      ? { ...plain, absent: undefined, dropEmpty: isNull }
      : { ...plain, absent: () => null, dropEmpty: never }
  const target = field.ref === undefined ? undefined : types[field.ref]
  const alias = target?.alias
  const isList = field.type === 'array' || alias?.type === 'array'
  const isMap = field.type === 'object' || alias?.type === 'object'
  const omit = field.omitempty === true
  // An empty list of owners says something: they are to be forgotten.
  if (field.name === 'managedFields') return { ...plain, absent: undefined, dropEmpty: isNull }
  if (isList)
    return { ...plain, absent: omit ? undefined : () => null, dropEmpty: omit ? emptyList : never }
  if (isMap)
    return { ...plain, absent: omit ? undefined : () => null, dropEmpty: omit ? emptyMap : never }
  if (field.ref === undefined) {
    const zero =
      field.format === 'byte'
        ? null
        : field.type === 'string'
          ? ''
          : field.type === 'boolean'
            ? false
            : field.type === undefined
              ? undefined
              : 0
    return {
      ...plain,
      absent: omit || zero === undefined ? undefined : () => zero,
      dropEmpty: omit ? emptyText : never,
    }
  }
  const name = field.ref.slice(field.ref.lastIndexOf('.') + 1)
  if (target?.scalar !== undefined || target === undefined) {
    if (field.omitzero === true) return { ...plain, absent: undefined, dropEmpty: isNull }
    if (name === 'Time' || name === 'MicroTime')
      return { ...plain, absent: () => null, dropEmpty: never }
    if (name === 'Quantity') return { ...plain, absent: () => '0', dropEmpty: never }
    if (name === 'Duration') return { ...plain, absent: () => '0s', dropEmpty: never }
    if (name === 'IntOrString') return { ...plain, absent: () => 0, dropEmpty: never }
    if (name === 'RawExtension') return { ...plain, absent: () => null, dropEmpty: never }
    return { ...plain, absent: undefined, dropEmpty: never }
  }
  // A struct that is not a pointer is written even when it is empty, unless it says otherwise.
  if (field.omitzero === true) return { ...plain, absent: undefined, dropEmpty: emptyMap }
  const { ref } = field
  let zero: Reader | undefined
  return {
    ...plain,
    absent: () => (zero ??= readerOf(types, ref))({}, '', NO_TRAIL),
    dropEmpty: never,
  }
}

function goNumber(field: FieldFact): string {
  return field.goType === undefined ? '' : field.goType.slice(field.goType.lastIndexOf('/') + 1)
}

function schemaReader(types: TypeTable, schema: SchemaFact, goType: string): Reader {
  if (schema.ref !== undefined) {
    const { ref } = schema
    let reader: Reader | undefined
    return (value, path, trail) => (reader ??= readerOf(types, ref))(value, path, trail)
  }
  switch (schema.type) {
    case 'array': {
      const item = schemaReader(types, schema.items ?? {}, '')
      const zero = zeroOf(types, schema.items ?? {})
      return (value, path, trail) => {
        if (!Array.isArray(value)) throw new Mismatch(path, nameOf(value), goTypeOf(schema))
        const list: unknown[] = []
        for (let i = 0; i < value.length; i++) {
          const given: unknown = value[i]
          list.push(
            given === null || given === undefined
              ? zero()
              : item(given, trail.hasPaths ? `${path}[${i}]` : '', trail),
          )
        }
        return list
      }
    }
    case 'object': {
      const item = schemaReader(types, schema.values ?? {}, '')
      const zero = zeroOf(types, schema.values ?? {})
      return (value, path, trail) => {
        if (!isRecord(value)) throw new Mismatch(path, nameOf(value), goTypeOf(schema))
        const map: JsonObject = {}
        // The server writes maps in the order of their keys.
        const keys = Object.keys(value)
        for (const key of isSorted(keys) ? keys : keys.sort()) {
          const given = value[key]
          if (given === undefined) continue
          const inner = trail.hasPaths ? `${path}.${key}` : ''
          setOwn(map, key, given === null ? zero() : item(given, inner, trail))
        }
        return map
      }
    }
    case 'string':
      if (schema.format === 'byte') return readBase64
      return (value, path) => {
        if (typeof value !== 'string') throw new Mismatch(path, nameOf(value), goType || 'string')
        return value
      }
    case 'boolean':
      return (value, path) => {
        if (typeof value !== 'boolean') throw new Mismatch(path, nameOf(value), goType || 'bool')
        return value
      }
    case 'integer': {
      const wide = schema.format === 'int64'
      const type = goType || (wide ? 'int64' : 'int32')
      const limit = wide ? Number.MAX_SAFE_INTEGER + 1 : 2 ** 31
      return (value, path) => {
        if (wide && typeof value === 'bigint') return value
        if (typeof value === 'bigint') throw new Mismatch(path, `number ${value}`, type)
        if (typeof value !== 'number') throw new Mismatch(path, nameOf(value), type)
        if (!Number.isInteger(value) || value >= limit || value < -limit)
          throw new Mismatch(path, `number ${value}`, type)
        return value
      }
    }
    case 'number':
      return (value, path) => {
        if (typeof value === 'bigint') return Number(value)
        if (typeof value !== 'number') throw new Mismatch(path, nameOf(value), 'float64')
        return value
      }
    default:
      return anything
  }
}

function zeroOf(types: TypeTable, schema: SchemaFact): () => unknown {
  if (schema.ref !== undefined) {
    const { ref } = schema
    if (ref.endsWith('.Quantity')) return () => '0'
    if (types[ref]?.scalar !== undefined) return () => null
    return () => readerOf(types, ref)({}, '', NO_TRAIL)
  }
  switch (schema.type) {
    case 'string':
      return () => (schema.format === 'byte' ? null : '')
    case 'integer':
    case 'number':
      return () => 0
    case 'boolean':
      return () => false
    default:
      return () => null
  }
}

/** `v1.Container` */
const goNameOf = (definition: string): string => definition.split('.').slice(-2).join('.')

function goTypeOf({ type, format, ref, items, values }: SchemaFact): string {
  if (ref !== undefined) return goNameOf(ref)
  switch (type) {
    case 'array':
      return `[]${goTypeOf(items ?? {})}`
    case 'object':
      if (values?.ref?.endsWith('.Quantity') === true) return 'v1.ResourceList'
      return `map[string]${goTypeOf(values ?? {})}`
    case 'string':
      return format === 'byte' ? '[]uint8' : 'string'
    case 'integer':
      return format === 'int64' ? 'int64' : 'int32'
    case 'number':
      return 'float64'
    case 'boolean':
      return 'bool'
    default:
      return 'interface {}'
  }
}

/** Most clients send maps in the order of their keys. */
function isSorted(keys: readonly string[]): boolean {
  for (let i = 1; i < keys.length; i++) if (keys[i - 1]! > keys[i]!) return false
  return true
}
