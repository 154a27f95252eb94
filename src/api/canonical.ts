/**
 * The form in which Kubernetes keeps an object: what its types say about absent and zero values.
 * Empty optional fields vanish, parts that are always there appear, declared defaults are filled in,
 * quantities and times are written the one way they are written.
 */
import type { FieldFact, JsonObject, SchemaFact } from '#machinery'
import { typeTable } from './facts.ts'
import { canonicalAmount, canonicalQuantity } from './quantity-text.ts'

type Fix = (value: unknown) => unknown

interface Rule {
  /** The value as it is kept; undefined when the field is dropped. */
  readonly fix: Fix
}
interface Filler {
  readonly name: string
  readonly make: () => unknown
}
interface CanonicalType {
  readonly rules: Map<string, Rule>
  readonly fillers: readonly Filler[]
}

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.'
const QUANTITY = 'io.k8s.apimachinery.pkg.api.resource.Quantity'
const compiled = new Map<string, (object: JsonObject) => void>()

const same: Fix = (value) => value
const isEmptyList = (value: unknown): boolean => Array.isArray(value) && value.length === 0
const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Brings an object of the type into its kept form, in place. Doing it twice changes nothing. */
export function canonicalize(type: string): (object: JsonObject) => void {
  const known = compiled.get(type)
  if (known) return known
  let parts: CanonicalType | undefined
  const run = (object: JsonObject): void => {
    parts ??= compile(type)
    const { rules, fillers } = parts
    for (const name in object) {
      const rule = rules.get(name)
      if (rule === undefined) continue
      const before = object[name]
      const after = rule.fix(before)
      if (after === undefined) delete object[name]
      else if (after !== before) object[name] = after
    }
    for (const { name, make } of fillers) {
      if (object[name] === undefined) object[name] = make()
    }
  }
  compiled.set(type, run)
  return run
}

/** A new, empty value of a type, for example the status of a new object. */
export function emptyOf(type: string): JsonObject {
  const object: JsonObject = {}
  canonicalize(type)(object)
  return object
}

function compile(type: string): CanonicalType {
  const rules = new Map<string, Rule>()
  const fillers: Filler[] = []
  for (const field of typeTable[type]?.fields ?? []) {
    if (field.via === 'TypeMeta') continue
    const fix = fixField(field)
    // An empty list of owners says something: they are to be forgotten.
    const keepsEmpty = field.name === 'managedFields'
    rules.set(field.name, {
      fix: keepsEmpty ? (value) => (isEmptyList(value) ? value : fix(value)) : fix,
    })
    const make = filler(field)
    if (make) fillers.push({ name: field.name, make })
  }
  return { rules, fillers }
}

/** Values that Go has as a struct: omitempty does not leave them out. */
const ZEROS: Readonly<Record<string, unknown>> = { IntOrString: 0, Quantity: '0', Duration: '0s' }

/** What an absent field becomes, when it does not stay absent. */
function filler(field: FieldFact): (() => unknown) | undefined {
  const { default: declared, ref } = field
  if (declared !== undefined && (field.ptr === true || !isZero(declared))) {
    return () => structuredClone(declared)
  }
  if (field.ptr === true || field.omitzero === true) return undefined
  if (ref !== undefined) {
    if (typeTable[ref]?.fields !== undefined) return () => emptyOf(ref)
    const zero = ZEROS[ref.slice(ref.lastIndexOf('.') + 1)]
    return zero === undefined ? undefined : () => zero
  }
  if (field.omitempty === true) return undefined
  if (field.type === 'string' && field.format !== 'byte') return () => ''
  if (field.type === 'integer' || field.type === 'number') return () => 0
  if (field.type === 'boolean') return () => false
  if (field.type === 'array') return () => []
  if (field.type === 'object') return () => ({})
  return undefined
}

function fixField(field: FieldFact): Fix {
  const fix = fixSchema(field)
  const droppable = field.omitempty === true && field.ptr !== true
  const mayBeEmpty = field.type === 'array' || field.type === 'object'
  return (value) => {
    if (value === null || value === undefined) return undefined
    if (droppable) {
      if (value === '' || value === 0 || value === false) return undefined
      if (mayBeEmpty && isEmpty(value as object)) return undefined
    }
    return fix(value)
  }
}

function isEmpty(value: object): boolean {
  if (Array.isArray(value)) return value.length === 0
  for (const _ in value) return false
  return true
}
const isZero = (value: unknown): boolean => value === '' || value === 0 || value === false

function fixSchema(schema: SchemaFact): Fix {
  const { ref } = schema
  if (ref !== undefined) return fixReference(ref)
  if (schema.items) {
    const fix = fixSchema(schema.items)
    if (fix === same) return same
    return (value) => {
      if (!Array.isArray(value)) return value
      for (let i = 0; i < value.length; i++) {
        const item: unknown = value[i]
        const fixed = fix(item)
        if (fixed !== item) value[i] = fixed
      }
      return value
    }
  }
  if (schema.values) {
    const fix = fixValues(schema.values)
    if (fix === same) return same
    return (value) => {
      if (!isObject(value)) return value
      for (const key in value) {
        const item = value[key]
        const fixed = fix(item)
        if (fixed !== item) value[key] = fixed
      }
      return value
    }
  }
  return same
}

function fixValues(schema: SchemaFact): Fix {
  if (schema.ref === QUANTITY) return canonicalAmount
  return schema.type === 'string' ? textOrEmpty : fixSchema(schema)
}
const textOrEmpty: Fix = (value) => value ?? ''

function fixReference(ref: string): Fix {
  if (ref === QUANTITY) return canonicalQuantity
  if (ref === `${META}Time`) return canonicalTime
  if (ref === `${META}MicroTime`) return canonicalMicroTime
  const fact = typeTable[ref]
  if (fact?.alias) return fixSchema(fact.alias)
  if (fact?.fields === undefined) return same
  const run = canonicalize(ref)
  return (value) => {
    if (isObject(value)) run(value)
    return value
  }
}

/** RFC 3339 in UTC with whole seconds. What is no time is left for validation to see. */
function canonicalTime(value: unknown): unknown {
  if (typeof value !== 'string') return value
  if (value.length === 20 && value.endsWith('Z')) return value
  const time = Date.parse(value)
  return Number.isNaN(time) ? value : `${new Date(time).toISOString().slice(0, 19)}Z`
}

/** RFC 3339 in UTC with six digits of a second. */
function canonicalMicroTime(value: unknown): unknown {
  if (typeof value !== 'string') return value
  if (value.length === 27 && value.endsWith('Z')) return value
  const time = Date.parse(value)
  if (Number.isNaN(time)) return value
  const micros = /\.(\d+)/.exec(value)?.[1]?.padEnd(6, '0').slice(0, 6) ?? '000000'
  return `${new Date(time).toISOString().slice(0, 19)}.${micros}Z`
}
