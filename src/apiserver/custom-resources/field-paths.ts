/** Paths to fields, as rules and selectable fields name them. */
import { type FieldPath, duplicate, invalidValue, required, type FieldError } from '#machinery'
import { own, valuesOf, type Schema } from './schema.ts'

/** `.spec.size`, `.labels['a.b']`: the parts of a path to a field; undefined for text that is none. */
export function fieldPathParts(
  text: string,
): readonly { readonly name: string; readonly isKey: boolean }[] | undefined {
  const parts: { name: string; isKey: boolean }[] = []
  let rest = text
  while (rest !== '') {
    const found = /^\.([A-Za-z_][A-Za-z0-9_-]*)|^\['((?:\\.|[^'\\])+)'\]/.exec(rest)
    if (found === null) return undefined
    const [whole, field, key] = found
    parts.push(
      field === undefined
        ? { name: key!.replaceAll(/\\(.)/g, '$1'), isKey: true }
        : { name: field, isKey: false },
    )
    rest = rest.slice(whole.length)
  }
  return parts.length === 0 ? undefined : parts
}

/** The schema of the field that a path names; undefined where there is none. */
export const schemaAt = (schema: Schema, text: string): Schema | undefined =>
  fieldAt(schema, text, { allowsKeys: true }).schema

interface FieldAt {
  readonly schema?: Schema | undefined
  /** Why the path leads nowhere. */
  readonly failure?: string
}

const TOKENS = /'(?:[^'\\]|\\.)*'|[.[\]]|[^.[\]]+/g
const NOWHERE: FieldAt = { failure: 'does not refer to a valid field' }
const ENDED: FieldAt = { failure: 'unexpected end of JSON path' }

/** Follows a path token by token: `.name` and `['name']` are alike, and go through maps too. */
function fieldAt(
  schema: Schema,
  text: string,
  { allowsKeys }: { readonly allowsKeys: boolean },
): FieldAt {
  const tokens = text.match(TOKENS) ?? []
  let at: Schema | undefined = schema
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]
    if (token !== '.' && token !== '[') return { failure: `expected [ or . but got: ${token}` }
    if (token === '[' && !allowsKeys) return { failure: 'array notation is not allowed' }
    const name = tokens[++i]
    if (name === undefined) return ENDED
    if (token === '[' && !/^'.*'$/s.test(name))
      return { failure: `expected single quoted string but got ${name}` }
    const key = token === '[' ? name.slice(1, -1).replaceAll(/\\(.)/g, '$1') : name
    if (at === undefined) return NOWHERE
    if (at.properties !== undefined) {
      at = own(at.properties, key)
      if (at === undefined) return NOWHERE
    } else if (at.additionalProperties !== undefined) at = valuesOf(at)
    else return NOWHERE
    if (token !== '[') continue
    const end = tokens[++i]
    if (end === undefined) return ENDED
    if (end !== ']') return { failure: `expected ] but got ${end}` }
  }
  return { schema: at }
}

const MAX_SELECTABLE = 8
const SELECTABLE_TYPES = ['string', 'boolean', 'integer']

/** Fields by which objects may be selected. */
export function selectableProblems(
  fields: readonly { readonly jsonPath: string }[],
  schema: Schema | undefined,
  path: FieldPath,
  /** All versions have the same ones. */
  isShared: boolean,
): readonly FieldError[] {
  if (fields.length === 0) return []
  if (schema === undefined)
    return [
      invalidValue(
        path,
        '',
        isShared
          ? 'may only be set when validations.schema is included'
          : 'may only be set when `version.schema.openAPIV3Schema` is not included',
      ),
    ]
  const errors: FieldError[] = []
  const seen = new Set<string>()
  for (const [i, { jsonPath }] of fields.entries()) {
    const at = path.index(i).child('jsonPath')
    if (jsonPath === '') {
      errors.push(required(at))
      continue
    }
    const { schema: found, failure } = fieldAt(schema, jsonPath, { allowsKeys: false })
    if (failure !== undefined) {
      errors.push(invalidValue(at, jsonPath, `is an invalid path: ${failure}`))
      continue
    }
    if (/^\.metadata\b/.test(jsonPath))
      errors.push(invalidValue(at, jsonPath, 'must not point to fields in metadata'))
    if (!SELECTABLE_TYPES.includes(found?.type ?? ''))
      errors.push(
        invalidValue(
          at,
          jsonPath,
          'must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.',
        ),
      )
    if (seen.has(jsonPath)) errors.push(duplicate(at, jsonPath))
    seen.add(jsonPath)
  }
  if (seen.size > MAX_SELECTABLE)
    errors.push({
      type: 'FieldValueTooMany',
      field: path.text,
      detail: `Too many: ${seen.size}: must have at most ${MAX_SELECTABLE} items`,
    })
  return errors
}
