/** Defaults must be good values themselves. */
import { type FieldPath, invalidValue, type FieldError } from '#machinery'
import { copyJson, isObject, sameJson } from '../json.ts'
import { fillDefaults, pruneObject, pruneValue } from './prune.ts'
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
  if (isEmbedded(schema) && isObject(pruned)) pruneObject(pruned, schema, { lenient: true })
  else pruneValue(pruned, schema)
  if (!sameJson(pruned, value)) return [invalidValue(path, value, 'must not have unknown fields')]
  fillDefaults(pruned, schema)
  const errors = [
    ...validateValue(schema, pruned, path.text),
    ...validateLists(schema, pruned, path.text),
  ]
  return errors.length > 0
    ? errors
    : validateRules(schema, pruned, { path, isRoot: isEmbedded(schema) }).errors
}
