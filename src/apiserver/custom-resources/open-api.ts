/** The part of OpenAPI v3 that schemas of custom resources may use. */
import {
  type FieldPath,
  forbiddenField,
  invalidValue,
  notSupported,
  type FieldError,
} from '#machinery'
import { listAndMapProblems } from './list-types.ts'
import { ruleProblems } from './rule-words.ts'
import { isUnset } from './unset.ts'
import { OBJECT_FIELDS, isEmbedded, itemsOf, valuesOf, type Schema } from './schema.ts'

interface Place {
  readonly isRoot: boolean
  readonly inMetadata: boolean
  /** Why no default may be here. */
  readonly noDefault: string | undefined
}
const TOP: Place = { isRoot: true, inMetadata: false, noDefault: undefined }

const TYPES = ['array', 'boolean', 'integer', 'number', 'object', 'string']
/** Members that no schema of a definition may have. */
export const UNSUPPORTED = [
  'id',
  'additionalItems',
  'patternProperties',
  'definitions',
  'dependencies',
  '$ref',
] as const

/** Members that do not belong, or not together. */
export function openApiProblems(
  schema: Schema,
  path: FieldPath,
  place = TOP,
): readonly FieldError[] {
  const errors: FieldError[] = [...ownProblems(schema, path, place)]
  if (schema.uniqueItems === true)
    errors.push(
      forbiddenField(
        path.child('uniqueItems'),
        'uniqueItems cannot be set to true since the runtime complexity becomes quadratic',
      ),
    )
  const below = { ...place, isRoot: false }
  const { properties = {}, additionalProperties } = schema
  if (
    additionalProperties !== undefined &&
    Object.keys(properties).length > 0 &&
    additionalProperties !== true
  )
    errors.push(
      forbiddenField(
        path.child('additionalProperties'),
        'additionalProperties and properties are mutual exclusive',
      ),
    )
  const values = valuesOf(schema)
  if (values !== undefined)
    errors.push(
      ...openApiProblems(values, path.child('additionalProperties'), {
        ...below,
        noDefault: place.inMetadata
          ? 'inside additionalProperties applying to object metadata'
          : place.noDefault,
      }),
    )
  for (const [name, each] of Object.entries(properties)) {
    const isMeta = (place.isRoot || isEmbedded(schema)) && OBJECT_FIELDS.has(name)
    errors.push(
      ...openApiProblems(each, path.child('properties').key(name), {
        isRoot: false,
        inMetadata: place.inMetadata || isMeta,
        noDefault: isMeta && place.isRoot ? `in top-level ${name}` : place.noDefault,
      }),
    )
  }
  if (schema.not !== undefined)
    errors.push(...openApiProblems(schema.not, path.child('not'), below))
  for (const name of ['allOf', 'oneOf', 'anyOf'] as const)
    for (const [i, each] of (schema[name] ?? []).entries())
      errors.push(...openApiProblems(each, path.child(name).index(i), below))
  const items = itemsOf(schema)
  if (items !== undefined) errors.push(...openApiProblems(items, path.child('items'), below))
  errors.push(...listAndMapProblems(schema, path), ...ruleProblems(schema, path))
  return errors
}

function ownProblems(schema: Schema, path: FieldPath, place: Place): readonly FieldError[] {
  const errors: FieldError[] = []
  const { type = '' } = schema
  if (type !== '' && !TYPES.includes(type))
    errors.push(notSupported(path.child('type'), type, TYPES))
  if (schema.default !== undefined && place.noDefault !== undefined)
    errors.push(forbiddenField(path.child('default'), `must not be set ${place.noDefault}`))
  for (const name of UNSUPPORTED)
    if (!isUnset(schema[name]))
      errors.push(forbiddenField(path.child(name), `${name} is not supported`))
  if (type === 'null')
    errors.push(
      forbiddenField(
        path.child('type'),
        'type cannot be set to null, use nullable as an alternative',
      ),
    )
  if (Array.isArray(schema.items))
    errors.push(
      forbiddenField(path.child('items'), 'items must be a schema object and not an array'),
    )
  if (place.inMetadata && isEmbedded(schema))
    errors.push(
      forbiddenField(
        path.child('x-kubernetes-embedded-resource'),
        'must not be used inside of resource meta',
      ),
    )
  if (schema['x-kubernetes-preserve-unknown-fields'] === false)
    errors.push(
      invalidValue(
        path.child('x-kubernetes-preserve-unknown-fields'),
        false,
        'must be true or undefined',
      ),
    )
  return errors
}
