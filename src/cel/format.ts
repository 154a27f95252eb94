/** `'%s has %d'.format([a, b])` (cel-go's strings extension). */
import { CelError } from './errors.ts'
import { typeText } from './types.ts'
import {
  Duration,
  List,
  Optional,
  Timestamp,
  TypeValue,
  Uint,
  durationText,
  isMapping,
  timestampText,
  typeOfValue,
  type CelValue,
} from './values.ts'

const MAX_PRECISION = 1000

export function formatText(pattern: string, values: readonly CelValue[]): string {
  let next = 0
  let text = ''
  for (let i = 0; i < pattern.length; i++) {
    if (pattern[i] !== '%') {
      text += pattern[i]
      continue
    }
    i++
    if (pattern[i] === '%') {
      text += '%'
      continue
    }
    let precision: number | undefined
    if (pattern[i] === '.') {
      const digits = /^\d*/.exec(pattern.slice(i + 1))?.[0] ?? ''
      precision = Number(digits)
      if (precision > MAX_PRECISION) throw new CelError('precision is too large')
      i += digits.length + 1
    }
    const verb = pattern[i]
    if (verb === undefined) throw new CelError('unexpected end of format string')
    if (next >= values.length) throw new CelError(`index ${next} out of range`)
    text += clause(verb, values[next++]!, precision)
  }
  return text
}

const named = (value: CelValue): string => typeText(typeOfValue(value)).replace(/\(.*/, '')

function clause(verb: string, value: CelValue, precision: number | undefined): string {
  switch (verb) {
    case 's':
      return shown(value)
    case 'd':
      if (typeof value === 'bigint') return String(value)
      if (value instanceof Uint) return String(value.value)
      if (typeof value === 'number' && !Number.isFinite(value)) return special(value)
      throw new CelError(
        `error during formatting: decimal clause can only be used on integers, was given ${named(value)}`,
      )
    case 'f':
    case 'e': {
      const number = typeof value === 'number' ? value : numberOf(value)
      if (number === undefined)
        throw new CelError(
          `error during formatting: ${verb === 'f' ? 'fixed-point' : 'scientific'} clause can only be used on doubles, was given ${named(value)}`,
        )
      if (!Number.isFinite(number)) return special(number)
      return verb === 'f'
        ? number.toFixed(Math.min(100, precision ?? 6))
        : number.toExponential(Math.min(100, precision ?? 6)).replace(/e([+-])(\d)$/, 'e$10$2')
    }
    case 'b':
      if (typeof value === 'boolean') return value ? '1' : '0'
      return based(value, 2, verb)
    case 'o':
      return based(value, 8, verb)
    case 'x':
    case 'X': {
      const text =
        typeof value === 'string'
          ? Buffer.from(value).toString('hex')
          : value instanceof Uint8Array
            ? Buffer.from(value).toString('hex')
            : based(value, 16, verb)
      return verb === 'X' ? text.toUpperCase() : text
    }
    default:
      throw new CelError(`unrecognized formatting clause "${verb}"`)
  }
}

const numberOf = (value: CelValue): number | undefined =>
  typeof value === 'bigint'
    ? Number(value)
    : value instanceof Uint
      ? Number(value.value)
      : undefined

function based(value: CelValue, base: number, verb: string): string {
  if (typeof value === 'bigint') return value.toString(base)
  if (value instanceof Uint) return value.value.toString(base)
  throw new CelError(`error during formatting: ${verb} clause cannot be used on ${named(value)}`)
}

const special = (value: number): string =>
  Number.isNaN(value) ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity'

function shown(value: CelValue): string {
  if (typeof value === 'string') return value
  if (value === null) return 'null'
  if (typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : special(value)
  if (value instanceof Uint) return String(value.value)
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8')
  if (value instanceof List) return `[${[...value].map(shown).join(', ')}]`
  if (value instanceof Timestamp) return timestampText(value)
  if (value instanceof Duration) return durationText(value)
  if (value instanceof TypeValue) return value.name
  if (value instanceof Optional)
    return value.value === undefined ? 'optional.none()' : `optional.of(${shown(value.value)})`
  if (isMapping(value))
    return `{${[...value.keys()]
      .map((key) => `${shown(key)}: ${shown(value.get(key)!)}`)
      .toSorted((a, b) => (a < b ? -1 : 1))
      .join(', ')}}`
  throw new CelError(`error during formatting: string clause cannot be used on ${named(value)}`)
}
