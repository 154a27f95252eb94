/** Schemas as CustomResourceDefinitions have them, and the few questions that everything here asks of them. */
import type { CustomResourceDefinition } from '#api'
import { isObject } from '../json.ts'

type Version = CustomResourceDefinition['spec']['versions'][number]
export type Schema = NonNullable<NonNullable<Version['schema']>['openAPIV3Schema']>

/** A member of a map whose keys come from clients: what every object has is none. */
export const own = <T>(map: Readonly<Record<string, T>> | undefined, key: string): T | undefined =>
  map !== undefined && Object.hasOwn(map, key) ? map[key] : undefined

/** The schema of a list's items. */
export function itemsOf({ items }: Schema): Schema | undefined {
  return isObject(items) ? (items as Schema) : undefined
}

/** The schema of a map's values. */
export function valuesOf({ additionalProperties }: Schema): Schema | undefined {
  return isObject(additionalProperties) ? (additionalProperties as Schema) : undefined
}

/** Whether keys that are not named may be there. */
export const isMap = ({ additionalProperties }: Schema): boolean =>
  additionalProperties !== undefined && additionalProperties !== false

export const keepsUnknown = (schema: Schema): boolean =>
  schema['x-kubernetes-preserve-unknown-fields'] === true

export const isEmbedded = (schema: Schema): boolean =>
  schema['x-kubernetes-embedded-resource'] === true

export const isIntOrString = (schema: Schema): boolean =>
  schema['x-kubernetes-int-or-string'] === true

/** Known of every object, whatever its schema says. */
export const OBJECT_FIELDS: ReadonlySet<string> = new Set(['apiVersion', 'kind', 'metadata'])

/** `null` where none is allowed: it counts as absent. */
export const isStrayNull = (value: unknown, schema: Schema | undefined): boolean =>
  value === null && schema !== undefined && schema.nullable !== true

/** Every schema within a schema, itself first; `visit` may stop it by returning true. */
export function someSchema(schema: Schema, visit: (schema: Schema) => boolean): boolean {
  if (visit(schema)) return true
  const within: (Schema | undefined)[] = [
    itemsOf(schema),
    valuesOf(schema),
    schema.not,
    ...(schema.allOf ?? []),
    ...(schema.anyOf ?? []),
    ...(schema.oneOf ?? []),
    ...Object.values(schema.properties ?? {}),
  ]
  return within.some((each) => each !== undefined && someSchema(each, visit))
}

export const hasDefaults = (schema: Schema): boolean =>
  someSchema(schema, (each) => each.default !== undefined)

/** Schemas are read from stored JSON: this is where they get their type. */
export const schemaOf = (version: Version): Schema | undefined => version.schema?.openAPIV3Schema
