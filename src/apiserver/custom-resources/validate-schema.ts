/** Which schemas a definition may have: OpenAPI v3, structural, with defaults that fit. */
import { type FieldPath, forbiddenField, invalidValue, type FieldError } from '#machinery'
import { openApiProblems } from './open-api.ts'
import { expressionProblems } from './rule-costs.ts'
import { hasRules } from './rules.ts'
import { defaultProblems } from './schema-defaults.ts'
import { canBeStructural, structuralProblems } from './structural.ts'
import type { Schema } from './schema.ts'

/** The problems of a version's schema, whatever rules in CEL it has. */
export function validateSchema(
  schema: Schema,
  path: FieldPath,
  options: { readonly hasStatus: boolean },
): readonly FieldError[] {
  const errors: FieldError[] = []
  if (options.hasStatus) errors.push(...rootProblems(schema, path))
  if (schema.nullable === true)
    errors.push(forbiddenField(path.child('nullable'), 'nullable cannot be true at the root'))
  const isOpen = !canBeStructural(schema)
  const structural = isOpen ? [] : structuralProblems(schema, path)
  if (!isOpen && structural.length === 0) structural.push(...defaultProblems(schema, path))
  const said = openApiProblems(schema, path)
  errors.push(...structural, ...said)
  // Expressions are typed by the schema: what they speak of must be right before they are looked at.
  if (!isOpen && structural.length === 0 && hasRules(schema))
    errors.push(...expressionProblems(schema, path, new Set(said.map(({ field }) => field))))
  return errors
}

/** What may stand beside the properties where the status has an endpoint of its own, in upstream's names. */
const AT_ROOT = [
  'Description',
  'Type',
  'Format',
  'Title',
  'Maximum',
  'ExclusiveMaximum',
  'Minimum',
  'ExclusiveMinimum',
  'MaxLength',
  'MinLength',
  'Pattern',
  'MaxItems',
  'MinItems',
  'UniqueItems',
  'MultipleOf',
  'Required',
  'Items',
  'Properties',
  'ExternalDocs',
  'Example',
  'XPreserveUnknownFields',
  'XValidations',
]
const ALLOWED_AT_ROOT: ReadonlySet<string> = new Set([
  ...AT_ROOT.map((name) => name[0]!.toLowerCase() + name.slice(1)),
  'x-kubernetes-preserve-unknown-fields',
  'x-kubernetes-validations',
])

function rootProblems(schema: Schema, path: FieldPath): readonly FieldError[] {
  if (schema.type !== undefined && schema.type !== '' && schema.type !== 'object')
    return [
      invalidValue(
        path.child('type'),
        schema.type,
        'only "object" is allowed as the type at the root of the schema if the status subresource is enabled',
      ),
    ]
  const others = Object.keys(schema).filter((name) => !ALLOWED_AT_ROOT.has(name))
  return others.length === 0
    ? []
    : [
        invalidValue(
          path,
          schema,
          `only [${AT_ROOT.join(' ')}] fields are allowed at the root of the schema if the status subresource is enabled`,
        ),
      ]
}
