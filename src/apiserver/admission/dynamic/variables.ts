/** `variables`: expressions with names, each carried out when it is first asked for. */
import { CelError, type CelBudget } from '#cel'
import type { Activation, Expression } from './expressions.ts'

export class Variables {
  /** The activation that has these variables in it. */
  readonly values: Activation
  readonly #budget: CelBudget
  readonly #known = new Map<string, unknown>()

  constructor(
    variables: readonly { readonly name: string; readonly expression: Expression }[],
    values: Activation,
    budget: CelBudget,
  ) {
    this.#budget = budget
    const lazy: Record<string, unknown> = {}
    for (const { name, expression } of variables)
      Object.defineProperty(lazy, name, {
        enumerable: true,
        get: () => this.#value(name, expression),
      })
    this.values = { ...values, variables: lazy }
  }

  #value(name: string, expression: Expression): unknown {
    if (!this.#known.has(name)) this.#known.set(name, this.#evaluated(name, expression))
    return this.#known.get(name)
  }

  #evaluated(name: string, expression: Expression): unknown {
    const shown = JSON.stringify(name)
    if (expression.failure !== undefined)
      throw new CelError(`composited variable ${shown} fails to compile: ${expression.failure}`)
    try {
      return expression.evaluate(this.values, this.#budget)
    } catch (error) {
      if (!(error instanceof CelError)) throw error
      throw new CelError(`composited variable ${shown} fails to evaluate: ${error.message}`)
    }
  }
}
