/** Types of the fact table as schemas, in the two dialects of OpenAPI that Kubernetes publishes. */
import type { FieldFact, SchemaFact, TypeFact, TypeTable } from '../facts.ts'
import type { JsonObject } from '../object.ts'

export type OpenApiDialect = 'v2' | 'v3'

/** The text on a definition, or on one of its fields; undefined when there is none. */
export type Describe = (definition: string, field?: string) => string | undefined

/** Definitions that are no entry of the type table, in the form of the dialect: those of custom resources. */
export type ExtraSchemas = Readonly<Record<string, JsonObject>>

const REF_PREFIX = { v2: '#/definitions/', v3: '#/components/schemas/' } as const

export const schemaRef = (dialect: OpenApiDialect, definition: string): JsonObject => ({
  $ref: REF_PREFIX[dialect] + definition,
})

/** Other definitions that a definition names. */
function refsOf(type: TypeFact): readonly string[] {
  const found: string[] = []
  const visit = (schema: SchemaFact): void => {
    if (schema.ref !== undefined) found.push(schema.ref)
    if (schema.items !== undefined) visit(schema.items)
    if (schema.values !== undefined) visit(schema.values)
  }
  if (type.alias !== undefined) visit(type.alias)
  for (const field of type.fields ?? []) visit(field)
  return found
}

function refsOfSchema(schema: unknown, found: string[]): void {
  if (schema === null || typeof schema !== 'object') return
  for (const [key, value] of Object.entries(schema)) {
    if (key === '$ref' && typeof value === 'string')
      found.push(value.slice(value.lastIndexOf('/') + 1))
    else refsOfSchema(value, found)
  }
}

/** The roots and all that they lead to, sorted. */
export function reachableDefinitions(
  types: TypeTable,
  extra: ExtraSchemas,
  roots: Iterable<string>,
): readonly string[] {
  const seen = new Set<string>()
  const waiting = [...roots]
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (seen.has(name)) continue
    const own = extra[name]
    const type = types[name]
    if (own !== undefined) refsOfSchema(own, waiting)
    else if (type !== undefined) waiting.push(...refsOf(type))
    else continue
    seen.add(name)
  }
  return [...seen].toSorted()
}

/** One definition of the table. */
export function definitionSchema(
  types: TypeTable,
  name: string,
  dialect: OpenApiDialect,
  describe: Describe,
): JsonObject {
  const type = types[name]
  const description = describe(name)
  const schema: JsonObject = description === undefined ? {} : { description }
  if (type === undefined) return schema
  if (type.scalar !== undefined)
    return Object.assign(schema, scalarSchema(name, type.scalar, dialect))
  if (type.alias !== undefined)
    return Object.assign(schema, plainSchema(types, type.alias, dialect))
  schema['type'] = 'object'
  const fields = (type.fields ?? []).toSorted((a, b) => (a.name < b.name ? -1 : 1))
  if (fields.length > 0)
    schema['properties'] = Object.fromEntries(
      fields.map((field) => [
        field.name,
        fieldSchema(types, field, dialect, describe(name, field.name)),
      ]),
    )
  const required = fields.filter((field) => field.required === true).map((field) => field.name)
  if (required.length > 0) schema['required'] = required
  if (type.gvk !== undefined)
    schema['x-kubernetes-group-version-kind'] = type.gvk.map(([group, version, kind]) => ({
      group,
      kind,
      version,
    }))
  if (type.mapType === 'atomic' || type.structType === 'atomic')
    schema['x-kubernetes-map-type'] = 'atomic'
  if (type.unions !== undefined) schema['x-kubernetes-unions'] = type.unions
  return schema
}

/** v2 has no way to say "one of two types": there the string form stands for both. */
function scalarSchema(
  name: string,
  { type, format }: NonNullable<TypeFact['scalar']>,
  dialect: OpenApiDialect,
): JsonObject {
  if (dialect === 'v3' && format === 'int-or-string')
    return { format, oneOf: [{ type: 'integer' }, { type: 'string' }] }
  if (dialect === 'v3' && name.endsWith('.resource.Quantity'))
    return { oneOf: [{ type: 'string' }, { type: 'number' }] }
  return {
    ...(type === undefined || type === 'any' ? {} : { type }),
    ...(format === undefined ? {} : { format }),
  }
}

function fieldSchema(
  types: TypeTable,
  field: FieldFact,
  dialect: OpenApiDialect,
  description: string | undefined,
): JsonObject {
  const fallback = field.default ?? (dialect === 'v3' ? field.v3default : undefined)
  const about: JsonObject = {
    ...(description === undefined ? {} : { description }),
    ...(fallback === undefined ? {} : { default: fallback }),
  }
  const schema = Object.assign(about, plainSchema(types, field, dialect))
  // A reference has no neighbours in v3: what stands beside it needs a wrapping.
  if (dialect === 'v3' && schema['$ref'] !== undefined && Object.keys(schema).length > 1) {
    schema['allOf'] = [{ $ref: schema['$ref'] }]
    delete schema['$ref']
  }
  if (field.enum !== undefined) {
    // They are the words of each element, also of a map.
    const target = schema['items'] ?? schema['additionalProperties'] ?? schema
    Object.assign(target, { enum: field.enum })
  }
  if (field.type === 'array' && field.listType !== undefined)
    schema['x-kubernetes-list-type'] = field.listType
  if (field.listMapKeys !== undefined) schema['x-kubernetes-list-map-keys'] = field.listMapKeys
  if (field.mapType !== undefined) schema['x-kubernetes-map-type'] = field.mapType
  if (field.patchMergeKey !== undefined)
    schema['x-kubernetes-patch-merge-key'] = field.patchMergeKey
  if (field.patchStrategy !== undefined) schema['x-kubernetes-patch-strategy'] = field.patchStrategy
  return schema
}

function plainSchema(types: TypeTable, schema: SchemaFact, dialect: OpenApiDialect): JsonObject {
  if (schema.ref !== undefined) {
    const target = types[schema.ref]
    // Named lists are no definitions of their own: they are written out where they are used.
    if (target?.alias !== undefined) return plainSchema(types, target.alias, dialect)
    return schemaRef(dialect, schema.ref)
  }
  return {
    ...(schema.type === undefined ? {} : { type: schema.type }),
    ...(schema.format === undefined ? {} : { format: schema.format }),
    ...(schema.items === undefined ? {} : { items: elementSchema(types, schema.items, dialect) }),
    ...(schema.values === undefined
      ? {}
      : { additionalProperties: elementSchema(types, schema.values, dialect) }),
  }
}

const ZERO: Readonly<Record<string, unknown>> = {
  string: '',
  integer: 0,
  number: 0,
  boolean: false,
}

/** An item of a list or a value of a map: in v3 with the zero value as its default. */
function elementSchema(types: TypeTable, element: SchemaFact, dialect: OpenApiDialect): JsonObject {
  const schema = plainSchema(types, element, dialect)
  if (dialect === 'v2') return schema
  if (element.ref !== undefined && types[element.ref]?.fields !== undefined)
    return { allOf: [schema], default: {} }
  const zero = element.format === 'byte' ? undefined : ZERO[element.type ?? '']
  return zero === undefined ? schema : { ...schema, default: zero }
}
