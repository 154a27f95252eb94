/** `'%s has %d'.format([a, b])`. */
import { CelError } from '../errors.ts'
import { formatDuration, formatTimestamp } from '../time.ts'
import {
  CelDouble,
  CelDuration,
  CelOpaque,
  CelTimestamp,
  CelTypeValue,
  CelUint,
  Parts,
  doubleOf,
  kindOf,
  mapEntries,
  typeNameOf,
} from '../values.ts'

const MAX_PRECISION = 100
/** As many as JavaScript gives. */
const EXACT_DIGITS = 100

export function formatText(pattern: string, values: readonly unknown[]): string {
  let next = 0
  return pattern.replaceAll(/%(?:\.(\d*))?([^]|$)/gu, (_, digits: unknown, verb: string) => {
    if (verb === '%') return '%'
    if (verb === '') throw new CelError('unexpected end of string')
    const precision = typeof digits === 'string' ? Number(digits) : undefined
    if (precision !== undefined && precision > MAX_PRECISION)
      throw new CelError('precision is too large')
    if (next >= values.length) throw new CelError(`index ${next} out of range`)
    return clause(verb, values[next++], precision)
  })
}

const isInt = (value: unknown): boolean => ['int', 'uint'].includes(kindOf(value))
const misused = (name: string, on: string, value: unknown): CelError =>
  new CelError(
    `error during formatting: ${name} clause can only be used on ${on}, was given ${typeNameOf(value)}`,
  )

function clause(verb: string, value: unknown, precision: number | undefined): string {
  switch (verb) {
    case 's':
      return shown(value)
    case 'd':
      if (isInt(value)) return wholeOf(value).toString()
      if (kindOf(value) === 'double' && !Number.isFinite(doubleOf(value))) return special(value)
      throw misused('decimal', 'integers', value)
    case 'f':
      return fraction(verb, value, precision)
    case 'e':
      return fraction(verb, value, precision)
    case 'b':
      if (typeof value === 'boolean') return value ? '1' : '0'
      if (!isInt(value)) throw misused('binary', 'integers and bools', value)
      return wholeOf(value).toString(2)
    case 'o':
      if (!isInt(value)) throw misused('octal', 'integers', value)
      return wholeOf(value).toString(8)
    case 'x':
      return hex(value)
    case 'X':
      return hex(value).toUpperCase()
    default:
      throw new CelError(
        `could not parse formatting clause: unrecognized formatting clause "${verb}"`,
      )
  }
}

const wholeOf = (value: unknown): bigint =>
  value instanceof CelUint ? value.value : BigInt(typeof value === 'bigint' ? value : Number(value))

function fraction(verb: 'f' | 'e', value: unknown, precision = 6): string {
  const kind = kindOf(value)
  if (kind !== 'double' && kind !== 'int' && kind !== 'uint')
    throw misused(verb === 'f' ? 'fixed-point' : 'scientific', 'doubles', value)
  const number = kind === 'double' ? doubleOf(value) : Number(wholeOf(value))
  if (!Number.isFinite(number)) return special(value)
  if (verb === 'f') return toFixed(number, precision)
  return number.toExponential(precision).replace(/e([+-])(\d)$/, 'e$10$2')
}

/** What lies in the middle goes to the even digit, as in Go; JavaScript goes up. */
function toFixed(number: number, precision: number): string {
  const text = number.toFixed(precision)
  const isMiddle = /^50*$/.test(number.toFixed(EXACT_DIGITS).split('.')[1]?.slice(precision) ?? '')
  const last = Number(text.at(-1))
  if (!isMiddle || last % 2 === 0) return text
  // It was rounded away from zero; an odd last digit is one more than the even one.
  return `${text.slice(0, -1)}${last - 1}`
}

function hex(value: unknown): string {
  if (typeof value === 'string' || value instanceof Uint8Array)
    return Buffer.from(value).toString('hex')
  if (!isInt(value)) throw misused('hex', 'integers, byte buffers, and strings', value)
  return wholeOf(value).toString(16)
}

function special(value: unknown): string {
  const number = doubleOf(value)
  return Number.isNaN(number) ? 'NaN' : number > 0 ? 'Infinity' : '-Infinity'
}

function shown(value: unknown, parts = new Parts()): string {
  parts.next()
  if (typeof value === 'string') return value
  if (value === null) return 'null'
  if (typeof value === 'boolean' || isInt(value))
    return String(typeof value === 'boolean' ? value : wholeOf(value))
  if (value instanceof CelDouble || typeof value === 'number') {
    const number = doubleOf(value)
    return Number.isFinite(number) ? String(number) : special(value)
  }
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8')
  if (Array.isArray(value)) return `[${value.map((each) => shown(each, parts)).join(', ')}]`
  if (value instanceof CelTimestamp) return formatTimestamp(value)
  if (value instanceof CelDuration) return formatDuration(value)
  if (value instanceof CelTypeValue) return value.name
  if (kindOf(value) === 'map' && !(value instanceof CelOpaque))
    return `{${Array.from(
      mapEntries(value),
      ([key, each]) => `${shown(key)}: ${shown(each, parts)}`,
    )
      .toSorted((a, b) => (a < b ? -1 : 1))
      .join(', ')}}`
  throw misused(
    'string',
    'strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps',
    value,
  )
}
