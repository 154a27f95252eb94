/** Defaults must be good values themselves. */
import { TypeMismatchError, type FieldPath, invalidValue, type FieldError } from '#machinery'
import { copyJson, sameJson } from '../json.ts'
import { formEmbedded, pruneValue } from './prune.ts'
import { validateRules } from './evaluate-rules.ts'
import { validateLists, validateValue } from './validate-value.ts'
import { OBJECT_FIELDS, hasDefaults, isEmbedded, itemsOf, valuesOf, type Schema } from './schema.ts'

/** What is wrong with the defaults of a schema that is structural. */
export function defaultProblems(schema: Schema, path: FieldPath): readonly FieldError[] {
  if (!hasDefaults(schema)) return []
  return defaultsWithin(schema, path, { isRoot: true, inMetadata: false })
}

function defaultsWithin(
  schema: Schema,
  path: FieldPath,
  { isRoot, inMetadata }: { readonly isRoot: boolean; readonly inMetadata: boolean },
): readonly FieldError[] {
  const errors: FieldError[] = []
  if (schema.default !== undefined && !inMetadata)
    errors.push(...defaultFits(schema, schema.default, path.child('default')))
  const items = itemsOf(schema)
  const values = valuesOf(schema)
  const plain = { isRoot: false, inMetadata }
  if (items !== undefined) errors.push(...defaultsWithin(items, path.child('items'), plain))
  if (values !== undefined)
    errors.push(...defaultsWithin(values, path.child('additionalProperties'), plain))
  for (const [name, each] of Object.entries(schema.properties ?? {})) {
    const isMeta = (isRoot || isEmbedded(schema)) && OBJECT_FIELDS.has(name)
    errors.push(
      ...defaultsWithin(each, path.child('properties').key(name), {
        isRoot: false,
        inMetadata: inMetadata || isMeta,
      }),
    )
  }
  return errors
}

function defaultFits(schema: Schema, value: unknown, path: FieldPath): readonly FieldError[] {
  const pruned = copyJson(value)
  pruneValue(pruned, schema)
  if (!sameJson(pruned, value)) return [invalidValue(path, value, 'must not have unknown fields')]
  try {
    formEmbedded(pruned, schema)
  } catch (error) {
    if (!(error instanceof TypeMismatchError)) throw error
    return [invalidValue(path, value, `must result in valid metadata: ${error.message}`)]
  }
  const errors = [
    ...validateValue(schema, value, path.text),
    ...validateLists(schema, value, path.text),
  ]
  // A default is judged by itself: the messages do not say where it stands, as their fields do.
  return errors.length > 0
    ? errors.map((each) => ({
        ...each,
        detail: each.detail.replace(`${path.text}.`, '').replace(path.text, ''),
      }))
    : validateRules(schema, value, { path, isRoot: isEmbedded(schema) }).errors
}
