/** Structural schemas: values are described once, and conditions on them stand apart. */
import { type FieldPath, forbiddenField, invalidValue, required, type FieldError } from '#machinery'
import { sameJson } from '../json.ts'
import { UNSUPPORTED } from './open-api.ts'
import { isUnset } from './unset.ts'
import { patternProblem } from './patterns.ts'
import {
  isEmbedded,
  isIntOrString,
  itemsOf,
  keepsUnknown,
  own,
  valuesOf,
  type Schema,
} from './schema.ts'

type Level = 'root' | 'item' | 'field'

/** What a condition of the root speaks of must be described outside of conditions too; upstream asks no other. */
export const structuralProblems = (schema: Schema, path: FieldPath): FieldError[] =>
  [
    ...shapeProblems(schema, 'root', path),
    ...conditionsCovered(schema, schema, path, path),
  ].toSorted((a, b) => (`${a.field}: ${a.detail}` < `${b.field}: ${b.detail}` ? -1 : 1))

/** Whether a schema says only what can be structural: otherwise that alone is told, and its structure is not judged. */
export function canBeStructural(schema: Schema): boolean {
  if (UNSUPPORTED.some((name) => !isUnset(schema[name]))) return false
  if (schema['x-kubernetes-preserve-unknown-fields'] === false) return false
  if (Array.isArray(schema.items)) return false
  const { anyOf = [], allOf = [], oneOf = [], not, properties = {} } = schema
  return [
    ...Object.values(properties),
    ...anyOf,
    ...allOf,
    ...oneOf,
    ...[not, itemsOf(schema), valuesOf(schema)].filter((each) => each !== undefined),
  ].every(canBeStructural)
}

const EMPTY_TYPE: Readonly<Record<Level, string>> = {
  root: 'must not be empty at the root',
  item: 'must not be empty for specified array items',
  field: 'must not be empty for specified object fields',
}

function shapeProblems(schema: Schema, level: Level, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const { type = '', properties = {} } = schema
  const items = itemsOf(schema)
  const values = valuesOf(schema)
  const embedded = isEmbedded(schema)
  if (type === 'array' && items === undefined && schema.items === undefined)
    errors.push(required(path.child('items'), 'must be specified'))
  if (items !== undefined) errors.push(...shapeProblems(items, 'item', path.child('items')))
  for (const [name, each] of Object.entries(properties))
    errors.push(...shapeProblems(each, 'field', path.child('properties').key(name)))
  if (schema.additionalProperties !== undefined) {
    const at = path.child('additionalProperties')
    if (level === 'root') errors.push(forbiddenField(at, 'must not be used at the root'))
    if (values !== undefined) errors.push(...shapeProblems(values, 'field', at))
    if (embedded)
      errors.push(forbiddenField(at, 'must not be used if x-kubernetes-embedded-resource is set'))
  }
  errors.push(...extensionProblems(schema, path))
  errors.push(
    ...conditionProblems(schema, path, {
      skipAnyOf: isIntOrStringPattern(schema),
      skipFirstAllOf: isIntOrStringPattern(schema.allOf?.[0]),
    }),
  )
  const typePath = path.child('type')
  if (embedded && type !== 'object') {
    const why = 'must be object if x-kubernetes-embedded-resource is true'
    errors.push(type === '' ? required(typePath, why) : invalidValue(typePath, type, why))
  } else if (type === '' && !isIntOrString(schema) && !keepsUnknown(schema))
    errors.push(required(typePath, EMPTY_TYPE[level]))
  if (level === 'root' && type !== '' && type !== 'object')
    errors.push(invalidValue(typePath, type, 'must be object at the root'))
  if (level === 'root' || embedded)
    for (const name of ['kind', 'apiVersion']) {
      const each = own(properties, name)
      if (each !== undefined && each.type !== 'string')
        errors.push(
          invalidValue(
            path.child('properties').key(name).child('type'),
            each.type ?? '',
            'must be string',
          ),
        )
    }
  const metadata = own(properties, 'metadata')
  if (metadata !== undefined)
    errors.push(
      ...metadataProblems(metadata, level, embedded, path.child('properties').key('metadata')),
    )
  if (embedded && !keepsUnknown(schema) && Object.keys(properties).length === 0)
    errors.push(
      required(
        path.child('properties'),
        'must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields',
      ),
    )
  return errors
}

function extensionProblems(schema: Schema, path: FieldPath): readonly FieldError[] {
  if (!isIntOrString(schema)) return []
  const why = 'must be false if x-kubernetes-int-or-string is true'
  const set = [
    ['x-kubernetes-preserve-unknown-fields', keepsUnknown(schema)],
    ['x-kubernetes-embedded-resource', isEmbedded(schema)],
  ] as const
  return set.filter(([, isSet]) => isSet).map(([name]) => invalidValue(path.child(name), true, why))
}

function metadataProblems(
  metadata: Schema,
  level: Level,
  embedded: boolean,
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  if ((level === 'root' || embedded) && metadata.type !== 'object')
    errors.push(invalidValue(path.child('type'), metadata.type ?? '', 'must be object'))
  if (level !== 'root') return errors
  const { type: _type, properties = {}, default: _default, ...others } = metadata
  const names = Object.keys(properties)
  const isPlain =
    names.every((name) => name === 'name' || name === 'generateName') &&
    Object.keys(others).length === 0
  if (!isPlain)
    errors.push(
      forbiddenField(
        path,
        'must not specify anything other than name and generateName, but metadata is implicitly specified',
      ),
    )
  return errors
}

const INT_OR_STRING = [{ type: 'integer' }, { type: 'string' }]
const isIntOrStringPattern = (schema: Schema | undefined): boolean =>
  sameJson(schema?.anyOf, INT_OR_STRING)

interface Skipped {
  readonly skipAnyOf: boolean
  readonly skipFirstAllOf: boolean
}
const NOTHING: Skipped = { skipAnyOf: false, skipFirstAllOf: false }

/** The parts of a schema that hold conditions: what is below them says nothing of the shape. */
function conditionProblems(
  schema: Schema,
  path: FieldPath,
  { skipAnyOf, skipFirstAllOf }: Skipped,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const { anyOf = [], allOf = [], oneOf = [], not, pattern = '' } = schema
  if (!skipAnyOf)
    for (const [i, each] of anyOf.entries())
      errors.push(...nestedProblems(each, path.child('anyOf').index(i)))
  for (const [i, each] of allOf.entries())
    errors.push(
      ...nestedProblems(each, path.child('allOf').index(i), {
        skipAnyOf: skipFirstAllOf && i === 0,
        skipFirstAllOf: false,
      }),
    )
  for (const [i, each] of oneOf.entries())
    errors.push(...nestedProblems(each, path.child('oneOf').index(i)))
  if (not !== undefined) errors.push(...nestedProblems(not, path.child('not')))
  const problem = pattern === '' ? undefined : patternProblem(pattern)
  if (problem !== undefined)
    errors.push(
      invalidValue(
        path.child('pattern'),
        pattern,
        `must be a valid regular expression, but isn't: ${problem}`,
      ),
    )
  return errors
}

const NOT_NESTED = [
  ['type', 'must be empty to be structural'],
  ['additionalProperties', 'must be undefined to be structural'],
  ['default', 'must be undefined to be structural'],
  ['title', 'must be empty to be structural'],
  ['description', 'must be empty to be structural'],
  ['nullable', 'must be false to be structural'],
  ['externalDocs', 'must be undefined to be structural'],
  ['x-kubernetes-preserve-unknown-fields', 'must be false to be structural'],
  ['x-kubernetes-embedded-resource', 'must be false to be structural'],
  ['x-kubernetes-int-or-string', 'must be false to be structural'],
  ['x-kubernetes-list-map-keys', 'must be empty to be structural'],
  ['x-kubernetes-list-type', 'must be undefined to be structural'],
  ['x-kubernetes-map-type', 'must be undefined to be structural'],
  ['x-kubernetes-validations', 'must be empty to be structural'],
] as const

function nestedProblems(
  schema: Schema,
  path: FieldPath,
  skipped: Skipped = NOTHING,
): readonly FieldError[] {
  const errors: FieldError[] = [...conditionProblems(schema, path, skipped)]
  const items = itemsOf(schema)
  if (items !== undefined) errors.push(...nestedProblems(items, path.child('items')))
  for (const [name, each] of Object.entries(schema.properties ?? {}))
    errors.push(...nestedProblems(each, path.child('properties').key(name)))
  for (const [field, why] of NOT_NESTED)
    if (!isUnset(schema[field])) errors.push(forbiddenField(path.child(field), why))
  if (own(schema.properties, 'metadata') !== undefined)
    errors.push(
      forbiddenField(
        path.child('properties').key('metadata'),
        'must not be specified in a nested context',
      ),
    )
  return errors
}

function conditionsCovered(
  condition: Schema,
  schema: Schema,
  at: FieldPath,
  conditionAt: FieldPath,
): readonly FieldError[] {
  const { anyOf = [], allOf = [], oneOf = [], not } = condition
  const all = [
    ...(not === undefined ? [] : [[not, conditionAt.child('not')] as const]),
    ...allOf.map((each, i) => [each, conditionAt.child('allOf').index(i)] as const),
    ...anyOf.map((each, i) => [each, conditionAt.child('anyOf').index(i)] as const),
    ...oneOf.map((each, i) => [each, conditionAt.child('oneOf').index(i)] as const),
  ]
  return all.flatMap(([each, where]) => covered(each, schema, at, where))
}

function covered(
  condition: Schema,
  schema: Schema,
  at: FieldPath,
  conditionAt: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = [...conditionsCovered(condition, schema, at, conditionAt)]
  const because = (where: FieldPath): string => `because it is defined in ${where.text}`
  const items = itemsOf(condition)
  if (items !== undefined) {
    const where = conditionAt.child('items')
    const described = itemsOf(schema)
    errors.push(
      ...(described === undefined
        ? [required(at.child('items'), because(where))]
        : covered(items, described, at.child('items'), where)),
    )
  }
  for (const [name, each] of Object.entries(condition.properties ?? {})) {
    const where = conditionAt.child('properties').key(name)
    const place = at.child('properties').key(name)
    const described = own(schema.properties, name)
    errors.push(
      ...(described === undefined
        ? [required(place, because(where))]
        : covered(each, described, place, where)),
    )
  }
  return errors
}
