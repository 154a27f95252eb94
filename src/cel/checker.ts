/** Which type each part of an expression has, and what cannot be right, in cel-go's words. */
import { childrenOf, type Expr, type Issue } from './ast.ts'
import { overloads, type Overload } from './signatures.ts'
import {
  BOOL,
  BYTES,
  DOUBLE,
  DURATION,
  DYN,
  ERROR,
  INT,
  NULL,
  STRING,
  TIMESTAMP,
  UINT,
  listOf,
  mapOf,
  optionalOf,
  typeText,
  type CelType,
  type ObjectType,
} from './types.ts'

export interface Checked {
  readonly type: CelType
  readonly types: ReadonlyMap<Expr, CelType>
  readonly issues: readonly Issue[]
}

export interface Scope {
  readonly variables: ReadonlyMap<string, CelType>
  /** Types that may be built, by name. */
  readonly structs: ReadonlyMap<string, ObjectType>
}

const TYPE_NAMES: Readonly<Record<string, CelType>> = {
  int: INT,
  uint: UINT,
  double: DOUBLE,
  string: STRING,
  bytes: BYTES,
  bool: BOOL,
  list: listOf(DYN),
  map: mapOf(DYN, DYN),
  null_type: NULL,
  type: { kind: 'type', of: DYN },
  'google.protobuf.Timestamp': TIMESTAMP,
  'google.protobuf.Duration': DURATION,
}

export const typeNamed = (name: string): CelType | undefined =>
  Object.hasOwn(TYPE_NAMES, name) ? TYPE_NAMES[name] : undefined

/** `a.b.c` as one name; undefined when something in it is no plain name. */
export function qualifiedName(expr: Expr): string | undefined {
  if (expr.kind === 'ident') return expr.name
  if (expr.kind !== 'select' || expr.test || expr.optional) return undefined
  const before = qualifiedName(expr.operand)
  return before === undefined ? undefined : `${before}.${expr.field}`
}

export function check(expr: Expr, scope: Scope): Checked {
  const checker = new Checker(scope)
  const type = checker.typeOf(expr)
  return { type, types: checker.types, issues: checker.issues }
}

type Bindings = Map<string, CelType>

class Checker {
  readonly types = new Map<Expr, CelType>()
  readonly issues: Issue[] = []
  readonly #structs: ReadonlyMap<string, ObjectType>
  #variables: ReadonlyMap<string, CelType>

  constructor({ variables, structs }: Scope) {
    this.#variables = variables
    this.#structs = structs
  }

  typeOf(expr: Expr): CelType {
    const type = this.#infer(expr)
    this.types.set(expr, type)
    return type
  }

  #wrong(at: number, message: string): CelType {
    this.issues.push({ at, message })
    return ERROR
  }

  #within<T>(variables: Readonly<Record<string, CelType>>, run: () => T): T {
    const outer = this.#variables
    this.#variables = new Map([...outer, ...Object.entries(variables)])
    try {
      return run()
    } finally {
      this.#variables = outer
    }
  }

  #infer(expr: Expr): CelType {
    switch (expr.kind) {
      case 'literal':
        return { kind: expr.literal.type }
      case 'ident':
        return this.#ident(expr.name, expr.at)
      case 'select':
        return this.#select(expr)
      case 'call':
        return this.#call(expr)
      case 'list':
        return listOf(
          this.#join(
            expr.items.map((item, i) => {
              const type = this.typeOf(item)
              return expr.optional.has(i) ? this.#unwrapped(type, item) : type
            }),
          ),
        )
      case 'map': {
        const keys = expr.entries.map(({ key }) => this.typeOf(key))
        const values = expr.entries.map(({ value, optional }) => {
          const type = this.typeOf(value)
          return optional ? this.#unwrapped(type, value) : type
        })
        return mapOf(this.#join(keys), this.#join(values))
      }
      case 'struct':
        return this.#struct(expr)
      case 'bind': {
        const init = this.typeOf(expr.init)
        return this.#within({ [expr.variable]: init }, () => this.typeOf(expr.body))
      }
      case 'optional-map': {
        const operand = this.typeOf(expr.operand)
        if (operand.kind !== 'optional' && operand.kind !== 'dyn' && operand.kind !== 'error')
          return this.#noOverload(expr.at, expr.flat ? 'optFlatMap' : 'optMap', true, [
            operand,
            DYN,
            DYN,
          ])
        const elem = operand.kind === 'optional' ? operand.elem : DYN
        const body = this.#within({ [expr.variable]: elem }, () => this.typeOf(expr.body))
        return expr.flat ? body : optionalOf(body)
      }
      case 'loop':
        return this.#loop(expr)
    }
  }

  #unwrapped(type: CelType, at: Expr): CelType {
    if (type.kind === 'optional') return type.elem
    if (type.kind === 'dyn' || type.kind === 'error') return DYN
    return this.#wrong(
      at.at,
      `expected type 'optional_type(${typeText(type)})' but found '${typeText(type)}'`,
    )
  }

  /** The one type of several, or dyn. */
  #join(types: readonly CelType[]): CelType {
    const [first, ...rest] = types
    if (first === undefined) return { kind: 'param', name: '_' }
    return rest.every((type) => same(type, first)) ? first : DYN
  }

  #ident(name: string, at: number): CelType {
    const found = this.#variables.get(name)
    if (found !== undefined) return found
    const type = typeNamed(name)
    if (type !== undefined) return { kind: 'type', of: type }
    return this.#wrong(at, `undeclared reference to '${name}' (in container '')`)
  }

  #select(expr: Extract<Expr, { kind: 'select' }>): CelType {
    const name = qualifiedName(expr)
    if (name !== undefined) {
      const found =
        this.#variables.get(name) ??
        (typeNamed(name) && ({ kind: 'type', of: typeNamed(name)! } as CelType))
      const [first = ''] = name.split('.')
      if (found !== undefined && !this.#variables.has(first)) return found
    }
    const operand = this.typeOf(expr.operand)
    const field = this.#fieldOf(operand, expr.field, expr.at)
    if (expr.test) return BOOL
    if (operand.kind === 'optional' && field.kind !== 'optional') return optionalOf(field)
    return expr.optional && field.kind !== 'optional' ? optionalOf(field) : field
  }

  #fieldOf(type: CelType, field: string, at: number): CelType {
    switch (type.kind) {
      case 'dyn':
      case 'error':
      case 'param':
        return type.kind === 'error' ? ERROR : DYN
      case 'optional':
        return this.#fieldOf(type.elem, field, at)
      case 'map':
        return type.value
      case 'object': {
        const found = type.fields.get(field)
        return found?.type ?? this.#wrong(at, `undefined field '${field}'`)
      }
      default:
        return this.#wrong(at, `type '${typeText(type)}' does not support field selection`)
    }
  }

  #struct(expr: Extract<Expr, { kind: 'struct' }>): CelType {
    const type = this.#structs.get(expr.name)
    if (type === undefined) {
      for (const { value } of expr.fields) this.typeOf(value)
      return this.#wrong(expr.at, `undeclared reference to '${expr.name}' (in container '')`)
    }
    for (const { name, value, optional, at } of expr.fields) {
      const given = this.typeOf(value)
      const field = type.fields.get(name)
      if (field === undefined) this.#wrong(at, `undefined field '${name}'`)
      else {
        const unwrapped = optional ? this.#unwrapped(given, value) : given
        if (!assignable(field.type, unwrapped, new Map()))
          this.#wrong(
            at,
            `expected type of field '${name}' is '${typeText(field.type)}' but provided type is '${typeText(unwrapped)}'`,
          )
      }
    }
    return type
  }

  #loop(expr: Extract<Expr, { kind: 'loop' }>): CelType {
    const range = this.typeOf(expr.range)
    const [first = '', second] = expr.variables
    let item: CelType = DYN
    let other: CelType = DYN
    if (range.kind === 'list')
      [item, other] = second === undefined ? [range.elem, DYN] : [INT, range.elem]
    else if (range.kind === 'map') [item, other] = [range.key, range.value]
    else if (range.kind !== 'dyn' && range.kind !== 'error' && range.kind !== 'param')
      this.#wrong(
        expr.range.at,
        `expression of type '${typeText(range)}' cannot be range of a comprehension (must be list, map, or dynamic)`,
      )
    const variables = { [first]: item, ...(second === undefined ? {} : { [second]: other }) }
    return this.#within(variables, () => {
      if (expr.condition !== undefined) this.#mustBeBool(expr.condition)
      switch (expr.loop) {
        case 'all':
        case 'exists':
        case 'exists_one':
          this.#mustBeBool(expr.body)
          return BOOL
        case 'filter':
          this.#mustBeBool(expr.body)
          return range.kind === 'map'
            ? listOf(range.key)
            : range.kind === 'list'
              ? listOf(range.elem)
              : listOf(DYN)
        case 'map':
        case 'transformList':
          return listOf(this.typeOf(expr.body))
        case 'transformMap':
          return mapOf(range.kind === 'map' ? range.key : INT, this.typeOf(expr.body))
        case 'transformMapEntry': {
          const entry = this.typeOf(expr.body)
          return entry.kind === 'map' ? entry : mapOf(DYN, DYN)
        }
      }
    })
  }

  #mustBeBool(expr: Expr): void {
    const type = this.typeOf(expr)
    if (
      type.kind !== 'bool' &&
      type.kind !== 'dyn' &&
      type.kind !== 'error' &&
      type.kind !== 'param'
    )
      this.#wrong(expr.at, `expected type 'bool' but found '${typeText(type)}'`)
  }

  #call(expr: Extract<Expr, { kind: 'call' }>): CelType {
    const { name, isMethod, args, at } = expr
    if (isMethod) {
      // `sets.contains(a, b)`: a function whose name has a dot, unless there is such a variable.
      const [target] = args
      const prefix = target && qualifiedName(target)
      const full = prefix === undefined ? undefined : `${prefix}.${name}`
      if (
        full !== undefined &&
        !this.#variables.has(prefix!.split('.')[0]!) &&
        overloads().has(full)
      )
        return this.#resolve(full, false, args.slice(1), at)
    }
    return this.#resolve(name, isMethod, args, at)
  }

  #resolve(name: string, isMethod: boolean, args: readonly Expr[], at: number): CelType {
    const types = args.map((each) => this.typeOf(each))
    if (name === '_&&_' || name === '_||_') {
      types.forEach((type, i) => {
        if (!assignable(BOOL, type, new Map()))
          this.#wrong(args[i]!.at, `expected type 'bool' but found '${typeText(type)}'`)
      })
      return BOOL
    }
    if (name === '_?_:_') {
      const [condition, yes, no] = types as [CelType, CelType, CelType]
      if (
        !assignable(BOOL, condition, new Map()) ||
        !(assignable(yes, no, new Map()) || assignable(no, yes, new Map()))
      )
        return this.#noOverload(at, name, false, types)
      if (yes.kind === 'dyn' || no.kind === 'dyn') return DYN
      return mostKnown(yes, no)
    }
    const candidates = (overloads().get(name) ?? []).filter((each) => each.isMethod === isMethod)
    if (candidates.length === 0)
      return this.#wrong(at, `undeclared reference to '${name}' (in container '')`)
    if (types.some(({ kind }) => kind === 'error')) return ERROR
    if (name === 'type') return { kind: 'type', of: types[0] ?? DYN }
    const results: CelType[] = []
    for (const overload of candidates) {
      const bound: Bindings = new Map()
      if (fits(overload, types, bound)) results.push(substitute(overload.result, bound))
    }
    if (results.length === 0) return this.#noOverload(at, name, isMethod, types)
    return this.#join(results)
  }

  #noOverload(at: number, name: string, isMethod: boolean, types: readonly CelType[]): CelType {
    const [target, ...rest] = types.map(typeText)
    const shown = isMethod
      ? `'${target ?? ''}.(${rest.join(', ')})'`
      : `'(${types.map(typeText).join(', ')})'`
    return this.#wrong(at, `found no matching overload for '${name}' applied to ${shown}`)
  }
}

const mostKnown = (a: CelType, b: CelType): CelType => {
  if (a.kind === 'param' || a.kind === 'null') return b
  if (a.kind === 'list' && a.elem.kind === 'param') return b
  if (a.kind === 'map' && a.key.kind === 'param') return b
  return a
}

const fits = (overload: Overload, types: readonly CelType[], bound: Bindings): boolean =>
  overload.args.length === types.length &&
  overload.args.every((wanted, i) => assignable(wanted, types[i]!, bound))

/** Whether a value of the given type may stand where the wanted one is expected. Binds the wanted one's letters. */
function assignable(wanted: CelType, given: CelType, bound: Bindings): boolean {
  if (wanted.kind === 'dyn' || given.kind === 'dyn' || given.kind === 'error') return true
  if (given.kind === 'param' && wanted.kind !== 'param') return true
  if (wanted.kind === 'param') {
    if (wanted.name === '_') return true
    const known = bound.get(wanted.name)
    if (known === undefined || known.kind === 'dyn' || known.kind === 'param') {
      bound.set(wanted.name, given)
      return true
    }
    if (assignable(known, given, bound)) return true
    // Numbers may be compared with each other.
    return false
  }
  if (given.kind === 'null')
    return ['object', 'null', 'opaque', 'timestamp', 'duration', 'optional'].includes(wanted.kind)
  if (wanted.kind === 'null')
    return ['object', 'opaque', 'timestamp', 'duration', 'optional'].includes(given.kind)
  switch (wanted.kind) {
    case 'list':
      return given.kind === 'list' && assignable(wanted.elem, given.elem, bound)
    case 'map':
      return (
        given.kind === 'map' &&
        assignable(wanted.key, given.key, bound) &&
        assignable(wanted.value, given.value, bound)
      )
    case 'optional':
      return given.kind === 'optional' && assignable(wanted.elem, given.elem, bound)
    case 'object':
      return given.kind === 'object' && given.name === wanted.name
    case 'opaque':
      return given.kind === 'opaque' && given.name === wanted.name
    default:
      return given.kind === wanted.kind
  }
}

function substitute(type: CelType, bound: Bindings): CelType {
  switch (type.kind) {
    case 'param':
      return bound.get(type.name) ?? DYN
    case 'list':
      return listOf(substitute(type.elem, bound))
    case 'map':
      return mapOf(substitute(type.key, bound), substitute(type.value, bound))
    case 'optional':
      return optionalOf(substitute(type.elem, bound))
    default:
      return type
  }
}

const same = (a: CelType, b: CelType): boolean =>
  a === b ||
  (a.kind === b.kind && typeText(a) === typeText(b)) ||
  (a.kind === 'list' && b.kind === 'list' && (a.elem.kind === 'param' || b.elem.kind === 'param'))

export { assignable }

/** Whether the expression names the variable anywhere. */
export const mentions = (expr: Expr, variable: string): boolean =>
  (expr.kind === 'ident' && expr.name === variable) ||
  childrenOf(expr).some((child) => mentions(child, variable))
