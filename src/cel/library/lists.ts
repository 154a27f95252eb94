/** Lists and sets. */
import { CelError } from '../errors.ts'
import { overload, type Overload } from '../functions.ts'
import { checkedDuration } from '../time.ts'
import {
  CelDouble,
  CelDuration,
  CelUint,
  checkedInt,
  checkedUint,
  compare,
  equals,
  Parts,
} from '../values.ts'
import { compares, crosses } from './costs.ts'

type List = readonly unknown[]

const isSorted = (list: List): boolean =>
  list.every((each, i) => i === 0 || (compare(list[i - 1], each) ?? 0) <= 0)

const extreme =
  (name: string, better: (order: number) => boolean) =>
  (list: List): unknown => {
    if (list.length === 0) throw new CelError(`${name} called on empty list`)
    return list.reduce((best, each) => (better(compare(each, best) ?? 0) ? each : best))
  }

function sum(list: List, zero: unknown): unknown {
  if (zero instanceof CelDouble)
    return new CelDouble(list.reduce<number>((total, each) => total + asDouble(each), 0))
  if (zero instanceof CelUint)
    return checkedUint(list.reduce<bigint>((total, each) => total + asUint(each), 0n))
  if (zero instanceof CelDuration)
    return checkedDuration(list.reduce<bigint>((total, each) => total + asNanos(each), 0n))
  return checkedInt(list.reduce<bigint>((total, each) => total + asInt(each), 0n))
}
const wrong = (): never => {
  throw new CelError('no such overload')
}
const asDouble = (value: unknown): number =>
  value instanceof CelDouble ? value.value : typeof value === 'number' ? value : wrong()
const asUint = (value: unknown): bigint => (value instanceof CelUint ? value.value : wrong())
const asNanos = (value: unknown): bigint => (value instanceof CelDuration ? value.nanos : wrong())
const asInt = (value: unknown): bigint =>
  typeof value === 'bigint' ? value : Number.isSafeInteger(value) ? BigInt(Number(value)) : wrong()

/** Of a list of nobody knows what: the first element says. */
function sumOfAny(list: List): unknown {
  const [first] = list
  if (first instanceof CelDouble || (typeof first === 'number' && !Number.isSafeInteger(first)))
    return sum(list, new CelDouble(0))
  return sum(list, first)
}

const SUMMED: Readonly<Record<string, unknown>> = {
  int: 0,
  uint: new CelUint(0n),
  double: new CelDouble(0),
  duration: new CelDuration(0n),
}
export const COMPARED: readonly string[] = [
  'int',
  'uint',
  'double',
  'bool',
  'duration',
  'timestamp',
  'string',
  'bytes',
]

const includes = (list: List, value: unknown, parts: Parts): boolean =>
  list.some((each) => equals(each, value, parts))
const containsAll = (list: List, others: List, parts = new Parts()): boolean =>
  others.every((each) => includes(list, each, parts))
const intersects = (list: List, others: List): boolean => {
  const parts = new Parts()
  return list.some((each) => includes(others, each, parts))
}
const first = (list: List, value: unknown): number => {
  const parts = new Parts()
  return list.findIndex((each) => equals(each, value, parts))
}
const last = (list: List, value: unknown): number => {
  const parts = new Parts()
  return list.findLastIndex((each) => equals(each, value, parts))
}

export const lists: readonly Overload[] = [
  ...COMPARED.flatMap((kind) => [
    overload(`list<${kind}>.isSorted(): bool`, isSorted, compares),
    overload(
      `list<${kind}>.min(): ${kind}`,
      extreme('min', (order) => order < 0),
      compares,
    ),
    overload(
      `list<${kind}>.max(): ${kind}`,
      extreme('max', (order) => order > 0),
      compares,
    ),
  ]),
  ...Object.entries(SUMMED).map(([kind, zero]) =>
    overload(
      `list<${kind}>.sum(): ${kind}`,
      (list: List) => (list.length === 0 ? zero : sumOfAny(list)),
      compares,
    ),
  ),
  overload('list<A>.indexOf(A): int', first, compares),
  overload('list<A>.lastIndexOf(A): int', last, compares),
  overload(
    '::sets.contains(list<A>, list<A>): bool',
    (a: List, b: List) => containsAll(a, b),
    crosses(1),
  ),
  overload(
    '::sets.equivalent(list<A>, list<A>): bool',
    (a: List, b: List) => containsAll(a, b) && containsAll(b, a),
    crosses(2),
  ),
  overload('::sets.intersects(list<A>, list<A>): bool', intersects, crosses(1)),
]
