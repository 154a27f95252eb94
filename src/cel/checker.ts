/** Gives every part of an expression its type, or says what does not fit. */
import type { Call, Expression, Fold, Select, StructExpression } from './ast.ts'
import type { Issue } from './errors.ts'
import { formatIssue } from './format-check.ts'
import type { Functions, Overload } from './functions.ts'
import { Inference } from './inference.ts'
import { isRegex } from './regex.ts'
import { isTimestamp, parseDuration } from './time.ts'
import {
  BOOL,
  DURATION,
  DYN,
  ERROR,
  listOf,
  mapOf,
  opaque,
  optionalOf,
  parseType,
  STRING,
  TIMESTAMP,
  typeOf,
  type CelType,
} from './types.ts'
import { moreGeneral, sameType } from './unify.ts'

/** What an expression is written in. */
export interface Environment {
  readonly functions: Functions
  readonly variables: ReadonlyMap<string, CelType>
  /** Lists and maps may be written with values of several types. */
  readonly mixedLiterals: boolean
  /** What `Object{}` may be; undefined where nothing is built. */
  readonly builds: boolean
}

/** What is known of an expression before it runs. */
export interface Checked {
  readonly types: ReadonlyMap<Expression, CelType>
  /** What a call may mean; one when its arguments decide. */
  readonly overloads: ReadonlyMap<Call, readonly Overload[]>
  /** Selections and identifiers that name a variable with dots, or a type. */
  readonly names: ReadonlyMap<Expression, string>
  /** Calls written as methods of a namespace: `sets.contains(a, b)`. */
  readonly namespaced: ReadonlyMap<Call, string>
  readonly issues: readonly Issue[]
}

/** Never throws: what does not fit is among the issues. */
export function check(expression: Expression, environment: Environment): Checked {
  const checker = new Checker(environment)
  checker.check(expression)
  return checker.finish()
}

const TYPE_NAMES = new Map<string, CelType>(
  ['bool', 'int', 'uint', 'double', 'string', 'bytes', 'null_type', 'type']
    .map((name): [string, CelType] => [name, parseType(name)])
    .concat([
      ['list', listOf(DYN)],
      ['map', mapOf(DYN, DYN)],
      ['google.protobuf.Timestamp', TIMESTAMP],
      ['google.protobuf.Duration', DURATION],
      ['optional_type', optionalOf(DYN)],
      ['dyn', DYN],
    ]),
)

const LITERALS: Readonly<Record<string, (text: string) => boolean>> = {
  matches: isRegex,
  duration: (text) => parseDuration(text) !== undefined,
  timestamp: isTimestamp,
}

const JSON_PATCH_FIELDS: Readonly<Record<string, CelType>> = {
  op: STRING,
  path: STRING,
  from: STRING,
  value: DYN,
}

class Checker {
  readonly #environment: Environment
  readonly #types: Inference
  readonly #known = new Map<Expression, CelType>()
  readonly #overloads = new Map<Call, readonly Overload[]>()
  readonly #names = new Map<Expression, string>()
  readonly #namespaced = new Map<Call, string>()
  readonly #literalIssues: Issue[] = []
  /** In the list of values of a format, which may be of several types. */
  #mixes = false

  constructor(environment: Environment) {
    this.#environment = environment
    this.#types = new Inference(environment.variables)
  }

  finish(): Checked {
    const types = new Map<Expression, CelType>()
    for (const [expression, type] of this.#known) types.set(expression, this.#types.final(type))
    const formats = Array.from(this.#overloads.keys()).flatMap(
      (call) => formatIssue(call, (each) => types.get(each) ?? DYN) ?? [],
    )
    return {
      types,
      overloads: this.#overloads,
      names: this.#names,
      namespaced: this.#namespaced,
      // Literals are looked at where all else is right.
      issues:
        this.#types.issues.length > 0 ? this.#types.issues : [...this.#literalIssues, ...formats],
    }
  }

  check(expression: Expression): CelType {
    const known = this.#known.get(expression)
    const type = known ?? this.#infer(expression)
    this.#known.set(expression, type)
    return type
  }

  #infer(expression: Expression): CelType {
    switch (expression.kind) {
      case 'literal':
        return expression.type
      case 'ident':
        return this.#ident(expression, expression.name)
      case 'select':
        return this.#select(expression)
      case 'call':
        return this.#call(expression)
      case 'list': {
        let element: CelType | undefined
        for (const [i, each] of expression.elements.entries()) {
          const type = this.check(each)
          const inner = expression.optional.has(i) ? this.#types.unwrapped(each, type) : type
          element = this.#joined(each, element, inner)
        }
        return listOf(element ?? this.#types.variable())
      }
      case 'map': {
        let key: CelType | undefined
        let value: CelType | undefined
        for (const entry of expression.entries) {
          key = this.#joined(entry.key, key, this.check(entry.key))
          const type = this.check(entry.value)
          const inner = entry.optional ? this.#types.unwrapped(entry.value, type) : type
          value = this.#joined(entry.value, value, inner)
        }
        // Only these are keys; others would let a type grow without end.
        const isKey = key === undefined || /^(int|uint|bool|string|parameter)$/.test(key.kind)
        return mapOf(isKey ? (key ?? this.#types.variable()) : DYN, value ?? this.#types.variable())
      }
      case 'struct':
        return this.#struct(expression)
      case 'fold':
        return this.#fold(expression)
    }
  }

  /** The element type of a list so far, with one more element. */
  #joined(at: Expression, before: CelType | undefined, next: CelType): CelType {
    if (before === undefined) return next
    const left = this.#types.resolved(before)
    if (this.#types.assignable(left, next)) return moreGeneral(left, this.#types.resolved(next))
    if (this.#environment.mixedLiterals || this.#mixes) return DYN
    return this.#types.report(
      at.offset,
      `expected type '${this.#types.shown(before)}' but found '${this.#types.shown(next)}'`,
    )
  }

  #ident(expression: Expression, name: string): CelType {
    const type = this.#types.lookUp(name)
    if (type !== undefined) return type
    const named = TYPE_NAMES.get(name.replace(/^\./, ''))
    if (named !== undefined) {
      this.#names.set(expression, name.replace(/^\./, ''))
      return typeOf(named)
    }
    return this.#types.report(
      expression.offset,
      `undeclared reference to '${name.replace(/^\./, '')}' (in container '')`,
    )
  }

  #select(expression: Select): CelType {
    const path = expression.test ? undefined : dotted(expression)
    if (path !== undefined) {
      const plain = path.replace(/^\./, '')
      const hidden = this.#types.isHidden(plain.split('.')[0] ?? '')
      const variable = hidden ? undefined : this.#environment.variables.get(plain)
      const type = variable ?? (hidden ? undefined : TYPE_NAMES.get(plain))
      if (type !== undefined) {
        this.#names.set(expression, plain)
        return variable ?? typeOf(type)
      }
    }
    const operand = this.#types.resolved(this.check(expression.operand))
    const field = this.#types.field(operand, expression.field, expression.offset)
    return expression.test ? BOOL : field
  }

  #call(call: Call): CelType {
    if (call.name === '_?._') return this.#optionalSelect(call)
    if (call.name === '_&&_' || call.name === '_||_') {
      for (const each of call.args) this.#expect(each, BOOL)
      return BOOL
    }
    let { name } = call
    let args = call.args
    if (call.target !== undefined) {
      const namespace = this.#namespace(call.target)
      const qualified = namespace === undefined ? undefined : `${namespace}.${call.name}`
      if (qualified !== undefined && this.#environment.functions.byName.has(qualified)) {
        this.#namespaced.set(call, qualified)
        name = qualified
      } else args = [call.target, ...call.args]
    }
    const member = args !== call.args
    const mixes = this.#mixes
    this.#mixes = mixes || (name === 'format' && member)
    const types = args.map((each) => this.check(each))
    this.#mixes = mixes
    const candidates = this.#environment.functions.byName.get(name.replace(/^\./, ''))
    if (candidates === undefined)
      return this.#types.report(
        call.offset,
        `undeclared reference to '${name.replace(/^\./, '')}' (in container '')`,
      )
    const [literal] = call.args
    if (literal?.kind === 'literal' && typeof literal.value === 'string')
      this.#literal(name, literal.value, literal.offset)
    return this.#resolve(call, name, candidates, { types, member })
  }

  /** What is written down can be judged before it is evaluated. */
  #literal(name: string, text: string, offset: number): void {
    if (Object.hasOwn(LITERALS, name) && LITERALS[name]?.(text) === false)
      this.#literalIssues.push({ offset, message: `invalid ${name} argument` })
  }

  /** The dotted name before a call, when it names no variable. */
  #namespace(target: Expression): string | undefined {
    const path = dotted(target)?.replace(/^\./, '')
    if (path === undefined) return undefined
    return this.#types.lookUp(path.split('.')[0] ?? '') === undefined ? path : undefined
  }

  #resolve(
    call: Call,
    name: string,
    candidates: readonly Overload[],
    { types, member }: { readonly types: readonly CelType[]; readonly member: boolean },
  ): CelType {
    const matching: Overload[] = []
    let result: CelType | undefined
    for (const each of candidates) {
      if (each.member !== member || each.args.length !== types.length) continue
      const instance = this.#types.instantiate(each)
      if (!this.#types.fits(instance.args, types)) continue
      matching.push(each)
      const own = this.#types.resolved(instance.result)
      result = result === undefined || sameType(result, own) ? own : DYN
    }
    if (result === undefined) {
      const shown = types.map((type) => this.#types.shown(type))
      const applied = member
        ? `${shown[0] ?? ''}.(${shown.slice(1).join(', ')})`
        : `(${shown.join(', ')})`
      return this.#types.report(
        call.offset,
        `found no matching overload for '${name}' applied to '${applied}'`,
      )
    }
    this.#overloads.set(call, matching)
    return result
  }

  #optionalSelect(call: Call): CelType {
    const [operand, field] = call.args
    if (operand === undefined || field?.kind !== 'literal') return ERROR
    this.check(field)
    const type = this.#types.resolved(this.check(operand))
    const found = this.#types.field(type, String(field.value), call.offset)
    if (found.kind === 'error') return ERROR
    const isOptional = found.kind === 'opaque' && found.name === 'optional_type'
    return isOptional && type.kind === 'opaque' ? found : optionalOf(found)
  }

  #struct(expression: StructExpression): CelType {
    const name = expression.name.replace(/^\./, '')
    const isPatch = name === 'JSONPatch'
    const known = this.#environment.builds && (isPatch || /^Object(\.|$)/.test(name))
    if (!known)
      return this.#types.report(
        expression.offset,
        `undeclared reference to '${name}' (in container '')`,
      )
    for (const field of expression.fields) {
      const type = this.check(field.value)
      const inner = field.optional ? this.#types.unwrapped(field.value, type) : type
      if (!isPatch) continue
      const declared = Object.hasOwn(JSON_PATCH_FIELDS, field.name)
        ? JSON_PATCH_FIELDS[field.name]
        : undefined
      if (declared === undefined)
        this.#types.report(field.offset, `undefined field '${field.name}'`)
      else if (!this.#types.assignable(declared, inner))
        this.#types.report(
          field.offset,
          `expected type of field '${field.name}' is '${this.#types.shown(declared)}' but provided type is '${this.#types.shown(inner)}'`,
        )
    }
    return opaque(name)
  }

  #fold(fold: Fold): CelType {
    const range = this.#types.resolved(this.check(fold.range))
    const start = this.check(fold.start)
    const [first, second] = this.#types.iterated(fold, range)
    this.#types.enter(new Map([[fold.accumulator, start]]))
    this.#types.enter(
      new Map([
        [fold.variable, first],
        ...(fold.variable2 === undefined ? [] : ([[fold.variable2, second]] as const)),
      ]),
    )
    this.#expect(fold.condition, BOOL)
    this.#expect(fold.step, start)
    this.#types.leave()
    const result = this.check(fold.result)
    this.#types.leave()
    return this.#types.resolved(result)
  }

  #expect(expression: Expression, wanted: CelType): void {
    const type = this.check(expression)
    if (!this.#types.assignable(wanted, type))
      this.#types.report(
        expression.offset,
        `expected type '${this.#types.shown(wanted)}' but found '${this.#types.shown(type)}'`,
      )
  }
}

/** `a.b.c` as text; undefined for what is no chain of names. */
function dotted(expression: Expression): string | undefined {
  if (expression.kind === 'ident') return expression.name
  if (expression.kind !== 'select' || expression.test) return undefined
  const operand = dotted(expression.operand)
  return operand === undefined ? undefined : `${operand}.${expression.field}`
}
