/** Schemas of custom resources, in the form in which they are published. */
import { META } from './path.ts'
import { schemaRef, type ExtraSchemas, type OpenApiDialect } from './schema.ts'
import type { JsonObject, JsonValue } from '../object.ts'

/** What a CustomResourceDefinition says of one of its versions. */
export interface CustomVersion {
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly listKind: string
  /** The structural schema; absent when the version has none. */
  readonly schema?: JsonObject
  /** `spec.preserveUnknownFields` of definitions that are older than structural schemas. */
  readonly preserveUnknownFields?: boolean
  /** JSON paths that field selectors may name. */
  readonly selectableFields?: readonly string[]
}

/** `example.com`, `v1` and `Foo` are `com.example.v1.Foo`. */
export const customDefinitionName = (group: string, version: string, kind: string): string =>
  [...group.split('.').toReversed(), version, kind].join('.')

/** The definitions of the kind and of its list, by name. */
export function customSchemas(
  custom: CustomVersion,
): Readonly<Record<OpenApiDialect, ExtraSchemas>> {
  const { group, version, kind, listKind } = custom
  const name = customDefinitionName(group, version, kind)
  const listName = customDefinitionName(group, version, listKind)
  const of = (dialect: OpenApiDialect): ExtraSchemas => ({
    [name]: { ...kindSchema(custom, dialect), ...extensionsOf(custom, kind) },
    [listName]: { ...listSchema(custom, dialect, name), ...extensionsOf(custom, listKind) },
  })
  return { v2: of('v2'), v3: of('v3') }
}

const extensionsOf = (
  { group, version, selectableFields = [] }: CustomVersion,
  kind: string,
): JsonObject => ({
  'x-kubernetes-group-version-kind': [{ group, kind, version }],
  ...(selectableFields.length === 0
    ? {}
    : {
        'x-kubernetes-selectable-fields': selectableFields.map((path) => ({
          fieldPath: path.replace(/^\./, ''),
        })),
      }),
})

// Clients look for the first words of these texts.
const API_VERSION: JsonObject = {
  type: 'string',
  description: 'APIVersion defines the versioned schema of this representation of an object.',
}
const KIND: JsonObject = {
  type: 'string',
  description: 'Kind is a string value representing what this object is. It cannot be updated.',
}
const METADATA_TEXT =
  "Standard object's metadata: its name, its labels, and what else every object has."

function withDescription(
  dialect: OpenApiDialect,
  definition: string,
  description: string,
): JsonObject {
  const ref = schemaRef(dialect, definition)
  // A reference has no neighbours in v3.
  return dialect === 'v3' ? { description, allOf: [ref] } : { description, ...ref }
}

const objectFields = (dialect: OpenApiDialect): JsonObject => ({
  apiVersion: API_VERSION,
  kind: KIND,
  metadata: withDescription(dialect, `${META}ObjectMeta`, METADATA_TEXT),
})

function kindSchema(
  { schema, preserveUnknownFields = false }: CustomVersion,
  dialect: OpenApiDialect,
): JsonObject {
  // Clients of v2 refuse fields that a schema does not name: there, an open schema names none at all.
  const isOpen = preserveUnknownFields || schema?.['x-kubernetes-preserve-unknown-fields'] === true
  if (schema === undefined || (dialect === 'v2' && isOpen)) return { type: 'object' }
  const own = published(schema, dialect)
  return {
    ...own,
    properties: { ...(own['properties'] as JsonObject | undefined), ...objectFields(dialect) },
  }
}

const listSchema = (
  { kind, listKind }: CustomVersion,
  dialect: OpenApiDialect,
  name: string,
): JsonObject => ({
  type: 'object',
  description: `${listKind} is a list of ${kind}`,
  required: ['items'],
  properties: {
    apiVersion: API_VERSION,
    items: { type: 'array', description: `The objects.`, items: schemaRef(dialect, name) },
    kind: KIND,
    metadata: withDescription(
      dialect,
      `${META}ListMeta`,
      'Where the list stands in time, and how to read on.',
    ),
  },
})

/** What v2 cannot say: there it is left out, and checked by the server alone. */
const NOT_IN_V2: ReadonlySet<string> = new Set(['allOf', 'anyOf', 'oneOf', 'not', 'nullable'])
/** No part of a structural schema. */
const NEVER: ReadonlySet<string> = new Set(['externalDocs', 'example', 'id', '$schema', '$ref'])

/** A schema as the dialect shows it. Members that are themselves schemas are treated alike. */
function published(schema: JsonObject, dialect: OpenApiDialect): JsonObject {
  const isV2 = dialect === 'v2'
  const isOpen = schema['x-kubernetes-preserve-unknown-fields'] === true
  const isNullable = schema['nullable'] === true
  // Where clients of v2 would refuse what the server takes, the shape stays unsaid.
  const hidesShape = isV2 && (isOpen || isNullable)
  const result: JsonObject = {}
  for (const [key, value] of Object.entries(schema)) {
    if (NEVER.has(key) || (isV2 && NOT_IN_V2.has(key))) continue
    if (hidesShape && (key === 'properties' || key === 'items')) continue
    result[key] = publishedMember(key, value, dialect)
  }
  if (isV2) {
    const { type } = result
    const isBareList = type === 'array' && result['items'] === undefined
    if (isNullable || isBareList || (isOpen && type === 'object')) delete result['type']
    dropNullableFromRequired(schema, result)
  }
  if (schema['x-kubernetes-embedded-resource'] === true && !(isV2 && isOpen)) {
    result['properties'] = {
      ...(result['properties'] as JsonObject | undefined),
      ...objectFields(dialect),
    }
    const required = (result['required'] ?? []) as readonly string[]
    result['required'] = [...new Set([...required, 'kind', 'apiVersion'])]
  }
  return result
}

function publishedMember(key: string, value: unknown, dialect: OpenApiDialect): unknown {
  const isSchema = value !== null && typeof value === 'object' && !Array.isArray(value)
  if (key === 'properties' && isSchema)
    return Object.fromEntries(
      Object.entries(value as JsonObject).map(([name, member]) => [
        name,
        published(member as JsonObject, dialect),
      ]),
    )
  // Junctors hold conditions on values and no shape: they are shown as they are.
  if ((key === 'items' || key === 'additionalProperties') && isSchema)
    return published(value as JsonObject, dialect)
  return value as JsonValue
}

/** `null` of a required field is good for the server, and for no client of v2. */
function dropNullableFromRequired(schema: JsonObject, result: JsonObject): void {
  const required = result['required'] as readonly string[] | undefined
  if (required === undefined) return
  const properties = (result['properties'] === undefined ? {} : schema['properties']) as Readonly<
    Record<string, JsonObject>
  >
  const values = schema['additionalProperties']
  const anyValue =
    typeof values === 'object' && values !== null && (values as JsonObject)['nullable'] === true
  const kept = anyValue ? [] : required.filter((name) => properties[name]?.['nullable'] !== true)
  if (kept.length > 0) result['required'] = kept
  else delete result['required']
}
