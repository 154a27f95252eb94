/** Arithmetic on quantities as validation and defaulting need it. */

const SCALES: Readonly<Record<string, bigint>> = {
  n: 1n,
  u: 1_000n,
  m: 1_000_000n,
  '': 1_000_000_000n,
  k: 1_000_000_000_000n,
  M: 10n ** 15n,
  G: 10n ** 18n,
  T: 10n ** 21n,
  P: 10n ** 24n,
  E: 10n ** 27n,
  Ki: 1024n * 10n ** 9n,
  Mi: 1024n ** 2n * 10n ** 9n,
  Gi: 1024n ** 3n * 10n ** 9n,
  Ti: 1024n ** 4n * 10n ** 9n,
  Pi: 1024n ** 5n * 10n ** 9n,
  Ei: 1024n ** 6n * 10n ** 9n,
}
const QUANTITY = /^([+-]?)(\d*)(?:\.(\d*))?(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i))?$/

/** Billionths; undefined for what is no quantity. */
export function nanos(quantity: string | number): bigint | undefined {
  const match = QUANTITY.exec(String(quantity))
  if (match === null) return undefined
  const [, sign = '', whole = '', fraction = '', exponent, suffix = ''] = match
  if (whole === '' && fraction === '') return undefined
  let value = BigInt(`${whole}${fraction}`) * (SCALES[suffix] ?? 0n)
  let shift = BigInt(fraction.length)
  if (exponent !== undefined) shift -= BigInt(exponent.slice(1))
  if (shift < 0n) value *= 10n ** (shift < -60n ? 60n : -shift)
  else if (shift > 0n) {
    const divisor = 10n ** shift
    // What is smaller than a billionth is rounded up.
    value = (value + divisor - 1n) / divisor
  }
  return sign === '-' ? -value : value
}

/** Negative, zero or positive, as `a` is less than, equal to or more than `b`. */
export function compareQuantities(a: string, b: string): number {
  if (a === b) return 0
  const left = nanos(a) ?? 0n
  const right = nanos(b) ?? 0n
  return left < right ? -1 : left > right ? 1 : 0
}

export const sameQuantity = (a: string, b: string): boolean => compareQuantities(a, b) === 0
export const isZeroQuantity = (quantity: string): boolean =>
  quantity === '0' || (nanos(quantity) ?? 0n) === 0n
export const isNegative = (quantity: string): boolean =>
  String(quantity).startsWith('-') && !isZeroQuantity(quantity)
export const isWhole = (quantity: string): boolean =>
  (nanos(quantity) ?? 1n) % 1_000_000_000n === 0n

const BINARY = ['Ei', 'Pi', 'Ti', 'Gi', 'Mi', 'Ki'] as const
const DECIMAL = ['E', 'P', 'T', 'G', 'M', 'k', '', 'm', 'u'] as const

/** The shortest whole number with a suffix of the quantity's own family. */
export function canonicalText(quantity: string): string {
  const value = nanos(quantity)
  if (value === undefined) return quantity
  if (value === 0n) return '0'
  const exponent = /[eE][+-]?\d+$/.test(quantity)
  const binary = quantity.endsWith('i')
  if (exponent) return exponentText(value)
  const size = value < 0n ? -value : value
  // Less than a Ki is written in the decimal way.
  if (binary && size >= 1024n * 10n ** 9n) {
    for (const suffix of BINARY) {
      const scale = SCALES[suffix] ?? 1n
      if (value % scale === 0n) return `${value / scale}${suffix}`
    }
    if (value % 10n ** 9n === 0n) return String(value / 10n ** 9n)
  }
  for (const suffix of DECIMAL) {
    const scale = SCALES[suffix] ?? 1n
    if (value % scale === 0n) return `${value / scale}${suffix}`
  }
  return `${value}n`
}

function exponentText(value: bigint): string {
  let digits = value
  let power = -9
  while (digits % 1000n === 0n && digits !== 0n) {
    digits /= 1000n
    power += 3
  }
  return power === 0 ? String(digits) : `${digits}e${power}`
}

/** The sum, in the form of the first. */
export function addQuantities(a: string, b: string): string {
  const sum = (nanos(a) ?? 0n) + (nanos(b) ?? 0n)
  return canonicalText(a.endsWith('i') ? inKibis(sum) : `${sum}n`)
}
const inKibis = (value: bigint): string => {
  const scale = SCALES['Ki'] ?? 1n
  return value % scale === 0n ? `${value / scale}Ki` : `${value}n`
}
