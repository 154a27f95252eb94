/** What the functions of the libraries cost: the estimates decide which rules a CRD may have, so they are upstream's. */
import {
  fixed,
  plus,
  REGEX,
  scaled,
  times,
  TRAVERSAL,
  UNKNOWN,
  type Cost,
  type Range,
  type Sized,
} from '../functions.ts'
import { CelOpaque, costSize, kindOf, mapEntries, Parts } from '../values.ts'

export const sizeOf = (args: readonly Sized[], index = 0): Range => args[index]?.size ?? UNKNOWN
export const nominal: Cost = { actual: () => 1, estimate: () => ({ cost: fixed(1) }) }
export const fixedCost = (cost: number): Cost => ({
  actual: () => cost,
  estimate: () => ({ cost: fixed(cost) }),
})

const characters = (value: unknown, factor = 1): number =>
  Math.ceil(costSize(value) * factor * TRAVERSAL)

/** Goes through the text once; what it gives is no longer. */
export const traverses: Cost = {
  actual: ([text]) => characters(text),
  estimate: (args) => ({ cost: scaled(sizeOf(args), TRAVERSAL), resultSize: sizeOf(args) }),
}
/** Goes through the text once, for something that has no size. */
export const parsed: Cost = {
  actual: ([text]) => characters(text),
  estimate: (args) => ({ cost: scaled(sizeOf(args), TRAVERSAL) }),
}
/** Read, and compared with what it reads as. */
export const parsedTwice: Cost = {
  actual: ([text]) => characters(text, 2),
  estimate: (args) => ({ cost: scaled(sizeOf(args), 2 * TRAVERSAL) }),
}

/** Once through it, and once through what is made. */
export const splits: Cost = {
  actual: ([text]) => characters(text, 2),
  estimate: (args) => {
    const size = sizeOf(args)
    const most = kindOf(args[2]?.literal) === 'int' ? Number(args[2]?.literal) : size.max
    return { cost: scaled(size, 2 * TRAVERSAL), resultSize: { min: 0, max: most } }
  },
}
export const replaces: Cost = {
  actual: ([text]) => characters(text, 2),
  estimate: (args) => {
    const [size, from, to] = [sizeOf(args), sizeOf(args, 1), sizeOf(args, 2)]
    return {
      cost: scaled(size, 2 * TRAVERSAL),
      resultSize: { min: shortest(size, from, to), max: longest(size, from, to) },
    }
  },
}
/** An empty text is found around every character. */
function longest(size: Range, from: Range, to: Range): number {
  if (from.min === 0) return product(size.max + 1, to.max) + size.max
  if (to.max <= from.min) return size.max
  return product(Math.ceil(size.max / from.min), to.max)
}
function shortest(size: Range, from: Range, to: Range): number {
  if (from.max === 0) return product(size.min + 1, to.min) + size.min
  if (from.max <= to.min) return size.min
  return product(Math.ceil(size.min / from.max), to.min)
}
const product = (a: number, b: number): number => (a === 0 || b === 0 ? 0 : a * b)

export const joins: Cost = {
  actual: (_, result) => characters(result, 2),
  estimate: (args) => {
    const list = sizeOf(args)
    const elements = times(list, args[0]?.element ?? UNKNOWN)
    const gaps = { min: Math.max(0, list.min - 1), max: Math.max(0, list.max - 1) }
    const size = args.length > 1 ? plus(elements, times(sizeOf(args, 1), gaps)) : elements
    return { cost: scaled(size, TRAVERSAL), resultSize: size }
  },
}
export const finds: Cost = {
  actual: ([text, pattern]) =>
    Math.ceil((1 + costSize(text)) * TRAVERSAL) * Math.ceil(costSize(pattern) * REGEX),
  estimate: (args) => {
    const text = scaled(plus(sizeOf(args), fixed(1)), TRAVERSAL)
    return {
      cost: times(text, scaled(sizeOf(args, 1), REGEX)),
      resultSize: { min: 0, max: sizeOf(args).max },
    }
  },
}

/** Of all that is in a value. */
function traversal(value: unknown, parts = new Parts()): number {
  parts.next()
  if (typeof value === 'string') return Math.floor(Buffer.byteLength(value) * TRAVERSAL)
  if (Array.isArray(value))
    return value.reduce<number>((sum, each) => sum + traversal(each, parts), 0)
  if (value instanceof Uint8Array) return Math.floor(value.length * TRAVERSAL)
  if (value instanceof CelOpaque || kindOf(value) !== 'map') return 1
  let sum = 0
  for (const [key, each] of mapEntries(value)) sum += traversal(key, parts) + traversal(each, parts)
  return sum
}
/** Each element of a list is looked at once; the characters of strings too. */
export const compares: Cost = {
  actual: ([list]) => traversal(list),
  estimate: (args) => {
    const [list] = args
    const size = sizeOf(args)
    if (list?.type.kind !== 'list') return { cost: scaled(size, TRAVERSAL) }
    const { kind } = list.type.element
    const isText = kind === 'string' || kind === 'bytes'
    const each = isText ? scaled(list.element ?? UNKNOWN, TRAVERSAL) : fixed(0)
    return { cost: times(size, plus(fixed(1), each)) }
  },
}

/** Makes a list of so many elements, or of as many as there are rounds of work. */
export const makesList = (
  actual: (args: readonly unknown[], result: unknown) => number,
  estimate: (args: readonly Sized[]) => { readonly rounds: Range; readonly size: Range },
): Cost => ({
  actual: (args, result) => Math.floor(actual(args, result)) + LIST,
  estimate: (args) => {
    const { rounds, size } = estimate(args)
    return { cost: plus(rounds, fixed(LIST)), resultSize: size }
  },
})
/** The call itself, and the list it makes. */
const LIST = 11

/** Each element of the list with each: more than a budget allows is refused before it is done. */
export const selfCompares = (index = 0): Cost => ({
  ...makesList(
    (args) => {
      const list: unknown = args[index]
      const first: unknown = Array.isArray(list) ? list[0] : undefined
      const isText = typeof first === 'string' || first instanceof Uint8Array
      return costSize(list) ** 2 * (2 + (isText ? TRAVERSAL : 0))
    },
    (args) => {
      const type = args[index]?.type
      const kind = type?.kind === 'list' ? type.element.kind : 'dyn'
      const isText = kind === 'string' || kind === 'bytes'
      const size = times(sizeOf(args, index), sizeOf(args, index))
      return { rounds: scaled(size, 2 + (isText ? TRAVERSAL : 0)), size }
    },
  ),
  isAhead: true,
})

/** Every element with every other, `rounds` times. */
export const crosses = (rounds: number): Cost => ({
  actual: ([a, b]) => costSize(a) * costSize(b) * rounds + 1,
  estimate: (args) => ({
    cost: plus(scaled(times(sizeOf(args), sizeOf(args, 1)), rounds), fixed(1)),
  }),
})

/** Of an address in a range: `more` are what masking adds. */
export const inRange = (isText: boolean, isCidr: boolean): Cost => {
  const bytes = { min: 4, max: 16 }
  const masked = isCidr ? plus(scaled(bytes, TRAVERSAL), fixed(1)) : fixed(0)
  const base = plus(scaled(plus(bytes, bytes), TRAVERSAL), masked)
  return {
    actual: ([range, other]) =>
      characters(range, 2) +
      (isCidr ? characters(range) + 1 : 0) +
      (isText ? characters(other) : 0),
    estimate: (args) => ({
      cost: isText ? plus(base, scaled(sizeOf(args, 1), TRAVERSAL)) : base,
    }),
  }
}

/** A regular expression of so many characters, over the text. */
export const validates = (pattern: (format: unknown) => number, longest: number): Cost => ({
  actual: ([format, text]) =>
    Math.ceil(costSize(text) * TRAVERSAL) * Math.ceil(pattern(format) * REGEX),
  estimate: (args) => ({
    cost: times(scaled(sizeOf(args, 1), TRAVERSAL), scaled(fixed(longest), REGEX)),
  }),
})
