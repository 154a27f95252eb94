/** From a checked tree to closures that count what they cost. */
import { authorizerFunctions, type Asked } from './authorizer.ts'
import type { Expr } from './ast.ts'
import { overloads } from './signatures.ts'
import { qualifiedName, typeNamed } from './checker.ts'
import { CelCostError, CelError, noOverload } from './errors.ts'
import { field, int, standardFunctions, type Implementation } from './functions.ts'
import { libraryFunctions } from './library.ts'
import { PendingDecision } from './authorizer.ts'
import type { CelType, ObjectType } from './types.ts'
import { List, MadeMapping, Optional, TypeValue, Uint, isMapping, type CelValue } from './values.ts'

/** One evaluation: values by slot, and what it has cost. */
export interface Frame {
  readonly slots: (CelValue | undefined)[]
  cost: number
  readonly limit: number
  readonly asked: Asked
}

export type Run = (frame: Frame) => CelValue

const LIST_COST = 10
const MAP_COST = 30
const STRUCT_COST = 40
/** Going through a text costs a tenth of its length. */
const TEXT_FACTOR = 0.1

function spend(frame: Frame, cost: number): void {
  frame.cost += cost
  if (frame.cost > frame.limit)
    throw new CelCostError('operation cancelled: actual cost limit exceeded')
}

export interface CompileScope {
  /** Slots of variables by name, dotted names too. */
  readonly slots: ReadonlyMap<string, number>
  readonly structs: ReadonlyMap<string, ObjectType>
  readonly types: ReadonlyMap<Expr, CelType>
  /** Slots that are in use: the loops' variables come behind. */
  next: { count: number }
}

const functions: Readonly<Record<string, Implementation>> = Object.assign(
  Object.create(null) as Record<string, Implementation>,
  standardFunctions,
  libraryFunctions,
  authorizerFunctions,
)

export function compile(expr: Expr, scope: CompileScope): Run {
  switch (expr.kind) {
    case 'literal': {
      const { literal } = expr
      const value: CelValue = literal.type === 'uint' ? new Uint(literal.value) : literal.value
      return () => value
    }
    case 'ident':
      return variable(expr.name, scope)
    case 'select':
      return select(expr, scope)
    case 'call':
      return call(expr, scope)
    case 'list': {
      const items = expr.items.map((item) => compile(item, scope))
      const { optional } = expr
      return (frame) => {
        spend(frame, LIST_COST)
        const values: CelValue[] = []
        items.forEach((item, i) => {
          const value = item(frame)
          if (!optional.has(i)) values.push(value)
          else if (value instanceof Optional) {
            if (value.value !== undefined) values.push(value.value)
          } else throw noOverload()
        })
        return new List(values)
      }
    }
    case 'map': {
      const entries = expr.entries.map(({ key, value, optional }) => ({
        key: compile(key, scope),
        value: compile(value, scope),
        optional,
      }))
      return (frame) => {
        spend(frame, MAP_COST)
        const made: [CelValue, CelValue][] = []
        for (const { key, value, optional } of entries) {
          const [k, v] = [key(frame), value(frame)]
          if (optional && v instanceof Optional) {
            if (v.value !== undefined) made.push([k, v.value])
          } else made.push([k, v])
        }
        const mapping = new MadeMapping(made)
        if (mapping.size !== made.length) throw new CelError('Failed with repeated key')
        return mapping
      }
    }
    case 'struct': {
      const type = scope.structs.get(expr.name)
      const fields = expr.fields.map(({ name, value, optional }) => ({
        name: type?.fields.get(name)?.property ?? name,
        value: compile(value, scope),
        optional,
      }))
      return (frame) => {
        spend(frame, STRUCT_COST)
        const made: [CelValue, CelValue][] = []
        for (const { name, value, optional } of fields) {
          const v = value(frame)
          if (optional && v instanceof Optional) {
            if (v.value !== undefined) made.push([name, v.value])
          } else made.push([name, v])
        }
        return new MadeMapping(made, expr.name)
      }
    }
    case 'bind': {
      const init = compile(expr.init, scope)
      const slot = scope.next.count++
      const body = compile(expr.body, inner(scope, { [expr.variable]: slot }))
      return (frame) => {
        frame.slots[slot] = init(frame)
        return body(frame)
      }
    }
    case 'optional-map': {
      const operand = compile(expr.operand, scope)
      const slot = scope.next.count++
      const body = compile(expr.body, inner(scope, { [expr.variable]: slot }))
      return (frame) => {
        const value = operand(frame)
        if (!(value instanceof Optional)) throw noOverload()
        if (value.value === undefined) return value
        frame.slots[slot] = value.value
        const result = body(frame)
        return expr.flat ? result : new Optional(result)
      }
    }
    case 'loop':
      return loop(expr, scope)
  }
}

const inner = (scope: CompileScope, added: Readonly<Record<string, number>>): CompileScope => ({
  ...scope,
  slots: new Map([...scope.slots, ...Object.entries(added)]),
})

function variable(name: string, scope: CompileScope): Run {
  const slot = scope.slots.get(name)
  if (slot === undefined) {
    const type = typeNamed(name)
    if (type !== undefined) {
      const value = new TypeValue(name)
      return () => value
    }
    return () => {
      throw new CelError(`no such attribute(s): ${name}`)
    }
  }
  return (frame) => {
    spend(frame, 1)
    const value = frame.slots[slot]
    if (value === undefined) throw new CelError(`no such attribute(s): ${name}`)
    return value
  }
}

function select(expr: Extract<Expr, { kind: 'select' }>, scope: CompileScope): Run {
  const full = qualifiedName(expr)
  if (full !== undefined && !scope.slots.has(full.split('.')[0]!)) {
    if (scope.slots.has(full) || typeNamed(full) !== undefined) return variable(full, scope)
  }
  const operand = compile(expr.operand, scope)
  const { field: name } = expr
  if (expr.test)
    return (frame) => {
      spend(frame, 1)
      const value = operand(frame)
      if (value instanceof Optional)
        return value.value !== undefined && field(value.value, name) !== undefined
      return field(value, name) !== undefined
    }
  const optional = expr.optional
  return (frame) => {
    spend(frame, 1)
    const value = operand(frame)
    if (value instanceof Optional)
      return value.value === undefined ? value : new Optional(field(value.value, name))
    const found = field(value, name)
    if (optional) return new Optional(found)
    if (found === undefined) throw new CelError(`no such key: ${name}`)
    return found
  }
}

/** One side may be wrong when the other decides. */
function logical(left: Run, right: Run, decides: boolean): Run {
  return (frame) => {
    let first: CelValue
    try {
      first = left(frame)
    } catch (error) {
      if (!isAbsorbed(error)) throw error
      if (right(frame) === decides) return decides
      throw error
    }
    if (first === decides) return decides
    const second = right(frame)
    if (typeof second !== 'boolean') throw noOverload()
    if (second === decides) return decides
    if (typeof first !== 'boolean') throw noOverload()
    return second
  }
}

const isAbsorbed = (error: unknown): boolean =>
  error instanceof CelError && !(error instanceof CelCostError)

function call(expr: Extract<Expr, { kind: 'call' }>, scope: CompileScope): Run {
  let { name, args } = expr
  if (expr.isMethod) {
    const prefix = args[0] && qualifiedName(args[0])
    const full = prefix === undefined ? undefined : `${prefix}.${name}`
    if (full !== undefined && !scope.slots.has(prefix!.split('.')[0]!) && overloads().has(full))
      [name, args] = [full, args.slice(1)]
  }
  const parts = args.map((each) => compile(each, scope))
  const [a, b, c] = parts as [Run, Run, Run]
  switch (name) {
    case '_&&_':
      return logical(a, b, false)
    case '_||_':
      return logical(a, b, true)
    case '_?_:_':
      return (frame) => {
        const condition = a(frame)
        if (typeof condition !== 'boolean') throw noOverload()
        return condition ? b(frame) : c(frame)
      }
  }
  const run = functions[name]
  if (run === undefined)
    return () => {
      throw noOverload()
    }
  const cost = costOf(name)
  if (parts.length === 1)
    return (frame) => {
      const value = a(frame)
      spend(frame, cost(value))
      return run(value)
    }
  if (parts.length === 2)
    return (frame) => {
      const [x, y] = [a(frame), b(frame)]
      spend(frame, cost(x, y))
      return run(x, y)
    }
  return (frame) => {
    const values = parts.map((part) => part(frame))
    spend(frame, cost(...values))
    return run(...values)
  }
}

const sizeOf = (value: CelValue | undefined): number => {
  if (typeof value === 'string') return value.length
  if (value instanceof Uint8Array) return value.length
  if (value instanceof List) return value.size
  if (typeof value === 'object' && value !== null && isMapping(value)) return value.size
  return 1
}
const textCost = (value: CelValue | undefined): number => Math.ceil(sizeOf(value) * TEXT_FACTOR)

type Cost = (...values: readonly CelValue[]) => number
const one: Cost = () => 1
const COSTS: Readonly<Record<string, Cost>> = {
  contains: (a, b) => Math.ceil(textCost(a) * Math.max(1, sizeOf(b) * TEXT_FACTOR)),
  startsWith: (_, b) => Math.max(1, textCost(b)),
  endsWith: (_, b) => Math.max(1, textCost(b)),
  matches: (a, b) => Math.ceil((1 + sizeOf(a)) * TEXT_FACTOR * Math.max(1, sizeOf(b) * 0.25)),
  find: (a, b) => Math.ceil((1 + sizeOf(a)) * TEXT_FACTOR * Math.max(1, sizeOf(b) * 0.25)),
  findAll: (a, b) => Math.ceil((1 + sizeOf(a)) * TEXT_FACTOR * Math.max(1, sizeOf(b) * 0.25)),
  '@in': (_, b) => (b instanceof List ? Math.max(1, b.size) : 1),
  '_==_': (a, b) => Math.max(1, Math.min(textCost(a), textCost(b))),
  '_!=_': (a, b) => Math.max(1, Math.min(textCost(a), textCost(b))),
  '_<_': (a, b) => Math.max(1, Math.min(textCost(a), textCost(b))),
  '_>_': (a, b) => Math.max(1, Math.min(textCost(a), textCost(b))),
  '_<=_': (a, b) => Math.max(1, Math.min(textCost(a), textCost(b))),
  '_>=_': (a, b) => Math.max(1, Math.min(textCost(a), textCost(b))),
  '_+_': (a, b) =>
    typeof a === 'string' || a instanceof Uint8Array
      ? Math.max(1, Math.ceil((sizeOf(a) + sizeOf(b)) * TEXT_FACTOR))
      : 1,
  isSorted: (a) => Math.max(1, sizeOf(a)),
  sum: (a) => Math.max(1, sizeOf(a)),
  min: (a) => Math.max(1, sizeOf(a)),
  max: (a) => Math.max(1, sizeOf(a)),
  indexOf: (a) => Math.max(1, textCost(a)),
  lastIndexOf: (a) => Math.max(1, textCost(a)),
  'sets.contains': (a, b) => Math.max(1, sizeOf(a) * sizeOf(b)),
  'sets.intersects': (a, b) => Math.max(1, sizeOf(a) * sizeOf(b)),
  'sets.equivalent': (a, b) => Math.max(1, sizeOf(a) * sizeOf(b) * 2),
  check: () => 350_000,
}
for (const name of [
  'lowerAscii',
  'upperAscii',
  'replace',
  'split',
  'substring',
  'trim',
  'join',
  'format',
  'reverse',
  'strings.quote',
  'url',
  'isURL',
  'ip',
  'isIP',
  'cidr',
  'isCIDR',
  'quantity',
  'isQuantity',
  'semver',
  'isSemver',
  'string',
  'bytes',
])
  (COSTS as Record<string, Cost>)[name] = (value) => Math.max(1, textCost(value))

const costOf = (name: string): Cost => (Object.hasOwn(COSTS, name) ? COSTS[name]! : one)

interface Step {
  readonly key: CelValue
  readonly value: CelValue
}

/** What a loop goes through: items with their places, or keys with their values. */
function* stepsOf(range: CelValue, two: boolean): Generator<Step> {
  if (range instanceof List)
    for (let i = 0; i < range.size; i++) {
      const value = range.at(i)
      yield { key: two ? BigInt(i) : value, value }
    }
  else if (range !== null && typeof range === 'object' && isMapping(range))
    for (const key of range.keys()) yield { key, value: two ? range.get(key)! : key }
  else throw noOverload()
}

function loop(expr: Extract<Expr, { kind: 'loop' }>, scope: CompileScope): Run {
  const range = compile(expr.range, scope)
  const [first = '', second] = expr.variables
  const keySlot = scope.next.count++
  const valueSlot = second === undefined ? keySlot : scope.next.count++
  const within = inner(scope, {
    [first]: keySlot,
    ...(second === undefined ? {} : { [second]: valueSlot }),
  })
  const condition = expr.condition && compile(expr.condition, within)
  const body = compile(expr.body, within)
  const two = second !== undefined
  /** Runs the body for each step until it says that it is enough. */
  const each = (frame: Frame, run: (step: Step) => boolean): void => {
    for (const step of stepsOf(range(frame), two)) {
      spend(frame, 1)
      frame.slots[keySlot] = step.key
      if (two) frame.slots[valueSlot] = step.value
      if (condition !== undefined && !truth(condition(frame))) continue
      if (run(step)) return
    }
  }
  switch (expr.loop) {
    case 'all':
    case 'exists': {
      const decides = expr.loop === 'exists'
      return (frame) => {
        let failure: unknown
        let decided = false
        each(frame, () => {
          try {
            decided = truth(body(frame)) === decides
          } catch (error) {
            if (!isAbsorbed(error)) throw error
            failure ??= error
          }
          return decided
        })
        if (decided) return decides
        if (failure !== undefined) throw failure as Error
        return !decides
      }
    }
    case 'exists_one':
      return (frame) => {
        let count = 0
        each(frame, () => {
          if (truth(body(frame))) count++
          return false
        })
        return count === 1
      }
    case 'filter':
      return (frame) => {
        const kept: CelValue[] = []
        each(frame, ({ key }) => {
          if (truth(body(frame))) kept.push(key)
          return false
        })
        return new List(kept)
      }
    case 'map':
    case 'transformList':
      return (frame) => {
        const made: CelValue[] = []
        each(frame, () => {
          made.push(body(frame))
          return false
        })
        return new List(made)
      }
    case 'transformMap':
      return (frame) => {
        const made: [CelValue, CelValue][] = []
        each(frame, ({ key }) => {
          made.push([key, body(frame)])
          return false
        })
        return new MadeMapping(made)
      }
    case 'transformMapEntry':
      return (frame) => {
        const made: [CelValue, CelValue][] = []
        each(frame, () => {
          const entry = body(frame)
          if (entry === null || typeof entry !== 'object' || !isMapping(entry)) throw noOverload()
          for (const key of entry.keys()) made.push([key, entry.get(key)!])
          return false
        })
        const mapping = new MadeMapping(made)
        if (mapping.size !== made.length) throw new CelError('insert failed: key already exists')
        return mapping
      }
  }
}

function truth(value: CelValue): boolean {
  if (typeof value !== 'boolean') throw noOverload()
  return value
}

export { PendingDecision, int }
