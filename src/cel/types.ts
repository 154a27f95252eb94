/** Types of CEL, and those that an OpenAPI schema gives to a value (KEP-2876, KEP-3488). */
import type { JsonObject } from '#machinery'

type Primitive =
  | 'dyn'
  | 'int'
  | 'uint'
  | 'double'
  | 'string'
  | 'bytes'
  | 'bool'
  | 'null'
  | 'timestamp'
  | 'duration'
  | 'error'

export type CelType =
  /** Texts of a schema say how long they can be, in bytes. */
  | { readonly kind: Primitive; readonly maxLength?: number }
  | {
      readonly kind: 'list'
      readonly elem: CelType
      readonly listType?: 'set' | 'map'
      readonly keys?: readonly string[]
      readonly maxItems?: number
    }
  | {
      readonly kind: 'map'
      readonly key: CelType
      readonly value: CelType
      readonly maxItems?: number
    }
  | ObjectType
  | { readonly kind: 'optional'; readonly elem: CelType }
  | { readonly kind: 'type'; readonly of: CelType }
  /** Types of the libraries: `quantity`, `url`, `authorizer` … */
  | { readonly kind: 'opaque'; readonly name: string }
  /** Stands for any one type within a signature, or a bounded text in a schema. */
  | { readonly kind: 'param'; readonly name: string }

export interface ObjectType {
  readonly kind: 'object'
  readonly name: string
  readonly fields: ReadonlyMap<string, Field>
  /** Fields that the schema does not name may be there too: they cannot be reached. */
  readonly maxItems?: number
}

export interface Field {
  readonly type: CelType
  readonly required: boolean
  /** As it is in the value: expressions write `__dot__` for a dot. */
  readonly property: string
  /** The longest text, in characters; undefined when the schema does not say. */
  readonly maxLength?: number
}

const primitive = (kind: Primitive): CelType => Object.freeze({ kind })
export const DYN = primitive('dyn')
export const INT = primitive('int')
export const UINT = primitive('uint')
export const DOUBLE = primitive('double')
export const STRING = primitive('string')
export const BYTES = primitive('bytes')
export const BOOL = primitive('bool')
export const NULL = primitive('null')
export const TIMESTAMP = primitive('timestamp')
export const DURATION = primitive('duration')
export const ERROR = primitive('error')
export const opaque = (name: string): CelType => ({ kind: 'opaque', name })
export const listOf = (elem: CelType): CelType => ({ kind: 'list', elem })
export const mapOf = (key: CelType, value: CelType): CelType => ({ kind: 'map', key, value })
export const optionalOf = (elem: CelType): CelType => ({ kind: 'optional', elem })

const NAMES: Readonly<Partial<Record<Primitive, string>>> = {
  timestamp: 'google.protobuf.Timestamp',
  duration: 'google.protobuf.Duration',
  null: 'null',
  error: '!error!',
}

/** As cel-go writes a type in its messages. */
export function typeText(type: CelType): string {
  switch (type.kind) {
    case 'list':
      return `list(${typeText(type.elem)})`
    case 'map':
      return `map(${typeText(type.key)}, ${typeText(type.value)})`
    case 'object':
      return type.name
    case 'optional':
      return `optional_type(${typeText(type.elem)})`
    case 'type':
      return `type(${typeText(type.of)})`
    case 'opaque':
    case 'param':
      return type.name
    default:
      return NAMES[type.kind] ?? type.kind
  }
}

const WORDS: ReadonlySet<string> = new Set([
  'true',
  'false',
  'null',
  'in',
  'as',
  'break',
  'const',
  'continue',
  'else',
  'for',
  'function',
  'if',
  'import',
  'let',
  'loop',
  'package',
  'namespace',
  'return',
  'var',
  'void',
  'while',
])

/** A property's name as expressions write it: undefined when none can. */
export function escapeProperty(name: string): string | undefined {
  if (WORDS.has(name)) return `__${name}__`
  const escaped = name
    .replaceAll('__', '__underscores__')
    .replaceAll('.', '__dot__')
    .replaceAll('-', '__dash__')
    .replaceAll('/', '__slash__')
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(escaped) ? escaped : undefined
}

/** The property that an expression writes so. */
export const unescapeProperty = (name: string): string =>
  /^__[a-z]+__$/.test(name) && WORDS.has(name.slice(2, -2))
    ? name.slice(2, -2)
    : name
        .replaceAll('__dot__', '.')
        .replaceAll('__dash__', '-')
        .replaceAll('__slash__', '/')
        .replaceAll('__underscores__', '__')

const types = new WeakMap<object, Map<string, CelType>>()

/**
 * The type of a value that the schema describes. What it leaves open (`x-kubernetes-preserve-unknown-fields` without
 * properties, int-or-string) is dyn.
 */
export function typeOfSchema(schema: JsonObject, name = 'object'): CelType {
  let byName = types.get(schema)
  if (byName === undefined) types.set(schema, (byName = new Map()))
  let found = byName.get(name)
  if (found === undefined) byName.set(name, (found = makeType(schema, name)))
  return found
}

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const sized = (value: unknown): number | undefined =>
  typeof value === 'number' ? value : undefined

function makeType(schema: JsonObject, name: string): CelType {
  if (schema['x-kubernetes-int-or-string'] === true) return DYN
  const { type, format, properties, additionalProperties, items } = schema
  switch (type) {
    case 'boolean':
      return BOOL
    case 'integer':
      return INT
    case 'number':
      return DOUBLE
    case 'string':
      if (format === 'byte') return BYTES
      if (format === 'duration') return DURATION
      if (format === 'date' || format === 'date-time') return TIMESTAMP
      return textType(schema)
    case 'array':
      return makeList(schema, isObject(items) ? typeOfSchema(items, `${name}.@idx`) : DYN)
    case 'object':
      if (isObject(additionalProperties)) {
        const maxItems = sized(schema['maxProperties'])
        return {
          ...mapOf(STRING, typeOfSchema(additionalProperties, `${name}.@elem`)),
          ...(maxItems === undefined ? {} : { maxItems }),
        } as CelType
      }
      if (additionalProperties === true) return mapOf(STRING, DYN)
      return makeObject(schema, isObject(properties) ? properties : {}, name)
    default:
      return isObject(properties) ? makeObject(schema, properties, name) : DYN
  }
}

/** A character takes up to four bytes. */
const CHARACTER_BYTES = 4

function textType({ maxLength, enum: allowed }: JsonObject): CelType {
  if (Array.isArray(allowed) && allowed.length > 0)
    return { kind: 'string', maxLength: Math.max(...allowed.map((each) => String(each).length)) }
  return typeof maxLength === 'number'
    ? { kind: 'string', maxLength: maxLength * CHARACTER_BYTES }
    : STRING
}

function makeList(schema: JsonObject, elem: CelType): CelType {
  const listType = schema['x-kubernetes-list-type']
  const keys = schema['x-kubernetes-list-map-keys']
  const maxItems = sized(schema['maxItems'])
  return {
    kind: 'list',
    elem,
    ...(listType === 'set' || listType === 'map' ? { listType } : {}),
    ...(Array.isArray(keys) ? { keys: keys.map(String) } : {}),
    ...(maxItems === undefined ? {} : { maxItems }),
  }
}

const EMBEDDED: JsonObject = {
  apiVersion: { type: 'string' },
  kind: { type: 'string' },
  metadata: {
    type: 'object',
    properties: { name: { type: 'string' }, generateName: { type: 'string' } },
  },
}

function makeObject(schema: JsonObject, properties: JsonObject, name: string): CelType {
  const embedded = schema['x-kubernetes-embedded-resource'] === true
  const all: JsonObject = embedded ? { ...EMBEDDED, ...properties } : properties
  const names = Object.keys(all)
  if (names.length === 0 && schema['x-kubernetes-preserve-unknown-fields'] === true) return DYN
  const { required } = schema
  const must: readonly unknown[] = Array.isArray(required) ? required : []
  const fields = new Map<string, Field>()
  for (const property of names) {
    const escaped = escapeProperty(property)
    const inner: unknown = all[property]
    if (escaped === undefined || !isObject(inner)) continue
    const maxLength = sized(inner['maxLength'])
    fields.set(escaped, {
      type: typeOfSchema(inner, `${name}.${property}`),
      required: must.includes(property) || inner['default'] !== undefined,
      property,
      ...(maxLength === undefined ? {} : { maxLength }),
    })
  }
  return { kind: 'object', name, fields }
}
