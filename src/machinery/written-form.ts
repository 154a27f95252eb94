/**
 * The JSON that Go writes and the form that code likes differ: Go writes fields that are always there
 * even when they are empty (`rules: null`, `eventTime: null`), and code would rather have lists to walk
 * and nothing for what is absent. One plan for each type goes both ways.
 */
import type { FieldFact, SchemaFact, TypeTable } from './facts.ts'
import type { JsonObject } from './object.ts'
import { alwaysWritten } from './typed.ts'
import { isRecord } from './typed-mismatch.ts'

interface Part {
  readonly name: string
  /** What Go writes when it is absent; undefined when it writes nothing. */
  readonly zero: (() => unknown) | undefined
  /** A list or map that Go writes when it is empty: the store does not tell empty from absent. */
  readonly kept: 'list' | 'map' | undefined
  readonly inner: Inner | undefined
}

/** What is inside a value, where anything is. */
interface Inner {
  readonly form: 'struct' | 'list' | 'map'
  readonly of: () => Inner | readonly Part[]
}

const known = new WeakMap<TypeTable, Map<string, readonly Part[]>>()

function partsOf(types: TypeTable, definition: string): readonly Part[] {
  let parts = known.get(types)
  if (parts === undefined) known.set(types, (parts = new Map()))
  const found = parts.get(definition)
  if (found !== undefined) return found
  const made: Part[] = []
  // Types refer to themselves: what is made so far is known under its name.
  parts.set(definition, made)
  for (const field of types[definition]?.fields ?? []) {
    if (field.via === 'TypeMeta') continue
    const part = partOf(types, field)
    if (part !== undefined) made.push(part)
  }
  return made
}

function partOf(types: TypeTable, field: FieldFact): Part | undefined {
  const zero = alwaysWritten(types, field)
  const inner = innerOf(types, field)
  if (zero === undefined && inner === undefined) return undefined
  const held = schemaOf(types, field)
  const isPlain = zero !== undefined && field.ptr !== true
  return {
    name: field.name,
    zero,
    kept:
      isPlain && held.type === 'array'
        ? 'list'
        : isPlain && held.type === 'object' && held.values !== undefined
          ? 'map'
          : undefined,
    inner,
  }
}

const schemaOf = (types: TypeTable, schema: SchemaFact): SchemaFact =>
  (schema.ref === undefined ? undefined : types[schema.ref]?.alias) ?? schema

function innerOf(types: TypeTable, schema: SchemaFact): Inner | undefined {
  const held = schemaOf(types, schema)
  if (held.ref !== undefined) {
    const { ref } = held
    const isStruct = types[ref]?.fields !== undefined && types[ref].scalar === undefined
    return isStruct ? structOf(types, ref) : undefined
  }
  const item = held.items ?? held.values
  const inside = item === undefined ? undefined : innerOf(types, item)
  if (inside === undefined) return undefined
  return { form: held.items === undefined ? 'map' : 'list', of: () => inside }
}

function structOf(types: TypeTable, ref: string): Inner | undefined {
  const isBegun = known.get(types)?.has(ref) === true
  const parts = partsOf(types, ref)
  return parts.length === 0 && !isBegun ? undefined : { form: 'struct', of: () => parts }
}

/** As Go writes it: the same object when nothing is missing, otherwise a copy of what differs. */
export const writtenForm = (types: TypeTable, definition: string, object: JsonObject): JsonObject =>
  writeStruct(partsOf(types, definition), object)

function writeStruct(parts: readonly Part[], object: JsonObject): JsonObject {
  let copy: JsonObject | undefined
  for (const { name, zero, kept, inner } of parts) {
    const value = object[name]
    let written = value
    if (value === undefined || value === null) {
      if (zero === undefined) continue
      written = zero()
    } else if (kept !== undefined && isEmpty(value)) written = null
    else if (inner !== undefined) written = write(inner, value)
    if (written !== value) (copy ??= { ...object })[name] = written
  }
  return copy ?? object
}

function write({ form, of }: Inner, value: unknown): unknown {
  const inner = of()
  if (form === 'struct')
    return isRecord(value) ? writeStruct(inner as readonly Part[], value) : value
  if (form === 'list') {
    if (!Array.isArray(value)) return value
    let copy: unknown[] | undefined
    for (let i = 0; i < value.length; i++) {
      const item: unknown = value[i]
      const written = write(inner as Inner, item)
      if (written !== item) (copy ??= [...(value as unknown[])])[i] = written
    }
    return copy ?? value
  }
  if (!isRecord(value)) return value
  let copy: JsonObject | undefined
  for (const key in value) {
    const written = write(inner as Inner, value[key])
    if (written !== value[key]) (copy ??= { ...value })[key] = written
  }
  return copy ?? value
}

function isEmpty(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0
  for (const _ in value as object) return false
  return true
}

/** Takes the nulls of Go's form back out, in place. */
export const readForm = (types: TypeTable, definition: string, object: JsonObject): void =>
  readStruct(partsOf(types, definition), object)

function readStruct(parts: readonly Part[], object: JsonObject): void {
  for (const { name, kept, inner } of parts) {
    const value = object[name]
    if (value === undefined) continue
    if (value === null) {
      if (kept !== undefined) object[name] = kept === 'list' ? [] : {}
      else delete object[name]
    } else if (inner !== undefined) read(inner, value)
  }
}

function read({ form, of }: Inner, value: unknown): void {
  const inner = of()
  if (form === 'struct') {
    if (isRecord(value)) readStruct(inner as readonly Part[], value)
  } else if (form === 'list') {
    if (Array.isArray(value)) for (const item of value) read(inner as Inner, item)
  } else if (isRecord(value)) for (const key in value) read(inner as Inner, value[key])
}
