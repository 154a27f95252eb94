/** Quantities: fixed-point numbers with a suffix, `250m`, `1.5Gi`, `2e3`. Exact, in billionths. */

/** How a quantity is written: `1500m`, `2Gi` or `1e3`. */
export type QuantityFormat = 'decimal' | 'binary' | 'exponent'

/** An amount, exact to a billionth, and the form in which it was written. */
export interface Quantity {
  /** In billionths (nano). */
  readonly nanos: bigint
  readonly format: QuantityFormat
}

const NANO = 1_000_000_000n
const DECIMAL: readonly (readonly [string, number])[] = [
  ['n', -9],
  ['u', -6],
  ['m', -3],
  ['', 0],
  ['k', 3],
  ['M', 6],
  ['G', 9],
  ['T', 12],
  ['P', 15],
  ['E', 18],
]
const BINARY: readonly (readonly [string, bigint])[] = [
  ['Ki', 1024n],
  ['Mi', 1024n ** 2n],
  ['Gi', 1024n ** 3n],
  ['Ti', 1024n ** 4n],
  ['Pi', 1024n ** 5n],
  ['Ei', 1024n ** 6n],
]
/** Digits may be missing: what is nothing is zero, as upstream has it. */
const PATTERN = /^([+-]?)(\d*)(?:\.(\d*))?(?:([numkMGTPE])|([KMGTPE]i)|[eE]([+-]?\d+))?$/
/** Of each part of a number. */
const MAX_DIGITS = 400
const LARGEST = (2n ** 63n - 1n) * NANO

/** The regular expression that a refusal quotes. */
export const QUANTITY_REGEX = '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'

/** Undefined when the text is no quantity. What is finer than a billionth is rounded up, what is larger than 2^63 is capped with suffixes of two. */
export function parseQuantity(text: string | number): Quantity | undefined {
  if (typeof text !== 'string' || text.length > LONGEST_KNOWN) return parsed(String(text))
  const found = known.get(text)
  if (found !== undefined) return found
  const quantity = parsed(text)
  if (quantity === undefined) return undefined
  if (known.size >= MOST_KNOWN) known.clear()
  known.set(text, quantity)
  return quantity
}

/** Most quantities of a cluster are the same few. */
const known = new Map<string, Quantity>()
const MOST_KNOWN = 4096
const LONGEST_KNOWN = 32

function parsed(text: string): Quantity | undefined {
  const match = text === '' ? null : PATTERN.exec(text)
  if (match === null) return undefined
  const [, sign = '', numerator = '', denominator = '', , binary, exponent] = match
  const [whole, fraction] = bounded(numerator, denominator)
  const mantissa = BigInt(`${whole}${fraction}` || '0')
  const multiplier = BINARY.find(([suffix]) => suffix === binary)?.[1] ?? 1n
  const scale = 9 + powerOf(match) - fraction.length
  const scaled = mantissa * multiplier
  const nanos =
    scale >= 0 ? scaled * 10n ** BigInt(scale) : ceilDivide(scaled, 10n ** BigInt(-scale))
  const isCapped = binary !== undefined || numerator.length > MAX_DIGITS
  const capped = isCapped && nanos > LARGEST ? LARGEST : nanos
  const isPart = capped > 0n && capped < NANO
  const format: QuantityFormat =
    exponent !== undefined ? 'exponent' : binary !== undefined && !isPart ? 'binary' : 'decimal'
  return { nanos: sign === '-' ? -capped : capped, format }
}

function powerOf([, , , , decimal, , exponent]: RegExpExecArray): number {
  return exponent === undefined
    ? (DECIMAL.find(([suffix]) => suffix === (decimal ?? ''))?.[1] ?? 0)
    : Math.max(-MAX_DIGITS, Math.min(MAX_DIGITS, Number(exponent)))
}

/** No more digits than matter: arithmetic with millions of them takes seconds. */
function bounded(whole: string, fraction: string): readonly [whole: string, fraction: string] {
  if (whole.length + fraction.length <= MAX_DIGITS) return [whole, fraction]
  const significant = whole.replace(/^0+/, '')
  // Too many are capped whatever the suffix; a rest that is cut off still rounds up.
  return [
    significant.length > MAX_DIGITS ? `1${'0'.repeat(2 * MAX_DIGITS)}` : significant,
    /[1-9]/.test(fraction.slice(MAX_DIGITS))
      ? `${fraction.slice(0, MAX_DIGITS)}1`
      : fraction.slice(0, MAX_DIGITS),
  ]
}

const ceilDivide = (a: bigint, b: bigint): bigint => (a + b - 1n) / b

/** The canonical form: no fraction, the largest suffix that is exact, in the format it was written in. */
export function formatQuantity({ nanos, format }: Quantity): string {
  if (nanos === 0n) return '0'
  const sign = nanos < 0n ? '-' : ''
  const size = nanos < 0n ? -nanos : nanos
  if (format === 'binary' && size >= 1024n * NANO && size % NANO === 0n) {
    const whole = size / NANO
    const [suffix, unit] = BINARY.toReversed().find(([, each]) => whole % each === 0n) ?? ['', 1n]
    return `${sign}${whole / unit}${suffix}`
  }
  let power = -9
  let rest = size
  while (rest % 1000n === 0n && (power < 18 || format === 'exponent')) {
    rest /= 1000n
    power += 3
  }
  if (format === 'exponent') return power === 0 ? `${sign}${rest}` : `${sign}${rest}e${power}`
  return `${sign}${rest}${DECIMAL.find(([, p]) => p === power)?.[0] ?? ''}`
}

/** The text that is kept, which is the canonical one nearly always; undefined for what is no quantity. */
export function canonicalQuantity(text: string | number): string | undefined {
  if (typeof text === 'string' && /^(0|[1-9]\d{0,2}m?)$/.test(text)) return text
  const quantity = parseQuantity(text)
  if (quantity === undefined) return undefined
  return typeof text === 'string' && isKept(text) ? text : formatQuantity(quantity)
}

/** Powers of two are worth this many digits of ten. */
const digitsOfPower = (power: number): number => Math.trunc((power * 3) / 10)

/** Short numbers that look canonical stay as they were written, whatever zeros, point or sign they have (as upstream). */
function isKept(text: string): boolean {
  const match = text.length > MAX_DIGITS ? null : PATTERN.exec(text)
  if (match === null) return false
  const [, , numerator = '', denominator = '', , binary] = match
  const whole = numerator.replace(/^0+/, '')
  const digits = `${whole === '' ? '0' : whole}${denominator}`
  if (binary !== undefined) {
    const power = 10 * (1 + BINARY.findIndex(([suffix]) => suffix === binary))
    const isShort = (whole || '0').length + digitsOfPower(power) + 1 <= 15
    return denominator === '' && isShort && (BigInt(digits) & 7n) !== 0n
  }
  const scale = powerOf(match) - denominator.length
  return (
    digits.length <= 18 &&
    scale >= -9 &&
    scale % 3 === 0 &&
    !digits.endsWith('000') &&
    !digits.startsWith('0')
  )
}

const nanosOf = (text: string | number | undefined): bigint =>
  text === undefined ? 0n : (parseQuantity(text)?.nanos ?? 0n)

/** By amount, however they are written. */
export function compareQuantities(a: string | number, b: string | number): -1 | 0 | 1 {
  const [left, right] = [nanosOf(a), nanosOf(b)]
  return left < right ? -1 : left > right ? 1 : 0
}

/** Thousandths, rounded away from zero. */
export const milliValue = (text: string | number | undefined): number =>
  rounded(nanosOf(text), 1_000_000n)
/** Whole units, rounded away from zero. */
export const quantityValue = (text: string | number | undefined): number =>
  rounded(nanosOf(text), NANO)

function rounded(nanos: bigint, unit: bigint): number {
  const quotient = nanos / unit
  const rest = nanos % unit
  return Number(rest === 0n ? quotient : rest > 0n ? quotient + 1n : quotient - 1n)
}

/** A sum is written like its first part; nothing at all takes the form of what comes to it. */
const sumFormat = (left: Quantity | undefined, right: Quantity | undefined): QuantityFormat =>
  (left === undefined || left.nanos === 0n ? (right ?? left)?.format : left.format) ?? 'decimal'

type Amount = string | number | undefined

function combined(a: Amount, b: Amount, of: (left: bigint, right: bigint) => bigint): string {
  const left = a === undefined ? undefined : parseQuantity(a)
  const right = b === undefined ? undefined : parseQuantity(b)
  return formatQuantity({
    nanos: of(left?.nanos ?? 0n, right?.nanos ?? 0n),
    format: sumFormat(left, right),
  })
}

/** Written like the first; what is absent is nothing. */
export const addQuantities = (a: Amount, b: Amount): string =>
  combined(a, b, (left, right) => left + right)

/** Written like the first; what is absent is nothing. */
export const subtractQuantities = (a: Amount, b: Amount): string =>
  combined(a, b, (left, right) => left - right)

/** Amounts by the names of resources. */
export type ResourceList = Readonly<Record<string, string>>

/** Adds resource by resource. */
export function addResources(a: ResourceList, b: ResourceList): Record<string, string> {
  const sum: Record<string, string> = { ...a }
  for (const [name, amount] of Object.entries(b))
    sum[name] = name in sum ? addQuantities(sum[name], amount) : amount
  return sum
}
