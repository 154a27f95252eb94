/** From OpenAPI and structural schemas to types. */
import type { JsonObject } from '#machinery'
import { CelError } from './errors.ts'
import { parseDuration, parseTimestamp } from './time.ts'
import { BOOL, DYN, type CelType, type ObjectField, type SchemaNote } from './types.ts'
import { CelDouble } from './values.ts'

/** The largest request that is accepted, in bytes: what bounds a value that its schema does not. */
const MAX_REQUEST = 3 * 1024 * 1024

const RESERVED = new Set(
  'true false null in as break const continue else for function if import let loop package namespace return var void while'.split(
    ' ',
  ),
)

/** A property's name in expressions; undefined when no expression can name it. */
export function escapeProperty(name: string): string | undefined {
  if (!/^[A-Za-z_][A-Za-z0-9_.\-/]*$/.test(name)) return undefined
  if (RESERVED.has(name)) return `__${name}__`
  return name.replaceAll(/__|[.\-/]/g, (part) => ESCAPES[part] ?? part)
}
const ESCAPES: Readonly<Record<string, string>> = {
  __: '__underscores__',
  '.': '__dot__',
  '-': '__dash__',
  '/': '__slash__',
}

const UNESCAPES = new Map(Object.entries(ESCAPES).map(([plain, escaped]) => [escaped, plain]))
/** The property that an expression means by a name. */
export function unescapeProperty(name: string): string {
  const reserved = /^__(\w+)__$/.exec(name)?.[1]
  if (reserved !== undefined && RESERVED.has(reserved)) return reserved
  return name.replaceAll(
    /__(?:underscores|dot|dash|slash)__/g,
    (part) => UNESCAPES.get(part) ?? part,
  )
}

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const limit = (value: unknown): number | undefined =>
  typeof value === 'number' || typeof value === 'bigint' ? Math.max(0, Number(value)) : undefined

/** Of whole resources: what is there without being in the schema. */
const RESOURCE_PROPERTIES: JsonObject = {
  apiVersion: { type: 'string' },
  kind: { type: 'string' },
  metadata: {
    type: 'object',
    properties: { name: { type: 'string' }, generateName: { type: 'string' } },
  },
}

export interface SchemaOptions {
  /** How errors call it. */
  readonly name: string
  /** It is a whole resource: apiVersion, kind, metadata.name and metadata.generateName can be read. */
  readonly isResource?: boolean
}

const plain = new WeakSet<JsonObject>()

/** An object of Kubernetes' own making, whose fields are called as they are: `request.namespace`. */
export function objectOf(properties: JsonObject): JsonObject {
  const schema = { type: 'object', properties }
  plain.add(schema)
  return schema
}

/** Undefined for what no expression can read: unknown fields are kept but not typed. */
export function typeOfSchema(
  schema: JsonObject,
  { name, isResource = false }: SchemaOptions,
): CelType | undefined {
  const known = types.get(schema)
  // Variables of one schema have one type, whatever they are called: what was may be compared with what is.
  if (known !== undefined && known.isResource === isResource) return known.type
  const type = makeType(schema, { name, isResource })
  types.set(schema, { isResource, type })
  return type
}

const types = new WeakMap<
  JsonObject,
  { readonly isResource: boolean; readonly type: CelType | undefined }
>()

function makeType(
  schema: JsonObject,
  { name, isResource = false }: SchemaOptions,
): CelType | undefined {
  if (schema['x-kubernetes-int-or-string'] === true) {
    const max = limit(schema['maxLength'])
    return { ...DYN, schema: note(max === undefined ? MAX_REQUEST - 2 : max * 4, 1, convertDyn) }
  }
  const described = isResource ? withResourceProperties(schema) : schema
  switch (described['type']) {
    case 'array':
      return listType(described, name)
    case 'object':
      return objectType(described, name)
    case 'string':
      return stringType(described)
    case 'boolean':
      return { ...BOOL, schema: note(0, 4) }
    case 'number':
      return { kind: 'double', schema: note(0, 1, convertDouble) }
    case 'integer':
      return { kind: 'int', schema: note(0, 1) }
    case undefined:
      // Built-in types have fields of which nothing is known. A structural schema has them only where it says so.
      return schema['x-kubernetes-preserve-unknown-fields'] === true
        ? undefined
        : { ...DYN, schema: note(MAX_REQUEST - 2, 1, convertDyn) }
    default:
      return undefined
  }
}

const note = (
  maxElements: number,
  minBytes: number,
  convert?: (value: unknown) => unknown,
): SchemaNote => ({ maxElements, minBytes, ...(convert && { convert: nullable(convert) }) })

const nullable =
  (convert: (value: unknown) => unknown) =>
  (value: unknown): unknown =>
    value === null || value === undefined ? value : convert(value)

const convertDouble = (value: unknown): unknown =>
  typeof value === 'number' ? new CelDouble(value) : value
const convertDyn = (value: unknown): unknown =>
  typeof value === 'number' && !Number.isSafeInteger(value) ? new CelDouble(value) : value

function withResourceProperties(schema: JsonObject): JsonObject {
  const own = isObject(schema['properties']) ? schema['properties'] : {}
  const metadata = isObject(own['metadata']) ? own['metadata'] : {}
  const known = isObject(metadata['properties']) ? metadata['properties'] : {}
  return {
    ...schema,
    type: 'object',
    properties: {
      ...own,
      ...RESOURCE_PROPERTIES,
      metadata: {
        ...metadata,
        type: 'object',
        properties: { ...known, name: { type: 'string' }, generateName: { type: 'string' } },
      },
    },
  }
}

const childType = (schema: JsonObject, name: string): CelType | undefined =>
  typeOfSchema(schema, {
    name,
    isResource: schema['x-kubernetes-embedded-resource'] === true,
  })

function listType(schema: JsonObject, name: string): CelType | undefined {
  const items = schema['items']
  const element = isObject(items) ? childType(items, `${name}.@idx`) : undefined
  if (element === undefined) return undefined
  const max = limit(schema['maxItems']) ?? mostOf((element.schema?.minBytes ?? 2) + 1)
  const convert = element.schema?.convert
  const whole = convert && ((value: unknown) => (Array.isArray(value) ? value.map(convert) : value))
  const keys = schema['x-kubernetes-list-map-keys']
  const listKind = schema['x-kubernetes-list-type']
  const compared =
    listKind === 'set'
      ? ('set' as const)
      : listKind === 'map' && Array.isArray(keys)
        ? keys.map(String)
        : undefined
  return {
    kind: 'list',
    element,
    schema: {
      ...note(max, 2, whole),
      ...(compared && { listType: compared }),
      hasListTypes: compared !== undefined || hasListTypes(element),
    },
  }
}

const hasListTypes = ({ schema }: CelType): boolean => schema?.hasListTypes === true

const mostOf = (bytes: number): number => Math.floor((MAX_REQUEST - 2) / bytes)

const ANYTHING: JsonObject = {}

/** Keys of maps have no size in estimates: so it is upstream, and definitions in use rely on it. */
const KEY: CelType = { kind: 'string', schema: note(0, 2) }

function objectType(schema: JsonObject, name: string): CelType | undefined {
  const rest = schema['additionalProperties'] === true ? ANYTHING : schema['additionalProperties']
  if (isObject(rest)) {
    const value = childType(rest, `${name}.@elem`)
    if (value === undefined) return undefined
    const max = limit(schema['maxProperties']) ?? mostOf((value.schema?.minBytes ?? 2) + 6)
    const convert = value.schema?.convert
    const whole = convert && ((object: unknown) => convertValues(object, convert))
    return {
      kind: 'map',
      key: KEY,
      value,
      schema: { ...note(max, 2, whole), hasListTypes: hasListTypes(value) },
    }
  }
  const properties = isObject(schema['properties']) ? schema['properties'] : {}
  const required = new Set(Array.isArray(schema['required']) ? schema['required'] : [])
  const fields = new Map<string, ObjectField>()
  let minBytes = 2
  for (const [key, property] of Object.entries(properties)) {
    if (!isObject(property)) continue
    const type = childType(property, `${name}.${key}`)
    const escaped = plain.has(schema) ? key : escapeProperty(key)
    if (type === undefined) continue
    if (escaped !== undefined) fields.set(escaped, { key, type })
    if (required.has(key) && property['default'] === undefined)
      minBytes += Buffer.byteLength(key) + (type.schema?.minBytes ?? 2) + 4
  }
  return {
    kind: 'object',
    name,
    field: (field) => fields.get(field),
    schema: {
      ...note(0, minBytes, objectConverter(fields)),
      hasListTypes: [...fields.values()].some(({ type }) => hasListTypes(type)),
    },
  }
}

/** Undefined when nothing in it has to be converted or renamed. */
function objectConverter(
  fields: ReadonlyMap<string, ObjectField>,
): ((value: unknown) => unknown) | undefined {
  const converted = [...fields.values()].flatMap(({ key, type }) =>
    type.schema?.convert === undefined ? [] : [{ key, convert: type.schema.convert }],
  )
  if (converted.length === 0) return undefined
  return (value) => {
    if (!isObject(value)) return value
    const copy: Record<string, unknown> = { ...value }
    for (const { key, convert } of converted)
      if (Object.hasOwn(value, key)) copy[key] = convert(value[key])
    return copy
  }
}

const convertValues = (object: unknown, convert: (value: unknown) => unknown): unknown =>
  isObject(object)
    ? Object.fromEntries(Object.entries(object).map(([key, value]) => [key, convert(value)]))
    : object

function stringType(schema: JsonObject): CelType {
  switch (schema['format']) {
    case 'byte':
      return {
        kind: 'bytes',
        schema: note(limit(schema['maxLength']) ?? MAX_REQUEST - 2, 2, convertBytes),
      }
    case 'duration':
      return { kind: 'duration', schema: note(32, 3, convertDuration) }
    case 'date':
      return { kind: 'timestamp', schema: note(12, 12, convertDate) }
    case 'date-time':
      return { kind: 'timestamp', schema: note(32, 21, convertTimestamp) }
    default:
      return { kind: 'string', schema: note(longestString(schema), 2) }
  }
}

/** In bytes: a character takes up to four. */
function longestString(schema: JsonObject): number {
  const max = limit(schema['maxLength'])
  if (max !== undefined) return max * 4
  const values = schema['enum']
  if (!Array.isArray(values) || values.length === 0) return MAX_REQUEST - 2
  return Math.max(...values.map((value) => Buffer.byteLength(text(value) ?? '')))
}

function convertBytes(value: unknown): unknown {
  if (typeof value !== 'string') return value
  // The alphabet for URLs, whatever the values themselves may be written in: so it is upstream.
  const valid = /^[A-Za-z0-9_-]*/.exec(value)?.[0].length ?? 0
  if (!/^={0,2}$/.test(value.slice(valid)) || value.length % 4 !== 0)
    throw new CelError(
      `Invalid byte formatted string ${value}: illegal base64 data at input byte ${valid}`,
    )
  return Uint8Array.from(Buffer.from(value, 'base64url'))
}
function convertDuration(value: unknown): unknown {
  if (typeof value !== 'string') return value
  const duration = parseDuration(value)
  if (duration === undefined)
    throw new CelError(`Invalid duration ${value}: time: invalid duration ${JSON.stringify(value)}`)
  return duration
}
function convertTimestamp(value: unknown): unknown {
  if (typeof value !== 'string') return value
  const timestamp = parseTimestamp(value)
  if (timestamp === undefined) throw new CelError(`Invalid date-time ${value}`)
  return timestamp
}
function convertDate(value: unknown): unknown {
  if (typeof value !== 'string') return value
  const timestamp = parseTimestamp(`${value}T00:00:00Z`)
  if (timestamp === undefined) throw new CelError(`Invalid date ${value}`)
  return timestamp
}
