/** Values of a configuration that its schema has no room for: who applies them is told before anything else happens. */
import { isObject } from '../json.ts'
import {
  OBJECT_FIELDS,
  isEmbedded,
  isIntOrString,
  itemsOf,
  own,
  valuesOf,
  type Schema,
} from './schema.ts'

export interface TypeMismatch {
  /** `spec.ports[0].port` */
  readonly path: string
  /** In Go's words, as `TypeMismatchError` has them. */
  readonly expected: string
  readonly found: unknown
}

/** All of them, in the order in which they are written. Null fits everywhere. */
export function mismatchesOf(schema: Schema, object: object): readonly TypeMismatch[] {
  const found: TypeMismatch[] = []
  visitFields(schema, object, '', true, found)
  return found
}

function visitFields(
  schema: Schema,
  object: object,
  path: string,
  isResource: boolean,
  found: TypeMismatch[],
): void {
  for (const [name, value] of Object.entries(object)) {
    if (isResource && OBJECT_FIELDS.has(name)) continue
    const known = own(schema.properties, name) ?? valuesOf(schema)
    if (known !== undefined) visit(known, value, path === '' ? name : `${path}.${name}`, found)
  }
}

const SCALARS: Readonly<Record<string, readonly [type: string, go: string]>> = {
  string: ['string', 'string'],
  integer: ['number', 'int64'],
  number: ['number', 'float64'],
  boolean: ['boolean', 'bool'],
}

function visit(schema: Schema, value: unknown, path: string, found: TypeMismatch[]): void {
  if (value === null || value === undefined || isIntOrString(schema)) return
  const { type = '' } = schema
  const scalar = SCALARS[type]
  if (scalar !== undefined) {
    const [name, expected] = scalar
    const given = typeof value === 'bigint' ? 'number' : typeof value
    if (given !== name) found.push({ path, expected, found: value })
  } else if (type === 'array') {
    if (!Array.isArray(value)) found.push({ path, expected: '[]', found: value })
    else
      for (const [i, item] of value.entries()) {
        const items = itemsOf(schema)
        if (items !== undefined) visit(items, item, `${path}[${i}]`, found)
      }
  } else if (type === 'object') {
    if (!isObject(value)) found.push({ path, expected: 'map[', found: value })
    else visitFields(schema, value, path, isEmbedded(schema), found)
  }
}
