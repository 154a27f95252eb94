/** What a schema does not know is taken out of an object, unless the schema says that it is kept. */
import { typeTable } from '#api'
import {
  FieldPath,
  TypeMismatchError,
  decodeTyped,
  invalidValue,
  type JsonObject,
} from '#machinery'
import { copyJson, isObject } from '../json.ts'
import {
  OBJECT_FIELDS,
  hasDefaults,
  isEmbedded,
  isMap,
  isStrayNull,
  itemsOf,
  keepsUnknown,
  own,
  someSchema,
  valuesOf,
  type Schema,
} from './schema.ts'

const OBJECT_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta'

export interface PruneOptions {
  /** Malformed metadata is dropped rather than refused: stored objects must stay readable. */
  readonly lenient?: boolean
  /** Paths of what is taken out are added to it. */
  readonly unknown?: string[]
  /** Nulls stay where none may be: whoever applies them is told so. */
  readonly keepsNulls?: boolean
}

/** Brings an object into the form of its schema, in place. Throws `TypeMismatchError` for wrong metadata. */
export function pruneObject(object: JsonObject, schema: Schema, options: PruneOptions = {}): void {
  const { unknown, keepsNulls = false } = options
  if (isObject(object['metadata'])) formMetadata(object['metadata'], 'metadata', options)
  const found: string[] = []
  prune(object, schema, true, '', found)
  unknown?.push(...found.toSorted())
  if (!keepsNulls) dropNulls(object, schema)
  coerceEmbedded(object, schema, '', options, true)
}

/** Takes what is not known out of a part of an object; metadata of resources within it stays as it is. */
export function pruneValue(value: unknown, schema: Schema): void {
  prune(value, schema, isEmbedded(schema), '', [])
}

const below = (path: string, key: string): string => (path === '' ? key : `${path}.${key}`)

function prune(
  value: unknown,
  schema: Schema | undefined,
  isResource: boolean,
  path: string,
  found: string[],
  /** Items of a list that keeps what is unknown keep it too. */
  inherited = false,
): void {
  const keeps = inherited || (schema !== undefined && keepsUnknown(schema))
  if (Array.isArray(value)) {
    const items = schema && itemsOf(schema)
    if (keeps && items === undefined) return
    for (const [i, item] of value.entries())
      prune(item, items, false, `${path}[${i}]`, found, keeps)
    return
  }
  if (!isObject(value)) return
  for (const key of Object.keys(value)) {
    if (OBJECT_FIELDS.has(key) && (isResource || (schema && isEmbedded(schema)))) continue
    const known = own(schema?.properties, key)
    if (known !== undefined) prune(value[key], known, false, below(path, key), found)
    else if (schema !== undefined && isMap(schema))
      prune(value[key], valuesOf(schema), false, below(path, key), found)
    else if (!keeps) {
      found.push(below(path, key))
      delete value[key]
    }
  }
}

/** `null` of a field that is not nullable and has no default is as if it were absent. */
function dropNulls(value: unknown, schema: Schema | undefined): void {
  if (schema === undefined) return
  if (Array.isArray(value)) {
    const items = itemsOf(schema)
    for (const item of value) dropNulls(item, items)
    return
  }
  if (!isObject(value)) return
  for (const key of Object.keys(value)) {
    const known = own(schema.properties, key) ?? valuesOf(schema)
    if (isStrayNull(value[key], known) && known?.default === undefined) delete value[key]
    else dropNulls(value[key], known)
  }
}

/** Metadata of resources within a value has the form of all metadata. Throws `TypeMismatchError` for others. */
export function formEmbedded(value: unknown, schema: Schema): void {
  coerceEmbedded(value, schema, '', {})
}

function coerceEmbedded(
  value: unknown,
  schema: Schema | undefined,
  path: string,
  options: PruneOptions,
  isRoot = false,
): void {
  if (schema === undefined) return
  if (Array.isArray(value)) {
    const items = itemsOf(schema)
    for (const [i, item] of value.entries()) coerceEmbedded(item, items, `${path}[${i}]`, options)
    return
  }
  if (!isObject(value)) return
  if (!isRoot && isEmbedded(schema)) formResource(value, path, options)
  for (const key of Object.keys(value)) {
    const named = own(schema.properties, key)
    if (isRoot && OBJECT_FIELDS.has(key)) continue
    // Values of a map are told by their keys here.
    const at = named === undefined ? `${path}[${key}]` : below(path, key)
    coerceEmbedded(value[key], named ?? valuesOf(schema), at, options)
  }
}

/** What every resource says of itself has its form, also within another. */
function formResource(resource: JsonObject, path: string, options: PruneOptions): void {
  const refuse = (key: string, why: string): void => {
    const at = FieldPath.of(below(path, key))
    const { field, detail } = invalidValue(at, resource[key], why)
    if (options.lenient !== true) throw new TypeMismatchError(field, `${field}: ${detail}`)
  }
  for (const key of ['apiVersion', 'kind']) {
    if (resource[key] === undefined || typeof resource[key] === 'string') continue
    refuse(key, 'must be a string')
    delete resource[key]
  }
  if (resource['metadata'] === null) resource['metadata'] = {}
  const { metadata } = resource
  if (metadata === undefined) return
  if (!isObject(metadata)) {
    const found = Array.isArray(metadata) ? 'array' : typeof metadata
    refuse('metadata', `json: cannot unmarshal ${found} into Go value of type v1.ObjectMeta`)
    return
  }
  try {
    formMetadata(metadata, below(path, 'metadata'), options)
  } catch (error) {
    if (!(error instanceof TypeMismatchError)) throw error
    refuse('metadata', error.message)
  }
}

/** In place: whoever holds on to the metadata of an object goes on to hold it. */
function formMetadata(metadata: JsonObject, path: string, options: PruneOptions): void {
  const form = metadataForm(metadata, path, options)
  for (const key of Object.keys(metadata)) delete metadata[key]
  Object.assign(metadata, form)
}

function metadataForm(
  metadata: JsonObject,
  path: string,
  { lenient = false, unknown }: PruneOptions,
): JsonObject {
  const read = (value: JsonObject): JsonObject => {
    const { object, unknownFields } = decodeTyped(typeTable, OBJECT_META, value, {
      unknown: unknown === undefined ? 'ignore' : 'collect',
    })
    for (const field of unknownFields) unknown?.push(below(path, field))
    // A type says when it has not been created; an object does not.
    if (object['creationTimestamp'] === null) delete object['creationTimestamp']
    return object
  }
  try {
    return read(metadata)
  } catch (error) {
    if (!lenient || !(error instanceof TypeMismatchError)) throw error
    const kept: JsonObject = {}
    for (const [key, value] of Object.entries(metadata)) {
      try {
        Object.assign(kept, read({ [key]: value }))
      } catch (mismatch) {
        if (!(mismatch instanceof TypeMismatchError)) throw mismatch
      }
    }
    return kept
  }
}

/** Fills in what a schema has a default for, in place. Filling in twice changes nothing. */
export function fillDefaults(value: unknown, schema: Schema | undefined): void {
  fill(value, schema)
  // Defaults within resources may say what no metadata has.
  if (schema !== undefined && bringsMetadata(schema))
    coerceEmbedded(value, schema, '', { lenient: true }, true)
}

const WITH_METADATA = new WeakMap<Schema, boolean>()

/** Whether its defaults may be metadata of resources within the object. */
function bringsMetadata(schema: Schema): boolean {
  let brings = WITH_METADATA.get(schema)
  if (brings === undefined) {
    brings = hasDefaults(schema) && someSchema(schema, isEmbedded)
    WITH_METADATA.set(schema, brings)
  }
  return brings
}

function fill(value: unknown, schema: Schema | undefined): void {
  if (schema === undefined) return
  if (Array.isArray(value)) {
    const items = itemsOf(schema)
    if (items === undefined) return
    for (const [i, item] of value.entries()) {
      if (isStrayNull(item, items) && items.default !== undefined)
        value[i] = copyJson(items.default)
      fill(value[i], items)
    }
    return
  }
  if (!isObject(value)) return
  for (const [key, known] of Object.entries(schema.properties ?? {})) {
    if (known.default === undefined) continue
    if (!Object.hasOwn(value, key) || value[key] === undefined || isStrayNull(value[key], known))
      value[key] = copyJson(known.default)
  }
  const values = valuesOf(schema)
  for (const key of Object.keys(value)) {
    const known = own(schema.properties, key)
    if (known !== undefined) fill(value[key], known)
    else if (values !== undefined) {
      if (isStrayNull(value[key], values) && values.default !== undefined)
        value[key] = copyJson(values.default)
      fill(value[key], values)
    }
  }
}
