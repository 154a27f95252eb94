/** Rules in CEL, but for their expressions. */
import { type FieldPath, invalidValue, notSupported, required, type FieldError } from '#machinery'
import { schemaAt } from './field-paths.ts'
import { type Schema } from './schema.ts'

const REASONS = [
  'FieldValueDuplicate',
  'FieldValueForbidden',
  'FieldValueInvalid',
  'FieldValueRequired',
]
const hasLineBreak = (text: string): boolean => /[\n\r]/.test(text)

/** What is wrong around the expressions of a schema. */
export function ruleProblems(schema: Schema, path: FieldPath): readonly FieldError[] {
  return (schema['x-kubernetes-validations'] ?? []).flatMap((each, i) => {
    const at = path.child('x-kubernetes-validations').index(i)
    const { rule, message = '', messageExpression = '', reason, fieldPath = '' } = each
    const errors: FieldError[] = []
    if (rule.trim() === '') errors.push(required(at.child('rule'), 'rule is not specified'))
    else if (message !== '' && message.trim() === '')
      errors.push(invalidValue(at.child('message'), message, 'must be non-empty if specified'))
    else if (hasLineBreak(message.trim()))
      errors.push(invalidValue(at.child('message'), message, 'must not contain line breaks'))
    else if (hasLineBreak(rule.trim()) && message.trim() === '')
      errors.push(
        required(at.child('message'), 'message must be specified if rule contains line breaks'),
      )
    if (messageExpression !== '' && messageExpression.trim() === '')
      errors.push(
        required(at.child('messageExpression'), 'messageExpression must be non-empty if specified'),
      )
    if (reason !== undefined && !REASONS.includes(reason))
      errors.push(notSupported(at.child('reason'), reason, REASONS))
    if (fieldPath !== '') {
      if (fieldPath.trim() === '')
        errors.push(
          invalidValue(at.child('fieldPath'), fieldPath, 'must be non-empty if specified'),
        )
      if (hasLineBreak(fieldPath))
        errors.push(invalidValue(at.child('fieldPath'), fieldPath, 'must not contain line breaks'))
      if (schemaAt(schema, fieldPath) === undefined)
        errors.push(invalidValue(at.child('fieldPath'), fieldPath, 'must be a valid path'))
    }
    return errors
  })
}
