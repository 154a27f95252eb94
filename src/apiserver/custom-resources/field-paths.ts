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

/** The schema of the field that a path names. */
export function schemaAt(schema: Schema, text: string): Schema | undefined {
  const parts = fieldPathParts(text)
  if (parts === undefined) return undefined
  let at: Schema | undefined = schema
  for (const { name, isKey } of parts) {
    if (at === undefined) return undefined
    at = own(at.properties, name) ?? (isKey ? valuesOf(at) : undefined)
  }
  return at
}

const MAX_SELECTABLE = 8
const SELECTABLE_TYPES = ['string', 'boolean', 'integer']

/** Fields by which objects may be selected. */
export function selectableProblems(
  fields: readonly { readonly jsonPath: string }[],
  schema: Schema | undefined,
  path: FieldPath,
): readonly FieldError[] {
  if (fields.length === 0) return []
  if (schema === undefined)
    return [
      invalidValue(
        path,
        '',
        'may only be set when `version.schema.openAPIV3Schema` is not included',
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
    const found = schemaAt(schema, jsonPath)
    if (found === undefined) {
      errors.push(invalidValue(at, jsonPath, 'is an invalid path: does not refer to a valid field'))
      continue
    }
    if (/^\.metadata\b/.test(jsonPath))
      errors.push(invalidValue(at, jsonPath, 'must not point to fields in metadata'))
    if (!SELECTABLE_TYPES.includes(found.type ?? ''))
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
