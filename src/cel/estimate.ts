/** What an expression may cost at most, before any value is seen. */
import type { Call, Expression, Fold } from './ast.ts'
import type { Checked } from './checker.ts'
import {
  fixed,
  plus,
  times,
  union,
  UNKNOWN,
  type Overload,
  type Range,
  type Sized,
} from './functions.ts'
import { DYN, type CelType } from './types.ts'
import { costSize, runeCount } from './values.ts'

export function estimateCost(expression: Expression, checked: Checked): Range {
  const { min, max } = new Estimator(checked).cost(expression)
  return { min, max: Math.min(max, Number.MAX_SAFE_INTEGER) }
}

const SCALAR = new Set(['bool', 'int', 'uint', 'double', 'null', 'timestamp', 'duration', 'type'])
const ZERO = fixed(0)
const ONE = fixed(1)

class Estimator {
  readonly #checked: Checked
  readonly #costs = new Map<Expression, Range>()
  /** Of what calls give. */
  readonly #sizes = new Map<Expression, Range>()
  readonly #scopes: { readonly name: string; readonly size: Range | undefined }[] = []

  constructor(checked: Checked) {
    this.#checked = checked
  }

  cost(expression: Expression): Range {
    const known = this.#costs.get(expression)
    if (known !== undefined) return known
    const cost = this.#cost(expression)
    this.#costs.set(expression, cost)
    return cost
  }

  #cost(expression: Expression): Range {
    switch (expression.kind) {
      case 'literal':
        return ZERO
      case 'ident':
        return ONE
      case 'select': {
        if (this.#checked.names.has(expression)) return ONE
        const operand = this.cost(expression.operand)
        return expression.test ? operand : plus(operand, ONE)
      }
      case 'call':
        return this.#call(expression)
      case 'list':
        return sum(fixed(10), ...expression.elements.map((each) => this.cost(each)))
      case 'map':
        return sum(
          fixed(30),
          ...expression.entries.flatMap(({ key, value }) => [this.cost(key), this.cost(value)]),
        )
      case 'struct':
        return sum(fixed(40), ...expression.fields.map(({ value }) => this.cost(value)))
      case 'fold':
        return this.#fold(expression)
    }
  }

  #fold(fold: Fold): Range {
    const range = this.cost(fold.range)
    const start = this.cost(fold.start)
    const type = this.#typeOf(fold.range)
    const rounds =
      fold.gathering === 'bind' || fold.gathering === 'optMap' ? ZERO : this.#size(fold.range)
    const element = type.kind === 'list' ? sizeOfType(type.element) : undefined
    const value = type.kind === 'map' ? sizeOfType(type.value) : element
    const key = type.kind === 'map' ? sizeOfType(type.key) : element
    this.#scopes.push({ name: fold.accumulator, size: undefined })
    this.#scopes.push({ name: fold.variable, size: fold.variable2 === undefined ? key : ONE })
    if (fold.variable2 !== undefined) this.#scopes.push({ name: fold.variable2, size: value })
    const condition = this.cost(fold.condition)
    const step = this.cost(fold.step)
    this.#scopes.pop()
    if (fold.variable2 !== undefined) this.#scopes.pop()
    const result = this.cost(fold.result)
    this.#scopes.pop()
    const body = times(rounds, plus(condition, step))
    if (fold.gathering === 'map' || fold.gathering === 'transformList')
      this.#sizes.set(fold, rounds)
    else if (fold.gathering === 'filter') this.#sizes.set(fold, { min: 0, max: rounds.max })
    else this.#sizes.set(fold, this.#size(fold.result))
    return sum(range, start, body, result)
  }

  #call(call: Call): Range {
    const parts = this.#parts(call)
    const costs = parts.map((each) => this.cost(each))
    const [first = ZERO, second = ZERO, third = ZERO] = costs
    switch (call.name) {
      case '_&&_':
      case '_||_':
        return { min: first.min, max: first.max + second.max }
      case '_?_:_': {
        const [, yes, no] = parts
        if (yes !== undefined && no !== undefined)
          this.#sizes.set(call, union(this.#size(yes), this.#size(no)))
        return plus(first, union(second, third))
      }
      default:
        break
    }
    const overloads = this.#checked.overloads.get(call) ?? []
    const args = parts.map((each) => this.#sized(each))
    const [only, ...others] = overloads.map((each) => own(each, args))
    if (only === undefined) return sum(ONE, ...costs)
    const whole = others.reduce((a, b) => union(a, b.cost), only.cost)
    if (only.resultSize !== undefined)
      this.#sizes.set(
        call,
        others.reduce((a, b) => union(a, b.resultSize ?? UNKNOWN), only.resultSize),
      )
    return sum(whole, ...costs)
  }

  #parts(call: Call): readonly Expression[] {
    return call.target === undefined || this.#checked.namespaced.has(call)
      ? call.args
      : [call.target, ...call.args]
  }

  #typeOf(expression: Expression): CelType {
    return this.#checked.types.get(expression) ?? DYN
  }

  #sized(expression: Expression): Sized {
    const type = this.#typeOf(expression)
    return {
      size: this.#size(expression),
      type,
      element: type.kind === 'list' ? (sizeOfType(type.element) ?? UNKNOWN) : undefined,
      literal: expression.kind === 'literal' ? expression.value : undefined,
    }
  }

  #size(expression: Expression): Range {
    const known = this.#sizes.get(expression)
    if (known !== undefined) return known
    if (expression.kind === 'literal')
      return fixed(
        typeof expression.value === 'string'
          ? runeCount(expression.value)
          : costSize(expression.value),
      )
    if (expression.kind === 'list') return fixed(expression.elements.length)
    if (expression.kind === 'map') return fixed(expression.entries.length)
    const type = this.#typeOf(expression)
    const local =
      expression.kind === 'ident'
        ? this.#scopes.findLast(({ name }) => name === expression.name)?.size
        : undefined
    return sizeOfType(type) ?? local ?? UNKNOWN
  }
}

/** Without a cost of its own it is 1. */
const own = (overload: Overload, args: readonly Sized[]): { cost: Range; resultSize?: Range } =>
  overload.cost?.estimate(args) ?? { cost: ONE }

const sum = (...ranges: readonly Range[]): Range => ranges.reduce(plus, ZERO)

/** Undefined when nothing is known. */
function sizeOfType(type: CelType): Range | undefined {
  if (type.schema !== undefined && type.kind !== 'object' && !SCALAR.has(type.kind))
    return { min: 0, max: type.schema.maxElements }
  if (type.schema !== undefined && (type.kind === 'timestamp' || type.kind === 'duration'))
    return { min: 0, max: type.schema.maxElements }
  if (SCALAR.has(type.kind)) return ONE
  return undefined
}
