/** The standard functions and operators of CEL. */
import { CelError } from '../errors.ts'
import {
  fixed,
  overload,
  plus,
  REGEX,
  scaled,
  times,
  TRAVERSAL,
  type Cost,
  type Overload,
  type Range,
  type Sized,
} from '../functions.ts'
import { matches } from '../regex.ts'
import { checkedDuration, nanosOf, timestampOf } from '../time.ts'
import {
  bigOf,
  CelDouble,
  checkedInt,
  checkedUint,
  compare,
  costSize,
  doubleOf,
  equals,
  equalsOrFails,
  kindOf,
  mapGet,
  mapHas,
  mapSize,
  runeCount,
  type CelDuration,
  type CelTimestamp,
  type CelUint,
} from '../values.ts'

type Int = number | bigint

const NO_SIZE: Range = { min: 0, max: Number.POSITIVE_INFINITY }
const sizeOf = (args: readonly Sized[], index: number): Range => args[index]?.size ?? NO_SIZE

/** Two strings are laid side by side. */
const joined: Cost = {
  actual: ([a, b]) => Math.ceil((costSize(a) + costSize(b)) * TRAVERSAL),
  estimate: (args) => {
    const size = plus(sizeOf(args, 0), sizeOf(args, 1))
    return { cost: scaled(size, TRAVERSAL), resultSize: size }
  },
}
const appended: Cost = {
  actual: () => 1,
  estimate: (args) => ({ cost: fixed(1), resultSize: plus(sizeOf(args, 0), sizeOf(args, 1)) }),
}
/** Of Kubernetes' own types; others are as large as they may be. */
const OPAQUE_EQUALITY: ReadonlyMap<string, Range> = new Map([
  ...['net.IP', 'net.CIDR', 'kubernetes.Quantity', 'kubernetes.Semver', 'kubernetes.URL'].map(
    (name) => [name, fixed(1)] as const,
  ),
  ['kubernetes.NamedFormat', { min: 1, max: 7 }],
])
/** As far as the shorter goes. */
const compared: Cost = {
  actual: ([a, b]) => Math.ceil(Math.min(costSize(a), costSize(b)) * TRAVERSAL),
  estimate: (args) => {
    const [left, right] = args.map(({ type }) => type)
    if (left?.kind === 'opaque' && right?.kind === 'opaque' && left.name === right.name) {
      const cost = OPAQUE_EQUALITY.get(left.name)
      if (cost !== undefined) return { cost }
    }
    const max = Math.min(sizeOf(args, 0).max, sizeOf(args, 1).max)
    return { cost: scaled({ min: max > 0 ? 1 : 0, max }, TRAVERSAL) }
  },
}
const searched: Cost = {
  actual: ([, list]) => costSize(list),
  estimate: (args) => ({ cost: sizeOf(args, 1) }),
}
const prefix: Cost = {
  actual: ([, part]) => Math.ceil(costSize(part) * TRAVERSAL),
  estimate: (args) => ({ cost: scaled(sizeOf(args, 1), TRAVERSAL) }),
}
const contained: Cost = {
  actual: ([text, part]) =>
    Math.ceil(costSize(text) * TRAVERSAL) * Math.ceil(costSize(part) * TRAVERSAL),
  estimate: (args) => ({
    cost: times(scaled(sizeOf(args, 0), TRAVERSAL), scaled(sizeOf(args, 1), TRAVERSAL)),
  }),
}
/** One more than the text, so that an expensive expression is not free on an empty one. */
const matched: Cost = {
  actual: ([text, pattern]) =>
    Math.ceil((1 + costSize(text)) * TRAVERSAL) * Math.ceil(costSize(pattern) * REGEX),
  estimate: (args) => ({
    cost: times(scaled(plus(sizeOf(args, 0), fixed(1)), TRAVERSAL), scaled(sizeOf(args, 1), REGEX)),
  }),
}

const mathOf =
  (safe: (a: number, b: number) => number, exact: (a: bigint, b: bigint) => bigint) =>
  (a: Int, b: Int): Int => {
    if (typeof a === 'number' && typeof b === 'number') {
      const result = safe(a, b)
      // A product that is rounded is beyond what is safe, and so found here; -0 is no int.
      if (Number.isSafeInteger(result)) return result + 0
    }
    return checkedInt(exact(BigInt(a), BigInt(b)))
  }

const unsigned =
  (exact: (a: bigint, b: bigint) => bigint) =>
  (a: CelUint, b: CelUint): CelUint =>
    checkedUint(exact(a.value, b.value))
const doubles =
  (compute: (a: number, b: number) => number) =>
  (a: unknown, b: unknown): CelDouble =>
    new CelDouble(compute(doubleOf(a), doubleOf(b)))

function nonZero(value: bigint | number, what: string): void {
  if (value === 0 || value === 0n) throw new CelError(`${what} by zero`)
}

const arithmetic: readonly Overload[] = [
  overload(
    '_+_(int, int): int',
    mathOf(
      (a, b) => a + b,
      (a, b) => a + b,
    ),
  ),
  overload(
    '_+_(uint, uint): uint',
    unsigned((a, b) => a + b),
  ),
  overload(
    '_+_(double, double): double',
    doubles((a, b) => a + b),
  ),
  overload('_+_(string, string): string', (a: string, b: string) => a + b, joined),
  overload(
    '_+_(bytes, bytes): bytes',
    (a: Uint8Array, b: Uint8Array) => Uint8Array.from([...a, ...b]),
    joined,
  ),
  overload(
    '_+_(list<A>, list<A>): list<A>',
    (a: readonly unknown[], b: readonly unknown[]) => [...a, ...b],
    appended,
  ),
  overload('_+_(timestamp, duration): timestamp', (a: CelTimestamp, b: CelDuration) =>
    timestampOf(nanosOf(a) + b.nanos),
  ),
  overload('_+_(duration, timestamp): timestamp', (a: CelDuration, b: CelTimestamp) =>
    timestampOf(nanosOf(b) + a.nanos),
  ),
  overload('_+_(duration, duration): duration', (a: CelDuration, b: CelDuration) =>
    checkedDuration(a.nanos + b.nanos),
  ),
  overload(
    '_-_(int, int): int',
    mathOf(
      (a, b) => a - b,
      (a, b) => a - b,
    ),
  ),
  overload(
    '_-_(uint, uint): uint',
    unsigned((a, b) => a - b),
  ),
  overload(
    '_-_(double, double): double',
    doubles((a, b) => a - b),
  ),
  overload('_-_(timestamp, timestamp): duration', (a: CelTimestamp, b: CelTimestamp) =>
    checkedDuration(nanosOf(a) - nanosOf(b), 'integer overflow'),
  ),
  overload('_-_(timestamp, duration): timestamp', (a: CelTimestamp, b: CelDuration) =>
    timestampOf(nanosOf(a) - b.nanos),
  ),
  overload('_-_(duration, duration): duration', (a: CelDuration, b: CelDuration) =>
    checkedDuration(a.nanos - b.nanos),
  ),
  overload(
    '_*_(int, int): int',
    mathOf(
      (a, b) => a * b,
      (a, b) => a * b,
    ),
  ),
  overload(
    '_*_(uint, uint): uint',
    unsigned((a, b) => a * b),
  ),
  overload(
    '_*_(double, double): double',
    doubles((a, b) => a * b),
  ),
  overload('_/_(int, int): int', (a: Int, b: Int) => {
    nonZero(b, 'division')
    if (typeof a === 'number' && typeof b === 'number') return Math.trunc(a / b) + 0
    return checkedInt(BigInt(a) / BigInt(b))
  }),
  overload('_/_(uint, uint): uint', (a: CelUint, b: CelUint) => {
    nonZero(b.value, 'division')
    return checkedUint(a.value / b.value)
  }),
  overload(
    '_/_(double, double): double',
    doubles((a, b) => a / b),
  ),
  overload('_%_(int, int): int', (a: Int, b: Int) => {
    nonZero(b, 'modulus')
    if (typeof a === 'number' && typeof b === 'number') return (a % b) + 0
    const [left, right] = [BigInt(a), BigInt(b)]
    // The one quotient that does not fit.
    if (right === -1n) checkedInt(left / right)
    return checkedInt(left % right)
  }),
  overload('_%_(uint, uint): uint', (a: CelUint, b: CelUint) => {
    nonZero(b.value, 'modulus')
    return checkedUint(a.value % b.value)
  }),
  overload('-_(int): int', (a: Int) => (typeof a === 'number' ? 0 - a : checkedInt(-a))),
  overload('-_(double): double', (a: unknown) => new CelDouble(-doubleOf(a))),
  overload('!_(bool): bool', (a: boolean) => !a),
]

/** Of numbers of any kinds, and of two of one other ordered kind. */
const ORDERED = ['bool', 'string', 'bytes', 'timestamp', 'duration']
const NUMERIC = ['int', 'uint', 'double']

const order = (name: string, holds: (order: number) => boolean): readonly Overload[] => {
  const run = (a: unknown, b: unknown): boolean => {
    const result = compare(a, b)
    return result !== undefined && holds(result)
  }
  const numeric = NUMERIC.flatMap((a) =>
    NUMERIC.map((b) => overload(`${name}(${a}, ${b}): bool`, run)),
  )
  const others = ORDERED.map((kind) =>
    overload(
      `${name}(${kind}, ${kind}): bool`,
      run,
      kind === 'string' || kind === 'bytes' ? compared : undefined,
    ),
  )
  return [...others, ...numeric]
}

const relations: readonly Overload[] = [
  overload('_==_(A, A): bool', equalsOrFails, compared),
  overload('_!=_(A, A): bool', (a: unknown, b: unknown) => !equalsOrFails(a, b), compared),
  ...order('_<_', (result) => result < 0),
  ...order('_<=_', (result) => result <= 0),
  ...order('_>_', (result) => result > 0),
  ...order('_>=_', (result) => result >= 0),
  overload(
    '@in(A, list<A>): bool',
    (value: unknown, list: readonly unknown[]) => list.some((each) => equals(value, each)),
    searched,
  ),
  overload('@in(A, map<A, B>): bool', (key: unknown, map: unknown) => mapHas(map, key)),
]

/** The index as a position; a double or uint that is whole will do. */
function position(index: unknown): number {
  const kind = kindOf(index)
  if (kind !== 'int' && kind !== 'uint' && kind !== 'double') throw new CelError('no such overload')
  const value = kind === 'double' ? doubleOf(index) : Number(bigOf(index))
  if (!Number.isInteger(value)) throw new CelError(`unsupported index value: ${value}`)
  return value
}

export function listAt(list: readonly unknown[], index: unknown): unknown {
  const at = position(index)
  if (at < 0 || at >= list.length)
    throw new CelError(`index out of bounds: ${typeof index === 'bigint' ? index : at}`)
  return list[at]
}
export function mapAt(map: unknown, key: unknown): unknown {
  const value = mapGet(map, key)
  if (value === undefined) throw noSuchKey(key)
  return value
}
export const noSuchKey = (key: unknown): CelError => {
  const text =
    key instanceof CelDouble
      ? key.value
      : typeof key === 'object' && key !== null
        ? bigOf(key)
        : key
  return new CelError(`no such key: ${String(text)}`)
}

const containers: readonly Overload[] = [
  overload('_[_](list<A>, int): A', listAt),
  overload('_[_](map<A, B>, A): B', mapAt),
  overload('_?_:_(bool, A, A): A', () => undefined),
  overload('_&&_(bool, bool): bool', () => undefined),
  overload('_||_(bool, bool): bool', () => undefined),
  overload('@insert(map<A, B>, A, B): map<A, B>', () => undefined),
  overload('@insert(map<A, B>, map<A, B>): map<A, B>', () => undefined),
  overload('@not_strictly_false(bool): bool', (value: unknown) => value !== false),
  ...['::size(', 'SELF.size('].flatMap((form) => {
    const of = (type: string): string =>
      form.startsWith('::') ? `::size(${type}): int` : `${type}.size(): int`
    return [
      overload(of('string'), runeCount),
      overload(of('bytes'), (bytes: Uint8Array) => bytes.length),
      overload(of('list<A>'), (list: readonly unknown[]) => list.length),
      overload(of('map<A, B>'), mapSize),
    ]
  }),
]

const texts: readonly Overload[] = [
  overload(
    'string.contains(string): bool',
    (text: string, part: string) => text.includes(part),
    contained,
  ),
  overload(
    'string.startsWith(string): bool',
    (text: string, part: string) => text.startsWith(part),
    prefix,
  ),
  overload(
    'string.endsWith(string): bool',
    (text: string, part: string) => text.endsWith(part),
    prefix,
  ),
  overload('string.matches(string): bool', matches, matched),
  overload('::matches(string, string): bool', matches, matched),
]

export const standard: readonly Overload[] = [...arithmetic, ...relations, ...containers, ...texts]
