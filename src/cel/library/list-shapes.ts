/** Lists that are made from lists. */
import { CelError } from '../errors.ts'
import { fixed, overload, scaled, type Overload, type Sized } from '../functions.ts'
import { bigOf, compare, costSize, equals, kindOf, Parts } from '../values.ts'
import { makesList, selfCompares, sizeOf } from './costs.ts'
import { COMPARED } from './lists.ts'

type List = readonly unknown[]
type Int = number | bigint

function slice(list: List, start: Int, end: Int): List {
  const refused = (why: string): CelError => new CelError(`cannot slice(${start}, ${end}), ${why}`)
  if (start < 0 || end < 0) throw refused('negative indexes not supported')
  if (start > end) throw refused('start index must be less than or equal to end index')
  if (end > list.length) throw refused(`list is length ${list.length}`)
  return list.slice(Number(start), Number(end))
}

function flatten(list: List, depth: Int = 1): List {
  if (depth < 0) throw new CelError('level must be non-negative')
  const flat: unknown[] = []
  const parts = new Parts()
  const add = (each: unknown, left: number): void => {
    parts.next()
    if (!Array.isArray(each) || left < 0) flat.push(each)
    else for (const inner of each) add(inner, left - 1)
  }
  add(list, Number(depth))
  return flat
}

/** In the order of the keys: one for each element. */
function sortedBy(list: List, keys: List): List {
  if (list.length !== keys.length)
    throw new CelError(
      `@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got ${list.length} and ${keys.length} elements respectively`,
    )
  const [first] = keys
  if (keys.length === 0) return list
  const kind = kindOf(first)
  if (!COMPARED.includes(kind)) throw new CelError('list elements must be comparable')
  if (keys.some((key) => kindOf(key) !== kind))
    throw new CelError('list elements must have the same type')
  return list
    .map((each, i) => [each, keys[i]] as const)
    .toSorted(([, a], [, b]) => compare(a, b) ?? 0)
    .map(([each]) => each)
}

function distinct(list: List): List {
  const found: unknown[] = []
  const parts = new Parts()
  for (const each of list) if (!found.some((other) => equals(each, other, parts))) found.push(each)
  return found
}

const LONGEST_RANGE = 1_000_000
function range(size: Int): List {
  if (size < 0) throw new CelError(`lists.range: size must be non-negative, got ${size}`)
  if (size > LONGEST_RANGE)
    throw new CelError(`lists.range: size ${size} exceeds maximum allowed (${LONGEST_RANGE})`)
  return Array.from({ length: Number(size) }, (_, i) => i)
}

/** A number that is written down. */
function written(arg: Sized | undefined, otherwise: number): number {
  const value = arg?.literal
  return kindOf(value) === 'int' ? Math.max(0, Number(bigOf(value))) : otherwise
}

const asLongAs = (size: (args: readonly Sized[]) => number) =>
  makesList(
    (_, result) => costSize(result),
    (args) => ({ rounds: fixed(size(args)), size: fixed(size(args)) }),
  )
const sliced = asLongAs((args) => {
  const length = written(args[2], sizeOf(args).max) - written(args[1], 0)
  return length < 0 ? Number.POSITIVE_INFINITY : length
})
const ranged = asLongAs((args) => written(args[0], Number.POSITIVE_INFINITY))
const reversed = makesList(
  (_, result) => costSize(result),
  (args) => ({ rounds: sizeOf(args), size: sizeOf(args) }),
)
const flattened = makesList(
  ([list, depth = 1]) => costSize(list) * Math.max(0, Number(depth)),
  (args) => {
    const size = sizeOf(args)
    const depth = args.length > 1 ? written(args[1], Number.POSITIVE_INFINITY) : 1
    return { rounds: size.max === 0 || depth === 0 ? fixed(0) : scaled(size, depth), size }
  },
)
const [sorted, sortedByKeys] = [selfCompares(), selfCompares(1)]

export const listShapes: readonly Overload[] = [
  overload('list<A>.slice(int, int): list<A>', slice, sliced),
  overload('list<list<A>>.flatten(): list<A>', flatten, flattened),
  overload('list<dyn>.flatten(int): list<dyn>', flatten, flattened),
  ...COMPARED.flatMap((kind) => [
    overload(`list<${kind}>.sort(): list<${kind}>`, (list: List) => sortedBy(list, list), sorted),
    overload(`list<A>.@sortByAssociatedKeys(list<${kind}>): list<A>`, sortedBy, sortedByKeys),
  ]),
  overload('::lists.range(int): list<int>', range, ranged),
  overload('list<A>.reverse(): list<A>', (list: List) => list.toReversed(), reversed),
  overload('list<A>.distinct(): list<A>', distinct, selfCompares()),
]
