/** From a checked tree to closures that count what they cost. */
import type {
  Call,
  Expression,
  ListExpression,
  MapExpression,
  Select,
  StructExpression,
} from './ast.ts'
import type { Checked } from './checker.ts'
import { CelError } from './errors.ts'
import { compileCall } from './compile-call.ts'
import { compileFold } from './compile-fold.ts'
import type { Access, Compiling } from './compiling.ts'
import { isConstant } from './constant.ts'
import { charge, noOverload, optionalField, type Eval, type Frame } from './frame.ts'
import { noSuchKey } from './library/standard.ts'
import { unescapeProperty } from './schema.ts'
import { parseType, type CelType, DYN } from './types.ts'
import { CelMap, CelOptional, CelStruct, CelTypeValue, kindOf, mapGet } from './values.ts'

interface Scope {
  readonly name: string
  readonly slot: number
  readonly raw: boolean
}

/** One for each program. */
export class Compiler implements Compiling {
  readonly checked: Checked
  readonly #variables: ReadonlyMap<string, number>
  readonly #scopes: Scope[] = []
  readonly #known = new Map<Expression, Eval>()
  #slots: number

  constructor(checked: Checked, variables: ReadonlyMap<string, number>) {
    this.checked = checked
    this.#variables = variables
    this.#slots = variables.size
  }

  get slots(): number {
    return this.#slots
  }

  typeOf(expression: Expression): CelType {
    return this.checked.types.get(expression) ?? DYN
  }

  /** The value as CEL has it. A part of a tree may stand in it twice, and is built once. */
  compile(expression: Expression): Eval {
    const known = this.#known.get(expression)
    if (known !== undefined) return known
    const run = this.#converted(expression)
    this.#known.set(expression, run)
    return run
  }

  #converted(expression: Expression): Eval {
    const { run, raw } = this.access(expression)
    const convert = raw ? this.typeOf(expression).schema?.convert : undefined
    return convert === undefined ? run : (frame) => convert(run(frame))
  }

  access(expression: Expression): Access {
    switch (expression.kind) {
      case 'literal': {
        const { value } = expression
        return { run: () => value, raw: false }
      }
      case 'ident':
        return this.#ident(expression, expression.name)
      case 'select':
        return this.#select(expression)
      case 'call':
        return this.#call(expression)
      case 'list':
        return { run: this.#list(expression), raw: false }
      case 'map':
        return { run: this.#map(expression), raw: false }
      case 'struct':
        return { run: this.#struct(expression), raw: false }
      case 'fold':
        return { run: compileFold(this, expression), raw: false }
    }
  }

  /** Runs with one more name, which has a place of its own. */
  scoped<Result>(name: string, raw: boolean, build: (slot: number) => Result): Result {
    const slot = this.#slots++
    this.#scopes.push({ name, slot, raw })
    try {
      return build(slot)
    } finally {
      this.#scopes.pop()
    }
  }

  #ident(expression: Expression, name: string): Access {
    const local = name.startsWith('.')
      ? undefined
      : this.#scopes.findLast((scope) => scope.name === name)
    const typeText = this.checked.names.get(expression)
    const slot = local?.slot ?? this.#variables.get(name.replace(/^\./, ''))
    if (
      slot === undefined ||
      (local === undefined && typeText !== undefined && !this.#variables.has(typeText))
    )
      return { run: typeValue(typeText ?? name), raw: false }
    const run: Eval = (frame) => {
      frame.cost++
      const value = frame.slots[slot]
      if (value === undefined) throw new CelError(`no such attribute(s): ${name}`)
      return value
    }
    return { run, raw: local?.raw ?? true }
  }

  #select(expression: Select): Access {
    const name = this.checked.names.get(expression)
    if (name !== undefined) return this.#ident(expression, name)
    const operand = this.access(expression.operand)
    const type = this.typeOf(expression.operand)
    const key =
      type.kind === 'object'
        ? (type.field(expression.field)?.key ?? expression.field)
        : expression.field
    if (type.kind === 'opaque' || type.kind === 'dyn')
      return this.#dynamicSelect(expression, operand)
    const { run } = operand
    // A field of a schema that is null counts as one that is not there; a value of a map does not.
    const nullIsAbsent = type.kind === 'object' && type.schema !== undefined
    const isAbsent = (value: unknown): boolean =>
      value === undefined || (nullIsAbsent && value === null)
    if (expression.test) return { run: (frame) => !isAbsent(lookUp(run(frame), key)), raw: false }
    const missing = noSuchKeyOf(expression.field)
    const safe = !(key in Object.prototype)
    return {
      raw: operand.raw,
      run: (frame) => {
        const value = run(frame)
        frame.cost++
        const found = safe && isJsonObject(value) ? value[key] : lookUp(value, key)
        if (isAbsent(found)) throw missing()
        return found
      },
    }
  }

  /** On a value that may be optional. */
  #dynamicSelect({ field, test }: Select, { run, raw }: Access): Access {
    const missing = noSuchKeyOf(field)
    if (test)
      return {
        raw: false,
        run: (frame) => {
          const value = run(frame)
          if (!(value instanceof CelOptional)) return lookUp(value, field) !== undefined
          return value.present && lookUp(value.value, field) !== undefined
        },
      }
    return {
      raw,
      run: (frame) => {
        const value = run(frame)
        frame.cost++
        if (value instanceof CelOptional) return optionalField(value, field)
        const found = lookUp(value, field)
        if (found === undefined) throw missing()
        return found
      },
    }
  }

  #call(call: Call): Access {
    if (call.name === '_[_]') return this.#index(call)
    return { run: compileCall(this, call), raw: false }
  }

  /** What is taken out of a raw list or map is raw too. */
  #index(call: Call): Access {
    const [operand] = call.args
    const type = operand === undefined ? DYN : this.typeOf(operand)
    if (operand === undefined || (type.kind !== 'list' && type.kind !== 'map'))
      return { run: compileCall(this, call), raw: false }
    const from = this.access(operand)
    return { run: compileCall(this, call, from.run), raw: from.raw }
  }

  #list(expression: ListExpression): Eval {
    const elements = expression.elements.map((each) => this.compile(each))
    const constant = isConstant(expression)
    if (expression.optional.size > 0)
      return (frame) => {
        charge(frame, 10)
        return elements.flatMap((run, i) => {
          const value = run(frame)
          if (!expression.optional.has(i)) return [value]
          if (!(value instanceof CelOptional)) throw noOverload()
          return value.present ? [value.value] : []
        })
      }
    if (constant) {
      const value = elements.map((run) => run(NOTHING))
      return () => value
    }
    return (frame) => {
      charge(frame, 10)
      return elements.map((run) => run(frame))
    }
  }

  #map(expression: MapExpression): Eval {
    const entries = expression.entries.map(({ key, value, optional }) => ({
      key: this.compile(key),
      value: this.compile(value),
      optional,
    }))
    const cost = isConstant(expression) ? 0 : 30
    return (frame) => {
      const map = new CelMap()
      for (const { key, value, optional } of entries) {
        const name = checkedKey(key(frame))
        let found = value(frame)
        if (optional) {
          if (!(found instanceof CelOptional)) throw noOverload()
          if (!found.present) continue
          found = found.value
        }
        if (!map.insert(name, found)) throw new CelError(`Failed with repeated key`)
      }
      charge(frame, cost)
      return map
    }
  }

  #struct({ name, fields }: StructExpression): Eval {
    const built = fields.map((field) => ({
      name: unescapeProperty(field.name),
      optional: field.optional,
      run: this.compile(field.value),
    }))
    const type = name.replace(/^\./, '')
    return (frame) => {
      const object = new CelStruct(type)
      for (const { name: key, run, optional } of built) {
        const value = run(frame)
        if (!optional) object.insert(key, value)
        else if (value instanceof CelOptional && value.present) object.insert(key, value.value)
      }
      charge(frame, 40)
      return object
    }
  }
}

const NOTHING: Frame = {
  slots: [],
  cost: 0,
  limit: Number.POSITIVE_INFINITY,
}

function typeValue(name: string): Eval {
  const type = parseType(name)
  const value = new CelTypeValue(
    type.kind === 'timestamp' || type.kind === 'duration'
      ? `google.protobuf.${type.kind === 'timestamp' ? 'Timestamp' : 'Duration'}`
      : name,
  )
  return (frame) => {
    frame.cost++
    return value
  }
}

const isJsonObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' &&
  value !== null &&
  // Objects from JSON are plain; what CEL builds has a class.
  (value.constructor === Object || value.constructor === undefined)

function lookUp(value: unknown, key: string): unknown {
  if (kindOf(value) !== 'map') throw noOverload()
  return mapGet(value, key)
}
const noSuchKeyOf = (key: string) => (): CelError => noSuchKey(key)

function checkedKey(key: unknown): unknown {
  const kind = kindOf(key)
  if (kind === 'string' || kind === 'int' || kind === 'uint' || kind === 'bool') return key
  throw new CelError('unsupported key type')
}
