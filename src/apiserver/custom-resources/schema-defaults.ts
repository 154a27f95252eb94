/** Defaults must be good values themselves. */
import { TypeMismatchError, type FieldPath, invalidValue, type FieldError } from '#machinery'
import { copyJson, sameJson } from '../json.ts'
import { formEmbedded, pruneValue } from './prune.ts'
import { validateRules } from './evaluate-rules.ts'
import { validateLists, validateValue, type Before } from './validate-value.ts'
import { OBJECT_FIELDS, hasDefaults, isEmbedded, itemsOf, type Schema } from './schema.ts'

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
  const plain = { isRoot: false, inMetadata }
  if (items !== undefined) errors.push(...defaultsWithin(items, path.child('items'), plain))
  // Defaults of a map's values are refused elsewhere.
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
  const unknown = sameJson(pruned, value)
    ? []
    : [invalidValue(path, value, 'must not have unknown fields')]
  try {
    formEmbedded(pruned, schema)
  } catch (error) {
    if (!(error instanceof TypeMismatchError)) throw error
    return [
      ...unknown,
      invalidValue(path, value, `must result in valid metadata: ${error.message}`),
    ]
  }
  const errors = [
    ...validateValue(schema, value, path.text),
    ...validateLists(schema, value, path.text),
  ]
  // A default is judged by itself: the messages do not say where it stands, as their fields do.
  if (errors.length > 0)
    return [
      ...unknown,
      ...errors.map((each) => ({
        ...each,
        field: each.field === '<nil>' ? path.text : each.field,
        detail: each.detail.replace(`${path.text}.`, '').replace(path.text, ''),
      })),
    ]
  const judged = (before: Before): readonly FieldError[] => {
    const found = validateRules(schema, value, { path, before, isRoot: isEmbedded(schema) })
    return [...found.errors, ...found.tolerated]
  }
  // As what stays as it is, and as what comes new.
  const stays = judged({ value })
  return [...unknown, ...(stays.length > 0 ? stays : judged(undefined))]
}
