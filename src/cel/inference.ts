/** What is known of types while an expression is looked through: variables in scope, types that are still open, faults. */
import type { Expression, Fold } from './ast.ts'
import type { Issue } from './errors.ts'
import type { Overload } from './functions.ts'
import { DYN, ERROR, INT, optionalOf, typeName, type CelType } from './types.ts'
import { assignable, Bindings, substitute } from './unify.ts'

/** One for each expression that is checked. */
export class Inference {
  readonly #variables: ReadonlyMap<string, CelType>
  readonly #issues: Issue[] = []
  readonly #scopes: ReadonlyMap<string, CelType>[] = []
  readonly #bindings = new Bindings()
  #fresh = 0

  constructor(variables: ReadonlyMap<string, CelType>) {
    this.#variables = variables
  }

  get issues(): readonly Issue[] {
    return this.#issues
  }

  /** Notes a fault; what is wrong has a type that fits everything, so that it is told once. */
  report(offset: number, message: string): CelType {
    this.#issues.push({ offset, message })
    return ERROR
  }

  /** A type that what follows decides. */
  variable(): CelType {
    return { kind: 'parameter', name: `#${this.#fresh++}` }
  }

  /** As far as it is decided. */
  resolved(type: CelType): CelType {
    return substitute(type, this.#bindings)
  }

  /** As messages name it; what is open is `dyn`. */
  shown(type: CelType): string {
    return typeName(substitute(type, this.#bindings, { free: true }))
  }

  /** Whether it fits; if so, what was open is decided by it. */
  assignable(to: CelType, from: CelType): boolean {
    return this.#bindings.attempt(() => assignable(to, from, this.#bindings))
  }

  /** As it is at the end, when nothing decides any more what is open. */
  final(type: CelType): CelType {
    return substitute(type, this.#bindings, { free: true })
  }

  /** Whether arguments of these types fit; if so, what was open is decided by them. */
  fits(parameters: readonly CelType[], types: readonly CelType[]): boolean {
    return this.#bindings.attempt(() =>
      parameters.every((each, i) => assignable(each, types[i] ?? DYN, this.#bindings)),
    )
  }

  /** Variables of a comprehension, until it ends. */
  enter(variables: ReadonlyMap<string, CelType>): void {
    this.#scopes.push(variables)
  }
  leave(): void {
    this.#scopes.pop()
  }

  /** Whether a comprehension has a variable of this name, which hides all others. */
  isHidden(name: string): boolean {
    return this.#scopes.some((scope) => scope.has(name))
  }

  /** What an optional value holds. */
  unwrapped(at: Expression, type: CelType): CelType {
    const resolved = this.resolved(type)
    if (resolved.kind === 'dyn' || resolved.kind === 'error') return resolved
    if (resolved.kind === 'opaque' && resolved.name === 'optional_type')
      return resolved.parameters[0] ?? DYN
    return this.report(
      at.offset,
      `expected type 'optional_type(${this.shown(type)})' but found '${this.shown(type)}'`,
    )
  }

  /** The type of a variable; undefined for what is none. */
  lookUp(name: string): CelType | undefined {
    const plain = name.replace(/^\./, '')
    if (plain === name)
      for (let i = this.#scopes.length - 1; i >= 0; i--) {
        const type = this.#scopes[i]?.get(name)
        if (type !== undefined) return type
      }
    return this.#variables.get(plain)
  }

  /** The type of a field, through an optional value too. */
  field(operand: CelType, field: string, offset: number): CelType {
    switch (operand.kind) {
      case 'object': {
        const found = operand.field(field)
        return found?.type ?? this.report(offset, `undefined field '${field}'`)
      }
      case 'map':
        return operand.value
      case 'dyn':
        return DYN
      case 'error':
        return ERROR
      case 'parameter':
        this.assignable(operand, DYN)
        return DYN
      case 'opaque':
        if (operand.name === 'optional_type')
          return optionalOf(this.field(this.resolved(operand.parameters[0] ?? DYN), field, offset))
        break
      default:
        break
    }
    return this.report(offset, `type '${this.shown(operand)}' does not support field selection`)
  }

  /** An overload with type parameters of its own. */
  instantiate({ args, result }: Overload): {
    readonly args: readonly CelType[]
    readonly result: CelType
  } {
    const fresh = new Bindings()
    for (const name of ['A', 'B', 'T', 'K', 'V']) fresh.set(name, this.variable())
    return {
      args: args.map((each) => substitute(each, fresh)),
      result: substitute(result, fresh),
    }
  }

  /** The types of the variables that go through a range. */
  iterated(fold: Fold, range: CelType): readonly [CelType, CelType] {
    const two = fold.variable2 !== undefined
    switch (range.kind) {
      case 'list':
        return two ? [INT, range.element] : [range.element, ERROR]
      case 'map':
        return two ? [range.key, range.value] : [range.key, ERROR]
      case 'dyn':
      case 'error':
        return [DYN, DYN]
      case 'parameter':
        this.assignable(range, DYN)
        return [DYN, DYN]
      default:
        this.report(
          fold.range.offset,
          `expression of type '${this.shown(range)}' cannot be range of a comprehension (must be list, map, or dynamic)`,
        )
        return [ERROR, ERROR]
    }
  }
}
