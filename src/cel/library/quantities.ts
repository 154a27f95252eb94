/** Quantities and semantic versions. */
import { formatQuantity, parseQuantity, type Quantity } from '#machinery'
import { CelError } from '../errors.ts'
import { overload, type Overload } from '../functions.ts'
import { CelDouble, CelOpaque, INT_MAX, INT_MIN, normalInt } from '../values.ts'
import { nominal, parsed } from './costs.ts'
import { versionProblem } from './go-version.ts'

type Int = number | bigint

const NANO = 1_000_000_000n
const QUANTITY = 'kubernetes.Quantity'

class QuantityValue extends CelOpaque {
  readonly typeName = QUANTITY
  readonly quantity: Quantity
  constructor(quantity: Quantity) {
    super()
    this.quantity = quantity
  }
  get nanos(): bigint {
    return this.quantity.nanos
  }
  equals(other: CelOpaque): boolean {
    return other instanceof QuantityValue && other.nanos === this.nanos
  }
  toString(): string {
    return formatQuantity(this.quantity)
  }
}

function quantity(text: string): QuantityValue {
  const parsed = parseQuantity(text)
  if (parsed === undefined)
    throw new CelError(
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    )
  return new QuantityValue(parsed)
}

const isWhole = (nanos: bigint): boolean =>
  nanos % NANO === 0n && nanos / NANO <= INT_MAX && nanos / NANO >= INT_MIN
const withNanos = ({ quantity: { format } }: QuantityValue, nanos: bigint): QuantityValue =>
  new QuantityValue({ nanos, format })
const sign = (value: bigint): number => (value > 0n ? 1 : value < 0n ? -1 : 0)

const quantities: readonly Overload[] = [
  overload(`::quantity(string): ${QUANTITY}`, quantity, parsed),
  overload(
    '::isQuantity(string): bool',
    (text: string) => parseQuantity(text) !== undefined,
    parsed,
  ),
  overload(`::sign(${QUANTITY}): int`, ({ nanos }: QuantityValue) => sign(nanos), nominal),
  overload(`${QUANTITY}.isInteger(): bool`, ({ nanos }: QuantityValue) => isWhole(nanos), nominal),
  overload(
    `${QUANTITY}.asInteger(): int`,
    ({ nanos }: QuantityValue) => {
      if (!isWhole(nanos)) throw new CelError('cannot convert value to integer')
      return normalInt(nanos / NANO)
    },
    nominal,
  ),
  overload(
    `${QUANTITY}.asApproximateFloat(): double`,
    ({ nanos }: QuantityValue) => new CelDouble(Number(nanos) / 1e9),
    nominal,
  ),
  overload(
    `${QUANTITY}.isGreaterThan(${QUANTITY}): bool`,
    (a: QuantityValue, b: QuantityValue) => a.nanos > b.nanos,
    nominal,
  ),
  overload(
    `${QUANTITY}.isLessThan(${QUANTITY}): bool`,
    (a: QuantityValue, b: QuantityValue) => a.nanos < b.nanos,
    nominal,
  ),
  overload(
    `${QUANTITY}.compareTo(${QUANTITY}): int`,
    (a: QuantityValue, b: QuantityValue) => sign(a.nanos - b.nanos),
    nominal,
  ),
  ...[1n, -1n].flatMap((direction) => {
    const name = direction === 1n ? 'add' : 'sub'
    return [
      overload(
        `${QUANTITY}.${name}(${QUANTITY}): ${QUANTITY}`,
        (a: QuantityValue, b: QuantityValue) => withNanos(a, a.nanos + direction * b.nanos),
        nominal,
      ),
      overload(
        `${QUANTITY}.${name}(int): ${QUANTITY}`,
        (a: QuantityValue, b: Int) => withNanos(a, a.nanos + direction * BigInt(b) * NANO),
        nominal,
      ),
    ]
  }),
]

const SEMVER = 'kubernetes.Semver'
const VERSION = /^(\d+)\.(\d+)\.(\d+)(?:-([^+]*))?/

class SemverValue extends CelOpaque {
  readonly typeName = SEMVER
  readonly numbers: readonly [bigint, bigint, bigint]
  readonly before: readonly string[]
  readonly #text: string
  constructor(text: string) {
    super()
    const problem = versionProblem(text)
    if (problem !== undefined) throw new CelError(problem)
    const [, major = '0', minor = '0', patch = '0', before] = VERSION.exec(text) ?? []
    this.numbers = [BigInt(major), BigInt(minor), BigInt(patch)]
    this.before = before?.split('.') ?? []
    this.#text = text
  }
  equals(other: CelOpaque): boolean {
    return other instanceof SemverValue && compareVersions(this, other) === 0
  }
  toString(): string {
    return this.#text
  }
}

/** Without a leading v and leading zeros, with the parts that are missing. */
function normalized(text: string): string {
  const [major = '', minor, ...more] = text.replace(/^v/, '').split('.')
  const parts = [
    major,
    ...(minor === undefined ? [] : [minor]),
    ...(more.length === 0 ? [] : [more.join('.')]),
  ].map((part) =>
    part.length > 1 ? part.replace(/^0*(?=\d)/, '').replace(/^0*(?!\d)/, '0') : part,
  )
  if (parts.length < 3 && /[+-]/.test(parts.at(-1) ?? ''))
    throw new CelError('short version cannot contain PreRelease/Build meta data')
  while (parts.length < 3) parts.push('0')
  return parts.join('.')
}

function compareVersions(a: SemverValue, b: SemverValue): number {
  for (const [i, number] of a.numbers.entries()) {
    const order = sign(number - (b.numbers[i] ?? 0n))
    if (order !== 0) return order
  }
  if (a.before.length === 0 || b.before.length === 0)
    return Math.sign(b.before.length - a.before.length)
  for (let i = 0; i < Math.max(a.before.length, b.before.length); i++) {
    const order = compareParts(a.before[i], b.before[i])
    if (order !== 0) return order
  }
  return 0
}
function compareParts(a: string | undefined, b: string | undefined): number {
  if (a === undefined || b === undefined) return a === undefined ? -1 : 1
  const [x, y] = [/^\d+$/.test(a), /^\d+$/.test(b)]
  if (x && y) return sign(BigInt(a) - BigInt(b))
  if (x !== y) return x ? -1 : 1
  return a < b ? -1 : a > b ? 1 : 0
}

const semver = (text: string, lenient = false): SemverValue =>
  new SemverValue(lenient ? normalized(text) : text)
function isSemver(text: string, lenient = false): boolean {
  try {
    semver(text, lenient)
    return true
  } catch {
    return false
  }
}

const versions: readonly Overload[] = [
  overload(`::semver(string): ${SEMVER}`, semver, parsed),
  overload(`::semver(string, bool): ${SEMVER}`, semver, parsed),
  overload('::isSemver(string): bool', isSemver, parsed),
  overload('::isSemver(string, bool): bool', isSemver, parsed),
  ...['major', 'minor', 'patch'].map((name, i) =>
    overload(
      `${SEMVER}.${name}(): int`,
      ({ numbers }: SemverValue) => normalInt(numbers[i] ?? 0n),
      nominal,
    ),
  ),
  overload(
    `${SEMVER}.isLessThan(${SEMVER}): bool`,
    (a: SemverValue, b: SemverValue) => compareVersions(a, b) < 0,
    nominal,
  ),
  overload(
    `${SEMVER}.isGreaterThan(${SEMVER}): bool`,
    (a: SemverValue, b: SemverValue) => compareVersions(a, b) > 0,
    nominal,
  ),
  overload(`${SEMVER}.compareTo(${SEMVER}): int`, compareVersions, nominal),
]

export const quantityLibrary: readonly Overload[] = [...quantities, ...versions]
