/** What is known before anything is evaluated. */
import type { Expression } from './ast.ts'

/** Literals all the way down. */
export function isConstant(expression: Expression): boolean {
  if (expression.kind === 'literal') return true
  if (expression.kind === 'list')
    return expression.optional.size === 0 && expression.elements.every(isConstant)
  if (expression.kind === 'map')
    return expression.entries.every(
      ({ key, value, optional }) => !optional && isConstant(key) && isConstant(value),
    )
  return false
}
