/** Whether a custom resource may be as it is: schema, resources within it, lists, and rules in CEL. */
import type { CustomResourceDefinition } from '#api'
import {
  FieldPath,
  dns1035Label,
  invalidValue,
  pathSegment,
  qualifiedName,
  required,
  type FieldError,
  type JsonObject,
  type KubeObject,
} from '#machinery'
import { isObject, textOf } from '../json.ts'
import { validateMetadata } from '../metadata.ts'
import { validateRules } from './evaluate-rules.ts'
import { parseJsonPath } from './json-path.ts'
import { hasRules } from './rules.ts'
import { isEmbedded, itemsOf, own, valuesOf, type Schema } from './schema.ts'
import { fieldBefore, validateLists, validateValue, type Before } from './validate-value.ts'

type Version = CustomResourceDefinition['spec']['versions'][number]

export interface Validator {
  create(object: JsonObject): readonly FieldError[]
  /** What did not change is not judged anew; those who write a status answer for nothing else. */
  update(object: JsonObject, old: KubeObject, part?: 'status'): readonly FieldError[]
  /** What is let pass, after the object was validated: rules about what did not change, and names of finalizers. */
  warnings(object: JsonObject, old: KubeObject | undefined): readonly string[]
}

export function validatorOf(schema: Schema, version: Version): Validator {
  const common = (object: JsonObject): FieldError[] => [
    ...validateScale(object, version),
    ...validateEmbedded(schema, object),
  ]
  const statusSchema = own(schema.properties, 'status')
  /** Told of as a value of its own: only where it is says that it is a status. */
  const statusProblems = ({ status }: JsonObject, before: JsonObject): readonly FieldError[] =>
    statusSchema === undefined || status === undefined
      ? []
      : validateValue(statusSchema, status, '', fieldBefore({ value: before }, 'status')).map(
          (each) => ({
            ...each,
            field: each.field === '<nil>' ? 'status' : `status.${each.field}`,
          }),
        )
  const ruled = hasRules(schema)
  const tolerated = new WeakMap<JsonObject, readonly FieldError[]>()
  const withRules = (
    errors: readonly FieldError[],
    object: JsonObject,
    before: Before,
  ): readonly FieldError[] => {
    if (!ruled) return errors
    // Rules expect values of the right types.
    if (errors.some(({ type }) => BLOCKING.has(type))) return [...errors, NOT_CHECKED]
    const found = validateRules(schema, object, { before, isRoot: true })
    if (found.tolerated.length > 0) tolerated.set(object, found.tolerated)
    return [...errors, ...found.errors]
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
    update(object, old, part) {
      const earlier = old as unknown as JsonObject
      const before = { value: earlier }
      const lists = validateLists(schema, object)
      const errors = [
        ...(part === 'status'
          ? [...statusProblems(object, earlier), ...validateScale(object, version, part)]
          : [...validateValue(schema, object, '', before), ...common(object)]),
        // Doubles that are there already may stay.
        ...(lists.length > 0 && validateLists(schema, earlier).length > 0 ? [] : lists),
      ]
      return withRules(errors, object, before)
    },
    warnings(object, old) {
      return [
        ...(tolerated.get(object) ?? []).map(({ field, detail }) => `${field}: ${detail}`),
        ...finalizerWarnings(object, old),
      ]
    },
  }
}

const STANDARD_FINALIZERS: ReadonlySet<string> = new Set([
  'orphan',
  'foregroundDeletion',
  'kubernetes',
])

/** Finalizers that were added and whose names might be another's. */
function finalizerWarnings(object: JsonObject, old: KubeObject | undefined): readonly string[] {
  const { finalizers = [] } = object['metadata'] as { finalizers?: readonly string[] }
  if (finalizers.length === 0) return []
  const before = new Set(old?.metadata.finalizers)
  return [...new Set(finalizers)]
    .filter((name) => !before.has(name))
    .toSorted()
    .flatMap((name) => {
      const hints = [...qualifiedName(name)]
      if (!name.includes('/') && !STANDARD_FINALIZERS.has(name))
        hints.push(
          `prefer a domain-qualified finalizer name ${name.includes('.') ? 'including a path (/) ' : ''}to avoid accidental conflicts with other finalizer writers`,
        )
      return hints.map((hint) => `metadata.finalizers: ${JSON.stringify(name)}: ${hint}`)
    })
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
    'Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation',
}

const MAX_REPLICAS = 2 ** 31 - 1

function validateScale(
  object: JsonObject,
  { subresources }: Version,
  part?: 'status',
): readonly FieldError[] {
  const { scale } = subresources ?? {}
  if (scale === undefined) return []
  const { specReplicasPath, statusReplicasPath } = scale
  const paths = part === 'status' ? [statusReplicasPath] : [specReplicasPath, statusReplicasPath]
  return paths.flatMap((path) => {
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
  const { metadata } = object
  const at = FieldPath.of(path)
  const kindProblems = (kind: string): readonly string[] =>
    dns1035Label(kind.toLowerCase()).map(
      (why) => `may have mixed case, but should otherwise match: ${why}`,
    )
  const errors = [
    ...wordProblems(object['apiVersion'], at.child('apiVersion'), (version) =>
      version.split('/').length > 2 ? [`unexpected GroupVersion string: ${version}`] : [],
    ),
    ...wordProblems(object['kind'], at.child('kind'), kindProblems),
  ]
  if (!isObject(metadata)) return errors
  const namespace = textOf(metadata['namespace'])
  const problems = validateMetadata(
    { ...metadata, name: textOf(metadata['name']) || 'fakename' },
    { ...ANY_KIND, namespaced: namespace !== '' },
    namespace,
    pathSegment,
  )
  return [...errors, ...problems.map((each) => ({ ...each, field: `${path}.${each.field}` }))]
}

/** A word that a resource cannot be without. */
function wordProblems(
  value: unknown,
  at: FieldPath,
  judge: (word: string) => readonly string[],
): readonly FieldError[] {
  if (value === undefined) return [required(at)]
  if (typeof value !== 'string') return [invalidValue(at, value, 'must be a string')]
  if (value === '') return [invalidValue(at, value, 'must not be empty')]
  return judge(value).map((why) => invalidValue(at, value, why))
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
