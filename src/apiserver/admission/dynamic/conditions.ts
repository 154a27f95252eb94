/** Match conditions: expressions that must all be true for a webhook or a policy to be about a request. */
import type { MatchCondition } from '#api'
import { CelError, type CelBudget } from '#cel'
import { expression, type Activation, type Environment, type Expression } from './expressions.ts'

export interface Condition {
  readonly name: string
  readonly expression: Expression
}

export const conditionExpressions = (
  conditions: readonly MatchCondition[],
  environment: Environment,
): readonly Condition[] =>
  conditions.map(({ name, expression: source }) => ({
    name,
    expression: expression(source, environment, 'bool'),
  }))

export type Matched =
  | { readonly matches: boolean }
  | { readonly matches: undefined; readonly error: string }

/** One that is false decides; otherwise one that fails is an error. */
export async function conditionsMatch(
  conditions: readonly Condition[],
  values: Activation,
  budget: CelBudget,
): Promise<Matched> {
  const errors: string[] = []
  for (const { expression: each } of conditions) {
    try {
      if ((await each.evaluateAsync(values, budget)) !== true) return { matches: false }
    } catch (error) {
      if (!(error instanceof CelError)) throw error
      errors.push(error.message)
    }
  }
  if (errors.length === 0) return { matches: true }
  return {
    matches: undefined,
    error: errors.length === 1 ? errors[0]! : `[${errors.join(', ')}]`,
  }
}
