/** Whether a custom resource may be as it is: schema, resources within it, lists, and rules in CEL. */
import type { CustomResourceDefinition } from '#api'
import { dns1035Label, type FieldError, type JsonObject, type KubeObject } from '#machinery'
import { isObject } from '../json.ts'
import { validateMetadata } from '../metadata.ts'
import { validateRules } from './evaluate-rules.ts'
import { parseJsonPath } from './json-path.ts'
import { hasRules } from './rules.ts'
import { isEmbedded, itemsOf, own, valuesOf, type Schema } from './schema.ts'
import { validateLists, validateValue, type Before } from './validate-value.ts'

type Version = CustomResourceDefinition['spec']['versions'][number]

export interface Validator {
  create(object: JsonObject): readonly FieldError[]
  /** What did not change is not judged anew. */
  update(object: JsonObject, old: KubeObject): readonly FieldError[]
}

export function validatorOf(schema: Schema, version: Version): Validator {
  const common = (object: JsonObject): FieldError[] => [
    ...validateScale(object, version),
    ...validateEmbedded(schema, object),
  ]
  const ruled = hasRules(schema)
  const withRules = (
    errors: readonly FieldError[],
    object: JsonObject,
    before: Before,
  ): readonly FieldError[] => {
    if (!ruled) return errors
    // Rules expect values of the right types.
    if (errors.some(({ type }) => BLOCKING.has(type))) return [...errors, NOT_CHECKED]
    return [...errors, ...validateRules(schema, object, { before, isRoot: true })]
  }
  return {
    create(object) {
      const errors = [
        ...validateValue(schema, object),
        ...common(object),
        ...validateLists(schema, object),
      ]
      return withRules(errors, object, undefined)
    },
    update(object, old) {
      const earlier = old as unknown as JsonObject
      const before = { value: earlier }
      const lists = validateLists(schema, object)
      const errors = [
        ...validateValue(schema, object, '', before),
        ...common(object),
        // Doubles that are there already may stay.
        ...(lists.length > 0 && validateLists(schema, earlier).length > 0 ? [] : lists),
      ]
      return withRules(errors, object, before)
    },
  }
}

const BLOCKING: ReadonlySet<string> = new Set([
  'FieldValueNotSupported',
  'FieldValueRequired',
  'FieldValueTooLong',
  'FieldValueTooMany',
  'FieldValueTypeInvalid',
])
const NOT_CHECKED: FieldError = {
  type: 'FieldValueInvalid',
  field: '<nil>',
  detail:
    'Invalid value: "null": some validation rules were not checked because the object was invalid; correct the existing errors to complete validation',
}

const MAX_REPLICAS = 2 ** 31 - 1

function validateScale(object: JsonObject, { subresources }: Version): readonly FieldError[] {
  const { scale } = subresources ?? {}
  if (scale === undefined) return []
  return [scale.specReplicasPath, scale.statusReplicasPath].flatMap((path) => {
    const [value] = parseJsonPath(path)?.(object) ?? []
    if (typeof value !== 'number') return []
    const why =
      value < 0
        ? 'should be a non-negative integer'
        : value > MAX_REPLICAS
          ? `should be less than or equal to ${MAX_REPLICAS}`
          : undefined
    return why === undefined
      ? []
      : [{ type: 'FieldValueInvalid', field: path, detail: `Invalid value: ${value}: ${why}` }]
  })
}

/** Resources within the object say what they are, as all resources do. */
function validateEmbedded(
  schema: Schema,
  value: unknown,
  path = '',
  isRoot = true,
): readonly FieldError[] {
  if (Array.isArray(value)) {
    const items = itemsOf(schema)
    return items === undefined
      ? []
      : value.flatMap((item, i) => validateEmbedded(items, item, `${path}[${i}]`, false))
  }
  if (!isObject(value)) return []
  const values = valuesOf(schema)
  const within = Object.entries(value).flatMap(([key, item]) => {
    const known = own(schema.properties, key)
    if (known !== undefined)
      return validateEmbedded(known, item, path === '' ? key : `${path}.${key}`, false)
    return values === undefined ? [] : validateEmbedded(values, item, `${path}[${key}]`, false)
  })
  return isRoot || !isEmbedded(schema) ? within : [...embeddedProblems(value, path), ...within]
}

function embeddedProblems(object: JsonObject, path: string): readonly FieldError[] {
  const errors: FieldError[] = []
  const { apiVersion, kind, metadata } = object
  const empty = (field: string): FieldError => ({
    type: 'FieldValueRequired',
    field: `${path}.${field}`,
    detail: 'Required value: must not be empty',
  })
  if (typeof apiVersion !== 'string' || apiVersion === '') errors.push(empty('apiVersion'))
  else if (apiVersion.split('/').length > 2)
    errors.push({
      type: 'FieldValueInvalid',
      field: `${path}.apiVersion`,
      detail: `Invalid value: ${JSON.stringify(apiVersion)}: unexpected GroupVersion string: ${apiVersion}`,
    })
  if (typeof kind !== 'string' || kind === '') errors.push(empty('kind'))
  else
    for (const why of dns1035Label(kind.toLowerCase()))
      errors.push({
        type: 'FieldValueInvalid',
        field: `${path}.kind`,
        detail: `Invalid value: ${JSON.stringify(kind)}: may have mixed case, but should otherwise match: ${why}`,
      })
  if (isObject(metadata)) {
    const problems = validateMetadata(
      { name: 'any', ...metadata },
      { ...ANY_KIND, namespaced: metadata['namespace'] !== undefined },
      typeof metadata['namespace'] === 'string' ? metadata['namespace'] : '',
    )
    errors.push(...problems.map((each) => ({ ...each, field: `${path}.${each.field}` })))
  }
  return errors
}

const ANY_KIND = {
  group: '',
  version: '',
  resource: '',
  kind: '',
  singular: '',
  verbs: [],
  type: '',
  stage: 'ga',
  persisted: true,
} as const
