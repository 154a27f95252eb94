/** What an expression can cost at most, from the sizes that its schemas allow (KEP-2876, resource constraints). */
import type { Expr } from './ast.ts'
import type { CelType } from './types.ts'

export interface Estimate {
  readonly min: number
  readonly max: number
}

/** The largest object that a request can bring, in bytes. */
const REQUEST_BYTES = 3 * 1024 * 1024

/** How many of them can be in one object: each takes at least these bytes of JSON. */
function leastBytes(type: CelType): number {
  switch (type.kind) {
    case 'int':
    case 'uint':
    case 'double':
      return 1
    case 'bool':
      return 4
    case 'timestamp':
      return 12
    case 'object': {
      let bytes = 2
      for (const [name, field] of type.fields)
        if (field.required) bytes += name.length + 4 + leastBytes(field.type)
      return bytes
    }
    default:
      return 2
  }
}

function sizeOfType(type: CelType | undefined, maxLength?: number): number {
  switch (type?.kind) {
    case 'string':
    case 'bytes':
      return type.maxLength ?? maxLength ?? REQUEST_BYTES
    case 'list':
      return type.maxItems ?? Math.floor(REQUEST_BYTES / (leastBytes(type.elem) + 1))
    case 'map':
      return type.maxItems ?? Math.floor(REQUEST_BYTES / (leastBytes(type.value) + 6))
    case 'dyn':
      return REQUEST_BYTES
    default:
      return 1
  }
}

interface Known {
  readonly cost: Estimate
  /** How large the result can be: characters, items. */
  readonly size: number
}

const FACTOR = 0.1
/** Conversions of short texts: their length does not count. */
const AT_ONCE: ReadonlySet<string> = new Set([
  'duration',
  'timestamp',
  'int',
  'uint',
  'double',
  'bool',
  'string',
  'type',
  'dyn',
])

export function estimateCost(
  expr: Expr,
  types: ReadonlyMap<Expr, CelType>,
  maxLengths: (expr: Expr) => number | undefined,
): Estimate {
  const bound = new Map<string, number>()
  const sizeOf = (each: Expr): number => {
    if (each.kind === 'literal') {
      const { value } = each.literal
      return typeof value === 'string' || value instanceof Uint8Array ? value.length : 1
    }
    if (each.kind === 'ident' && bound.has(each.name)) return bound.get(each.name)!
    return sizeOfType(types.get(each), maxLengths(each))
  }
  const plus = (...all: readonly Estimate[]): Estimate => ({
    min: all.reduce((sum, { min }) => sum + min, 0),
    max: all.reduce((sum, { max }) => sum + max, 0),
  })
  const flat = (cost: number): Estimate => ({ min: cost, max: cost })

  const known = (each: Expr): Known => {
    switch (each.kind) {
      case 'literal':
        return { cost: flat(0), size: sizeOf(each) }
      case 'ident':
        return { cost: flat(1), size: sizeOf(each) }
      case 'select':
        return { cost: plus(flat(1), known(each.operand).cost), size: sizeOf(each) }
      case 'list':
        return {
          cost: plus(flat(10), ...each.items.map((item) => known(item).cost)),
          size: each.items.length,
        }
      case 'map':
        return {
          cost: plus(
            flat(30),
            ...each.entries.flatMap(({ key, value }) => [known(key).cost, known(value).cost]),
          ),
          size: each.entries.length,
        }
      case 'struct':
        return {
          cost: plus(flat(40), ...each.fields.map(({ value }) => known(value).cost)),
          size: 1,
        }
      case 'bind': {
        const init = known(each.init)
        return scoped(each.variable, init.size, () => {
          const body = known(each.body)
          return { cost: plus(init.cost, body.cost), size: body.size }
        })
      }
      case 'optional-map': {
        const operand = known(each.operand)
        return scoped(each.variable, operand.size, () => {
          const body = known(each.body)
          return {
            cost: { min: operand.cost.min, max: operand.cost.max + body.cost.max },
            size: body.size,
          }
        })
      }
      case 'loop': {
        const range = known(each.range)
        const item = types.get(each.range)
        const [first = '', second] = each.variables
        const elem =
          item?.kind === 'list' ? item.elem : item?.kind === 'map' ? item.value : undefined
        const size = sizeOfType(elem)
        return scoped(first, item?.kind === 'map' ? REQUEST_BYTES : size, () =>
          scoped(second ?? first, size, () => {
            const body = known(each.body)
            const condition = each.condition === undefined ? flat(0) : known(each.condition).cost
            const perItem = 1 + body.cost.max + condition.max
            return {
              cost: { min: range.cost.min + 1, max: range.cost.max + range.size * perItem },
              size: each.loop === 'all' || each.loop.startsWith('exists') ? 1 : range.size,
            }
          }),
        )
      }
      case 'call':
        return called(each)
    }
  }
  const scoped = (name: string, size: number, run: () => Known): Known => {
    const before = bound.get(name)
    bound.set(name, size)
    try {
      return run()
    } finally {
      if (before === undefined) bound.delete(name)
      else bound.set(name, before)
    }
  }
  const called = (each: Extract<Expr, { kind: 'call' }>): Known => {
    const args = each.args.map(known)
    const costs = plus(...args.map(({ cost }) => cost))
    const [a, b] = args
    const [x, y] = [a?.size ?? 1, b?.size ?? 1]
    const result = (max: number, size = 1): Known => ({
      cost: { min: costs.min + Math.min(1, max), max: costs.max + Math.ceil(max) },
      size,
    })
    switch (each.name) {
      case '_&&_':
      case '_||_':
        return { cost: { min: a?.cost.min ?? 0, max: costs.max }, size: 1 }
      case '_?_:_': {
        const [condition, yes, no] = args as [Known, Known, Known]
        return {
          cost: {
            min: condition.cost.min + Math.min(yes.cost.min, no.cost.min),
            max: condition.cost.max + Math.max(yes.cost.max, no.cost.max),
          },
          size: Math.max(yes.size, no.size),
        }
      }
      case '_==_':
      case '_!=_':
      case '_<_':
      case '_<=_':
      case '_>_':
      case '_>=_':
        return result(Math.max(1, Math.min(x, y) * FACTOR))
      case '@in':
        return result(types.get(each.args[1]!)?.kind === 'map' ? 1 : y)
      case 'contains':
        return result(Math.max(1, x * FACTOR * Math.max(1, y * FACTOR)))
      case 'startsWith':
      case 'endsWith':
        return result(Math.max(1, y * FACTOR))
      case 'matches':
      case 'find':
      case 'findAll':
        return result((1 + x) * FACTOR * Math.max(1, y * 0.25), x)
      case '_+_':
        return types.get(each.args[0]!)?.kind === 'string'
          ? result(Math.max(1, (x + y) * FACTOR), x + y)
          : result(1, x + y)
      case 'check':
        return result(350_000)
      case 'sets.contains':
      case 'sets.intersects':
        return result(x * y)
      case 'sets.equivalent':
        return result(x * y * 2)
      case 'isSorted':
      case 'sum':
      case 'min':
      case 'max':
        return result(x)
      case '_[_]':
      case '_[?_]':
        return result(1, sizeOf(each))
      case 'size':
        return result(1)
      case 'replace':
        return result(Math.max(1, x * FACTOR), x + (x + 1) * (args[2]?.size ?? 1))
      default: {
        const ofText = types.get(each.args[0]!)?.kind === 'string'
        // A part of a text, or another form of it, is about as long as the text.
        const size = ofText && types.get(each)?.kind === 'string' ? x : sizeOf(each)
        return result(ofText && !AT_ONCE.has(each.name) ? Math.max(1, x * FACTOR) : 1, size)
      }
    }
  }
  return known(expr).cost
}
