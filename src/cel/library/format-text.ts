/** `'%s has %d'.format([a, b])`. */
import { CelError } from '../errors.ts'
import { CLAUSE, misused, unknownClause } from '../format-check.ts'
import { formatDuration, formatTimestamp } from '../time.ts'
import {
  CelDuration,
  CelTimestamp,
  CelTypeValue,
  CelUint,
  Parts,
  doubleOf,
  kindOf,
  mapEntries,
  typeNameOf,
} from '../values.ts'
import { formatDouble } from './conversions.ts'

const MAX_PRECISION = 100
/** As many as JavaScript gives. */
const EXACT_DIGITS = 100

export function formatText(pattern: string, values: readonly unknown[]): string {
  let next = 0
  return pattern.replaceAll(CLAUSE, (_, digits: unknown, verb: string) => {
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
const refused = (verb: string, value: unknown): CelError =>
  new CelError(misused(verb, typeNameOf(value)))

function clause(verb: string, value: unknown, precision: number | undefined): string {
  switch (verb) {
    case 's':
      return shown(value)
    case 'd':
      if (isInt(value)) return wholeOf(value).toString()
      throw refused(verb, value)
    case 'f':
      return fraction(verb, value, precision)
    case 'e':
      return fraction(verb, value, precision)
    case 'b':
      if (typeof value === 'boolean') return value ? '1' : '0'
      if (!isInt(value)) throw refused(verb, value)
      return wholeOf(value).toString(2)
    case 'o':
      if (!isInt(value)) throw refused(verb, value)
      return wholeOf(value).toString(8)
    case 'x':
      return hex(value)
    case 'X':
      return hex(value).toUpperCase()
    default:
      throw new CelError(unknownClause(verb))
  }
}

const wholeOf = (value: unknown): bigint =>
  value instanceof CelUint ? value.value : BigInt(typeof value === 'bigint' ? value : Number(value))

/** As texts for people have numbers in American English. */
function fraction(verb: 'f' | 'e', value: unknown, precision = 6): string {
  const isSpecial = value === 'NaN' || value === 'Infinity' || value === '-Infinity'
  if (kindOf(value) !== 'double' && !isSpecial) throw refused(verb, value)
  const number = isSpecial ? Number(value) : doubleOf(value)
  if (Number.isNaN(number)) return 'NaN'
  if (!Number.isFinite(number)) return number > 0 ? '∞' : '-∞'
  if (verb === 'f')
    return toFixed(number, precision).replace(
      /^(-?)(\d+)/,
      (_, minus: string, whole: string) => minus + whole.replaceAll(/\B(?=(?:\d{3})+$)/g, ','),
    )
  const [mantissa = '', exponent = ''] = number.toExponential(6).split('e')
  const digits = exponent.replace(/^[+-]/, '').padStart(2, '0')
  const raised = (exponent.startsWith('-') ? '-' : '') + digits
  // What is written as its precision is how wide it is at least.
  return `${mantissa}×10${Array.from(raised, (each) => SUPERSCRIPTS[each] ?? each).join('')}`.padStart(
    precision,
  )
}
const SUPERSCRIPTS: Readonly<Record<string, string>> = {
  '-': '⁻',
  0: '⁰',
  1: '¹',
  2: '²',
  3: '³',
  4: '⁴',
  5: '⁵',
  6: '⁶',
  7: '⁷',
  8: '⁸',
  9: '⁹',
}

/** What lies in the middle goes to the even digit, as in Go; JavaScript goes up. */
function toFixed(number: number, precision: number): string {
  if (Math.abs(number) >= 1e21)
    return precision === 0 ? String(BigInt(number)) : `${BigInt(number)}.${'0'.repeat(precision)}`
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
  if (!isInt(value)) throw refused('x', value)
  return wholeOf(value).toString(16)
}

function shown(value: unknown): string {
  if (typeof value === 'string') return value
  if (value === null) return 'null'
  if (typeof value === 'boolean' || isInt(value))
    return String(typeof value === 'boolean' ? value : wholeOf(value))
  if (kindOf(value) === 'double') return formatDouble(doubleOf(value))
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8')
  if (value instanceof CelTimestamp) return formatTimestamp(value)
  if (value instanceof CelDuration) return formatDuration(value)
  if (value instanceof CelTypeValue) return value.name
  if (Array.isArray(value) || kindOf(value) === 'map') return asLiteral(value, new Parts())
  throw refused('s', value)
}

/** In a list or a map values are written as in an expression. */
function asLiteral(value: unknown, parts: Parts): string {
  parts.next()
  if (Array.isArray(value)) return `[${value.map((each) => asLiteral(each, parts)).join(', ')}]`
  switch (kindOf(value)) {
    case 'string':
      return JSON.stringify(value)
    case 'bytes':
      return `b${JSON.stringify(shown(value))}`
    case 'timestamp':
      return `timestamp(${JSON.stringify(shown(value))})`
    case 'duration':
      return `duration(${JSON.stringify(shown(value))})`
    case 'double': {
      const number = doubleOf(value)
      if (Number.isFinite(number)) return toFixed(number, 6)
      return Number.isNaN(number) ? '"NaN"' : number > 0 ? '"+Inf"' : '"-Inf"'
    }
    case 'map':
      return `{${Array.from(
        mapEntries(value),
        ([key, each]) => [asLiteral(key, parts), asLiteral(each, parts)] as const,
      )
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, each]) => `${key}:${each}`)
        .join(', ')}}`
    case 'optional':
    case 'opaque':
      throw new CelError(`error during formatting: no formatting function for ${typeNameOf(value)}`)
    default:
      return shown(value)
  }
}
