/** What a validating policy says of one request with one set of parameters. */
import type { ValidatingAdmissionPolicy } from '#api'
import { CelError, type CelBudget } from '#cel'
import { conditionsMatch } from '../dynamic/conditions.ts'
import type { Activation, Expression } from '../dynamic/expressions.ts'
import { Variables } from '../dynamic/variables.ts'
import { compiledValidating, type CompiledValidation } from './compile.ts'

export type Decision = {
  /** It could not be evaluated. */
  readonly failed?: boolean
} & (
  | { readonly admits: true }
  | { readonly admits: false; readonly message: string; readonly reason?: string }
)

export interface Evaluation {
  /** One for each validation, in their order. */
  readonly decisions: readonly Decision[]
  /** By key; those that say nothing are not there. */
  readonly auditAnnotations: readonly { readonly key: string; readonly value: string }[]
  /** Of annotations that could not be made, where that matters. */
  readonly annotationErrors: readonly string[]
}

/** A message of an expression that is longer is not shown. */
const MAX_MESSAGE_BYTES = 5 * 1024

const NOTHING: Evaluation = { decisions: [], auditAnnotations: [], annotationErrors: [] }

export async function evaluate(
  policy: ValidatingAdmissionPolicy,
  values: Activation,
  budgets: { readonly conditions: CelBudget; readonly validations: CelBudget },
): Promise<Evaluation> {
  const { spec } = policy
  const compiled = compiledValidating(policy)
  /** What could not be evaluated refuses, unless the policy is to be passed over then. */
  const failed = (message: string): Decision =>
    spec.failurePolicy === 'Ignore'
      ? { admits: true, failed: true }
      : { admits: false, message, failed: true }

  const conditionVariables = new Variables(compiled.variables, values, budgets.conditions)
  const matched = await conditionsMatch(
    compiled.conditions,
    conditionVariables.values,
    budgets.conditions,
  )
  if (matched.matches === false) return NOTHING
  if (matched.matches === undefined) return { ...NOTHING, decisions: [failed(matched.error)] }

  const budget = budgets.validations
  const variables = new Variables(compiled.variables, values, budget)
  const decisions: Decision[] = []
  for (const [i, validation] of compiled.validations.entries()) {
    const { message = '', reason } = spec.validations![i]!
    const given = { message, ...(reason === undefined ? {} : { reason }) }
    decisions.push(await decide(validation, variables.values, budget, failed, given))
    if (budget.remaining <= 0) return { ...NOTHING, decisions: [failed(OUT_OF_BUDGET)] }
  }

  const auditAnnotations: { key: string; value: string }[] = []
  const annotationErrors: string[] = []
  for (const [i, expression] of compiled.auditAnnotations.entries()) {
    try {
      const value = await annotationOf(expression, variables.values, budget)
      const { key } = spec.auditAnnotations![i]!
      if (value !== '') auditAnnotations.push({ key, value })
    } catch (error) {
      if (!(error instanceof CelError)) throw error
      if (spec.failurePolicy !== 'Ignore') annotationErrors.push(error.message)
    }
  }
  return { decisions, auditAnnotations, annotationErrors }
}

const OUT_OF_BUDGET =
  'validation failed due to running out of cost budget, no further validation rules will be run'

async function decide(
  { expression, messageExpression }: CompiledValidation,
  values: Activation,
  budget: CelBudget,
  failed: (message: string) => Decision,
  given: { readonly message: string; readonly reason?: string },
): Promise<Decision> {
  let result: unknown
  try {
    result = await expression.evaluateAsync(values, budget)
  } catch (error) {
    if (!(error instanceof CelError)) throw error
    return failed(error.message)
  }
  if (result === true) return { admits: true }
  const message =
    (messageExpression && (await messageOf(messageExpression, values, budget))) ||
    given.message.trim() ||
    `failed expression: ${expression.source.trim()}`
  return { admits: false, message, ...(given.reason === undefined ? {} : { reason: given.reason }) }
}

/** '' when the expression gives no message that can be shown. */
async function messageOf(
  expression: Expression,
  values: Activation,
  budget: CelBudget,
): Promise<string> {
  try {
    const value = await expression.evaluateAsync(values, budget)
    const text = typeof value === 'string' ? value.trim() : ''
    return text.includes('\n') || Buffer.byteLength(text) > MAX_MESSAGE_BYTES ? '' : text
  } catch (error) {
    if (!(error instanceof CelError)) throw error
    return ''
  }
}

async function annotationOf(
  expression: Expression,
  values: Activation,
  budget: CelBudget,
): Promise<string> {
  const value = await expression.evaluateAsync(values, budget)
  if (value === null) return ''
  if (typeof value === 'string') return value.trim()
  throw new CelError(
    `valueExpression '${expression.source}' resulted in unsupported return type. Return type must be either string or null.`,
  )
}
