/** How lists and maps are merged: `x-kubernetes-list-type` and what belongs to it. */
import {
  type FieldPath,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
  type FieldError,
} from '#machinery'
import { itemsOf, own, type Schema } from './schema.ts'

/** What is wrong with how a schema says that its lists and maps are merged. */
export function listAndMapProblems(schema: Schema, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const { type = '' } = schema
  const mapType = schema['x-kubernetes-map-type']
  const listType = schema['x-kubernetes-list-type']
  const keys = schema['x-kubernetes-list-map-keys'] ?? []
  const items = itemsOf(schema)
  const mustBe = (wanted: string, because: string): void => {
    if (type === wanted) return
    const at = path.child('type')
    const why = `must be ${wanted} if ${because} is specified`
    errors.push(type === '' ? required(at, why) : invalidValue(at, type, why))
  }
  if (mapType !== undefined) {
    mustBe('object', 'x-kubernetes-map-type')
    if (mapType !== 'atomic' && mapType !== 'granular')
      errors.push(
        notSupported(path.child('x-kubernetes-map-type'), mapType, ['atomic', 'granular']),
      )
  }
  if (listType !== undefined) {
    mustBe('array', 'x-kubernetes-list-type')
    if (!['atomic', 'set', 'map'].includes(listType))
      errors.push(
        notSupported(path.child('x-kubernetes-list-type'), listType, ['atomic', 'set', 'map']),
      )
  }
  if (listType === 'set' && type === 'array' && items !== undefined)
    errors.push(...setItemProblems(items, path.child('items')))
  if (keys.length > 0 && listType !== 'map') {
    const at = path.child('x-kubernetes-list-type')
    const why = 'must be map if x-kubernetes-list-map-keys is non-empty'
    errors.push(listType === undefined ? required(at, why) : invalidValue(at, listType, why))
  }
  if (listType === 'map') errors.push(...listMapProblems(schema, keys, path))
  if ((listType === 'set' || listType === 'map') && items?.nullable === true)
    errors.push(
      forbiddenField(
        path.child('items', 'nullable'),
        `cannot be nullable when x-kubernetes-list-type is ${listType}`,
      ),
    )
  return errors
}

function setItemProblems(items: Schema, path: FieldPath): readonly FieldError[] {
  const why = 'must be atomic as item of a list with x-kubernetes-list-type=set'
  const listType = items['x-kubernetes-list-type']
  const mapType = items['x-kubernetes-map-type']
  if (items.type === 'array' && listType !== undefined && listType !== 'atomic')
    return [invalidValue(path.child('x-kubernetes-list-type'), listType, why)]
  if (items.type === 'object' && mapType !== 'atomic')
    return [invalidValue(path.child('x-kubernetes-map-type'), mapType, why)]
  return []
}

function listMapProblems(
  schema: Schema,
  keys: readonly string[],
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const items = itemsOf(schema)
  const at = path.child('x-kubernetes-list-map-keys')
  if (keys.length === 0)
    errors.push(required(at, 'must not be empty if x-kubernetes-list-type is map'))
  if (schema.items === undefined)
    errors.push(
      required(path.child('items'), 'must have a schema if x-kubernetes-list-type is map'),
    )
  if (items === undefined) return errors
  if (items.type !== 'object') {
    errors.push(
      invalidValue(
        path.child('items', 'type'),
        items.type ?? '',
        "must be object if parent array's x-kubernetes-list-type is map",
      ),
    )
    return errors
  }
  for (const [i, key] of keys.entries()) {
    const property = own(items.properties, key)
    const where = path.child('items', 'properties').key(key)
    if (property === undefined)
      errors.push(invalidValue(at, keys, 'entries must all be names of item properties'))
    else {
      if (property.type === 'array' || property.type === 'object')
        errors.push(
          invalidValue(
            where.child('type'),
            items.type,
            "must be a scalar type if parent array's x-kubernetes-list-type is map",
          ),
        )
      if (items.required?.includes(key) !== true && property.default === undefined)
        errors.push(
          required(
            where.child('default'),
            'this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property',
          ),
        )
      if (property.nullable === true)
        errors.push(
          forbiddenField(
            where.child('nullable'),
            'this property is in x-kubernetes-list-map-keys, so it cannot be nullable',
          ),
        )
    }
    if (keys.indexOf(key) < i)
      errors.push(invalidValue(at, keys, 'must not contain duplicate entries'))
  }
  return errors
}
