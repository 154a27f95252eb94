/** `variables`: expressions with names, each carried out when it is first asked for. */
import { CelError, type CelBudget, type CelMapping, type CelValue } from '#cel'
import type { Activation, Expression } from './expressions.ts'

export class Variables implements CelMapping {
  readonly isMapping = true
  readonly typeName = 'kubernetes.variables'
  /** The activation that has these variables in it. */
  readonly values: Activation
  readonly #expressions: ReadonlyMap<string, Expression>
  readonly #budget: CelBudget
  readonly #known = new Map<string, CelValue>()

  constructor(
    variables: readonly { readonly name: string; readonly expression: Expression }[],
    values: Activation,
    budget: CelBudget,
  ) {
    this.#expressions = new Map(variables.map(({ name, expression }) => [name, expression]))
    this.#budget = budget
    this.values = { ...values, variables: this }
  }

  get size(): number {
    return this.#expressions.size
  }

  keys(): Iterable<string> {
    return this.#expressions.keys()
  }

  get(key: CelValue): CelValue | undefined {
    if (typeof key !== 'string') return undefined
    const expression = this.#expressions.get(key)
    if (expression === undefined) return undefined
    if (!this.#known.has(key)) this.#known.set(key, this.#evaluated(key, expression))
    return this.#known.get(key)
  }

  #evaluated(name: string, expression: Expression): CelValue {
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
