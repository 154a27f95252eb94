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

const SCALAR = new Set(['bool', 'int', 'uint', 'double', 'timestamp', 'duration'])
const ZERO = fixed(0)
const ONE = fixed(1)

interface Entry {
  readonly key: Range
  readonly value: Range
}
interface Local {
  readonly name: string
  readonly size: Range | undefined
  readonly entry: Entry | undefined
}

class Estimator {
  readonly #checked: Checked
  readonly #costs = new Map<Expression, Range>()
  /** Of what calls give. */
  readonly #sizes = new Map<Expression, Range>()
  readonly #entries = new Map<Expression, Entry>()
  readonly #scopes: Local[] = []

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
        const { kind } = this.#typeOf(expression.operand)
        const isFree =
          expression.test || (kind !== 'map' && kind !== 'object' && kind !== 'parameter')
        return isFree ? operand : plus(operand, ONE)
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
    if (fold.gathering === 'bind' || fold.gathering === 'optMap') {
      const local = { name: fold.accumulator, size: this.#size(fold.start) }
      this.#scopes.push({ ...local, entry: this.#entry(fold.start) })
      const result = this.cost(fold.result)
      this.#sizes.set(fold, this.#size(fold.result))
      this.#setEntry(fold, this.#entry(fold.result))
      this.#scopes.pop()
      return sum(range, start, result)
    }
    const rounds = this.#size(fold.range)
    const entry = this.#entry(fold.range)
    const isList = this.#typeOf(fold.range).kind === 'list'
    const two = fold.variable2 !== undefined
    const first = two || !isList ? entry?.key : entry?.value
    this.#scopes.push({ name: fold.accumulator, size: this.#size(fold.start), entry: undefined })
    this.#scopes.push({ name: fold.variable, size: first, entry: undefined })
    if (fold.variable2 !== undefined)
      this.#scopes.push({ name: fold.variable2, size: entry?.value, entry: undefined })
    const loop = plus(this.cost(fold.condition), this.cost(fold.step))
    if (fold.start.kind === 'list' || fold.start.kind === 'map') {
      this.#sizes.set(fold, rounds)
      this.#setEntry(fold, this.#gathered(fold))
    }
    this.#scopes.pop()
    if (two) this.#scopes.pop()
    const result = this.cost(fold.result)
    this.#scopes.pop()
    return sum(range, start, times(rounds, loop), result)
  }

  /** Of what a macro adds to its list or map in each round. */
  #gathered({ step }: Fold): Entry | undefined {
    const adding = step.kind === 'call' && step.name === '_?_:_' ? step.args[1] : step
    const [, added, value] = adding?.kind === 'call' ? adding.args : []
    if (added === undefined) return undefined
    if (added.kind === 'list') return this.#entry(added)
    return value === undefined
      ? this.#entry(added)
      : { key: this.#size(added), value: this.#size(value) }
  }

  #setEntry(expression: Expression, entry: Entry | undefined): void {
    if (entry !== undefined) this.#entries.set(expression, entry)
  }

  /** How large the keys and the elements of a list or map are. */
  #entry(expression: Expression): Entry | undefined {
    const known = this.#entries.get(expression)
    if (known !== undefined) return known
    if (expression.kind === 'ident') {
      const local = this.#local(expression.name)?.entry
      if (local !== undefined) return local
    }
    if (expression.kind === 'list') return { key: ONE, value: this.#unionOf(expression.elements) }
    if (expression.kind === 'map')
      return {
        key: this.#unionOf(expression.entries.map(({ key }) => key)),
        value: this.#unionOf(expression.entries.map(({ value }) => value)),
      }
    const type = this.#typeOf(expression)
    if (type.kind === 'list') return { key: ONE, value: sizeOfType(type.element) ?? UNKNOWN }
    if (type.kind === 'map')
      return { key: sizeOfType(type.key) ?? UNKNOWN, value: sizeOfType(type.value) ?? UNKNOWN }
    return undefined
  }

  #unionOf(expressions: readonly Expression[]): Range {
    const [first, ...others] = expressions.map((each) => this.#size(each))
    return first === undefined ? ZERO : others.reduce(union, first)
  }

  #local(name: string): Local | undefined {
    return this.#scopes.findLast((scope) => scope.name === name)
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
        if (yes !== undefined && no !== undefined) {
          this.#sizes.set(call, union(this.#size(yes), this.#size(no)))
          this.#setEntry(call, unionOfEntries(this.#entry(yes), this.#entry(no)))
        }
        return plus(first, union(second, third))
      }
      case 'dyn': {
        const [inner] = parts
        if (inner !== undefined) {
          this.#sizes.set(call, this.#size(inner))
          this.#setEntry(call, this.#entry(inner))
        }
        return plus(ONE, first)
      }
      case '_[_]': {
        const [container] = parts
        const value = container === undefined ? undefined : this.#entry(container)?.value
        if (value !== undefined) this.#sizes.set(call, value)
        break
      }
      case '_+_': {
        const [left, right] = parts
        if (left !== undefined && right !== undefined)
          this.#setEntry(call, unionOfEntries(this.#entry(left), this.#entry(right)))
        break
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
      element: type.kind === 'list' ? this.#entry(expression)?.value : undefined,
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
    const local = expression.kind === 'ident' ? this.#local(expression.name)?.size : undefined
    return sizeOfType(type) ?? local ?? UNKNOWN
  }
}

/** Without a cost of its own it is 1. */
const own = (overload: Overload, args: readonly Sized[]): { cost: Range; resultSize?: Range } =>
  overload.cost?.estimate(args) ?? { cost: ONE }

const sum = (...ranges: readonly Range[]): Range => ranges.reduce(plus, ZERO)

const unionOfEntries = (a: Entry | undefined, b: Entry | undefined): Entry | undefined =>
  a === undefined || b === undefined
    ? undefined
    : { key: union(a.key, b.key), value: union(a.value, b.value) }

/** What a schema says goes first; undefined when nothing is known. */
function sizeOfType(type: CelType): Range | undefined {
  if (type.schema !== undefined) return { min: 0, max: type.schema.maxElements }
  if (type.kind === 'opaque' && type.name === 'optional_type')
    return sizeOfType(type.parameters[0] ?? DYN)
  return SCALAR.has(type.kind) ? ONE : undefined
}
