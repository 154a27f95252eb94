/** How functions are declared: a signature, what it does, what it costs. */
import { parseType, splitTypes, type CelType } from './types.ts'

/** The least and the most, of a size or of a cost. */
export interface Range {
  readonly min: number
  readonly max: number
}

/** What the static estimate knows of an argument. */
export interface Sized {
  readonly size: Range
  readonly type: CelType
  /** Of an element, when it is a list. */
  readonly element: Range | undefined
  /** When it is written down. */
  readonly literal: unknown
}

export interface Estimate {
  readonly cost: Range
  readonly resultSize?: Range
}

export interface Cost {
  /** At run time; the receiver is the first argument. */
  readonly actual: (args: readonly unknown[], result: unknown) => number
  readonly estimate: (args: readonly Sized[]) => Estimate
  /** What it costs is known, and charged, before it is run. */
  readonly isAhead?: boolean
}

export interface Overload {
  readonly name: string
  readonly member: boolean
  /** The receiver is the first. */
  readonly args: readonly CelType[]
  readonly result: CelType
  readonly run: (...args: readonly unknown[]) => unknown
  /** Without one it is 1. */
  readonly cost: Cost | undefined
}

/** `string.charAt(int): string` or `size(list<A>): int`. */
export function overload<Args extends readonly unknown[]>(
  signature: string,
  run: (...args: Args) => unknown,
  cost?: Cost,
): Overload {
  const close = signature.lastIndexOf('): ')
  const result = parseType(signature.slice(close + 3))
  const open = openBracket(signature, close)
  const head = signature.slice(0, open)
  const args = splitTypes(signature.slice(open + 1, close)).map(parseType)
  // The declared types stand in the signature; the checker and the dispatcher hold callers to them.
  const untyped = run as unknown as Overload['run']
  const dot = head.startsWith('::') ? -1 : memberDot(head)
  const name = head.replace(/^::/, '')
  if (dot < 0) return { name, member: false, args, result, run: untyped, cost }
  const receiver = parseType(head.slice(0, dot))
  return {
    name: head.slice(dot + 1),
    member: true,
    args: [receiver, ...args],
    result,
    run: untyped,
    cost,
  }
}

function openBracket(signature: string, close: number): number {
  let depth = 0
  for (let i = close; i >= 0; i--) {
    if (signature[i] === ')') depth++
    else if (signature[i] === '(' && --depth === 0) return i
  }
  return -1
}

/** The dot of a method; names in a namespace are written `::sets.contains`. */
const memberDot = (head: string): number => head.lastIndexOf('.')

export interface Functions {
  readonly byName: ReadonlyMap<string, readonly Overload[]>
}

export function functionsOf(libraries: readonly (readonly Overload[])[]): Functions {
  const byName = new Map<string, Overload[]>()
  for (const each of libraries.flat()) {
    const found = byName.get(each.name)
    if (found === undefined) byName.set(each.name, [each])
    else found.push(each)
  }
  return { byName }
}

export const UNKNOWN: Range = { min: 0, max: Number.POSITIVE_INFINITY }
export const fixed = (value: number): Range => ({ min: value, max: value })
export const plus = (a: Range, b: Range): Range => ({ min: a.min + b.min, max: a.max + b.max })
export const times = (a: Range, b: Range): Range => ({
  min: product(a.min, b.min),
  max: product(a.max, b.max),
})
/** Nothing times anything is nothing, also of what has no bound. */
const product = (a: number, b: number): number => (a === 0 || b === 0 ? 0 : a * b)
export const scaled = ({ min, max }: Range, factor: number): Range => ({
  min: Math.ceil(min * factor),
  max: Math.ceil(max * factor),
})
export const union = (a: Range, b: Range): Range => ({
  min: Math.min(a.min, b.min),
  max: Math.max(a.max, b.max),
})

/** For each character of a string that is gone through. */
export const TRAVERSAL = 0.1
/** For each character of a regular expression. */
export const REGEX = 0.25
