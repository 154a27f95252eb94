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

/** `root`: of `self`, whose schema bounds what is read from it. */
export function estimateCost(expression: Expression, checked: Checked, root: CelType): Range {
  const { min, max } = new Estimator(checked, root).cost(expression)
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
  readonly place: Place | undefined
}
/** Where in the schema a value is from: it has no type when the schema has no such place. */
interface Place {
  readonly type: CelType | undefined
}

class Estimator {
  readonly #checked: Checked
  readonly #costs = new Map<Expression, Range>()
  /** Of what calls give. */
  readonly #sizes = new Map<Expression, Range>()
  readonly #entries = new Map<Expression, Entry>()
  readonly #places = new Map<Expression, Place>()
  readonly #scopes: Local[] = []
  readonly #root: Place

  constructor(checked: Checked, root: CelType) {
    this.#checked = checked
    this.#root = { type: root }
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
      case 'ident': {
        const local = this.#local(expression.name)
        this.#setPlace(expression, local === undefined ? this.#root : local.place)
        return ONE
      }
      case 'select': {
        if (this.#checked.names.has(expression)) {
          this.#setPlace(expression, this.#root)
          return ONE
        }
        const operand = this.cost(expression.operand)
        const { kind } = this.#typeOf(expression.operand)
        if (!expression.test)
          this.#setPlace(expression, this.#within(expression.operand, expression.field))
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
    const accumulator: Local = {
      name: fold.accumulator,
      size: this.#known(fold.start),
      entry: this.#entry(fold.start),
      place: this.#place(fold.start),
    }
    this.#scopes.push(accumulator)
    if (fold.gathering === 'bind' || fold.gathering === 'optMap') {
      const result = this.cost(fold.result)
      this.#setSize(fold, this.#known(fold.result))
      this.#setEntry(fold, this.#entry(fold.result))
      this.#scopes.pop()
      return sum(range, start, result)
    }
    const rounds = this.#size(fold.range)
    const locals = this.#iterated(fold)
    this.#scopes.push(...locals)
    const loop = plus(this.cost(fold.condition), this.cost(fold.step))
    if (fold.start.kind === 'list' || fold.start.kind === 'map') {
      this.#sizes.set(fold, rounds)
      this.#setEntry(fold, this.#entry(fold.step))
    }
    this.#scopes.splice(-locals.length)
    const result = this.cost(fold.result)
    this.#scopes.pop()
    return sum(range, start, times(rounds, loop), result)
  }

  #iterated({ range, variable, variable2 }: Fold): readonly Local[] {
    const entry = this.#entry(range)
    const isList = this.#typeOf(range).kind === 'list'
    const key = (name: string): Local => ({
      name,
      size: entry?.key,
      entry: undefined,
      place: this.#within(range, isList ? '@indices' : '@keys'),
    })
    const value = (name: string): Local => ({
      name,
      size: entry?.value,
      entry: undefined,
      place: this.#within(range, '@items'),
    })
    if (variable2 !== undefined) return [key(variable), value(variable2)]
    return [isList ? value(variable) : key(variable)]
  }

  #setEntry(expression: Expression, entry: Entry | undefined): void {
    if (entry !== undefined) this.#entries.set(expression, entry)
  }

  #setSize(expression: Expression, size: Range | undefined): void {
    if (size !== undefined) this.#sizes.set(expression, size)
  }

  #setPlace(expression: Expression, place: Place | undefined): void {
    if (place !== undefined) this.#places.set(expression, place)
  }

  #place(expression: Expression): Place | undefined {
    if (expression.kind === 'ident') {
      const local = this.#local(expression.name)
      if (local !== undefined) return local.place
    }
    return this.#places.get(expression)
  }

  /** What is in a value that is from nowhere counts as the whole: so it is upstream. */
  #within(expression: Expression, name: string): Place {
    const place = this.#place(expression)
    if (place === undefined) return this.#root
    return { type: place.type === undefined ? undefined : typeWithin(place.type, name) }
  }

  /** How large the keys and the elements of a list or map are that the expression makes. */
  #entry(expression: Expression): Entry | undefined {
    const known = this.#entries.get(expression)
    if (known !== undefined) return known
    if (expression.kind === 'ident') return this.#local(expression.name)?.entry
    if (expression.kind === 'list') return { key: ONE, value: this.#unionOf(expression.elements) }
    if (expression.kind === 'map')
      return {
        key: this.#unionOf(expression.entries.map(({ key }) => key)),
        value: this.#unionOf(expression.entries.map(({ value }) => value)),
      }
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
          this.#setSize(call, this.#known(inner))
          this.#setEntry(call, this.#entry(inner))
        }
        return plus(ONE, first)
      }
      case '_[_]': {
        const [container] = parts
        if (container === undefined) break
        this.#setPlace(call, this.#within(container, '@items'))
        this.#setSize(call, this.#entry(container)?.value)
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
    const sizes = [only.resultSize ?? this.#known(call), ...others.map((each) => each.resultSize)]
    const [size, ...more] = sizes.filter((each) => each !== undefined)
    if (size !== undefined) this.#sizes.set(call, more.reduce(union, size))
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
    const place = this.#place(expression)
    const element = place?.type === undefined ? undefined : typeWithin(place.type, '@items')
    return {
      size: this.#size(expression),
      type,
      element: type.kind === 'list' && element !== undefined ? bounds(element) : undefined,
      literal: expression.kind === 'literal' ? expression.value : undefined,
    }
  }

  #size(expression: Expression): Range {
    return this.#known(expression) ?? UNKNOWN
  }

  #known(expression: Expression): Range | undefined {
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
    const place = this.#place(expression)?.type
    const bounded = place === undefined ? undefined : bounds(place)
    if (bounded !== undefined) return bounded
    if (isScalar(this.#typeOf(expression))) return ONE
    return expression.kind === 'ident' ? this.#local(expression.name)?.size : undefined
  }
}

/** What a schema says; undefined when there is none. */
const bounds = ({ schema }: CelType): Range | undefined =>
  schema === undefined ? undefined : { min: 0, max: schema.maxElements }

function typeWithin(type: CelType, name: string): CelType | undefined {
  switch (name) {
    case '@items':
      return type.kind === 'list' ? type.element : type.kind === 'map' ? type.value : undefined
    case '@keys':
      return type.kind === 'map' ? type.key : undefined
    default:
      return type.kind === 'object' ? type.field(name)?.type : undefined
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

const isScalar = (type: CelType): boolean =>
  type.kind === 'opaque' && type.name === 'optional_type'
    ? isScalar(type.parameters[0] ?? DYN)
    : SCALAR.has(type.kind)
