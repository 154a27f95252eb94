/**
 * Numbers against schemas. A whole number is compared with bounds that are cut to whole ones, and one that the
 * format cannot hold is told of by itself: so Kubernetes does, and its words are kept.
 */
import { problem, type Found } from './found.ts'
import { goFloat, isInt64 } from '#machinery'
import type { Schema } from './schema.ts'

/** The ends of the integers that a format can hold. */
const RANGES: Readonly<Record<string, readonly [number, number]>> = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
  int64: [-(2 ** 63), 2 ** 63],
}
const INT64: readonly [number, number] = [-(2 ** 63), 2 ** 63]
const MOST_FLOAT32 = 3.4028235677973366e38
const RELATIVE_ERROR = 1e-9

/** A number that is whole but for what binary fractions make of it. */
export function isNearlyWhole(value: number): boolean {
  if (!Number.isFinite(value) || Math.abs(value) > Number.MAX_SAFE_INTEGER) return false
  const rounded = Math.round(value)
  if (value === rounded) return true
  return rounded !== 0 && Math.abs(value - rounded) < RELATIVE_ERROR * Math.abs(rounded)
}

export function checkNumber(
  schema: Schema,
  value: number | bigint,
  path: string,
  found: Found,
): void {
  const { multipleOf, maximum, exclusiveMaximum, minimum, exclusiveMinimum } = schema
  const misfit = (number: number | bigint, what: string): boolean => {
    const text = misfitText(schema, number)
    if (text === undefined) return false
    const why = `${what} value must be ${text} in ${path}`
    found.errors.push(problem('FieldValueInvalid', '', `Invalid value: "": ${why}`))
    return true
  }
  /** What is compared, and how both are shown: as whole numbers, unless one of them cannot be one. */
  const pair = (bound: number, what: string): Pair =>
    !misfit(bound, what) && isInt64(value)
      ? { value, bound: Math.trunc(bound), shown: String }
      : { value: Number(value), bound, shown: goFloat }
  const wrong = ({ value: given, bound, shown }: Pair, why: string): void =>
    void found.errors.push(
      problem(
        'FieldValueInvalid',
        path,
        `Invalid value: ${shown(given)}: ${path} in body should be ${why} ${shown(bound)}`,
      ),
    )
  misfit(value, 'Checked')
  if (multipleOf !== undefined) {
    const both = pair(multipleOf, 'MultipleOf')
    const of = both.shown(both.bound)
    if (both.bound <= 0)
      found.errors.push(
        problem(
          'FieldValueInvalid',
          path,
          `Invalid value: ${of}: factor MultipleOf declared for ${path} must be positive: ${of}`,
        ),
      )
    else if (!isMultiple(both)) wrong(both, 'a multiple of')
  }
  if (minimum !== undefined) {
    const both = pair(minimum, 'Minimum boundary')
    const isOut = exclusiveMinimum === true ? both.value <= both.bound : both.value < both.bound
    if (isOut) wrong(both, exclusiveMinimum === true ? 'greater than' : 'greater than or equal to')
  }
  if (maximum !== undefined) {
    const both = pair(maximum, 'Maximum boundary')
    const isOut = exclusiveMaximum === true ? both.value >= both.bound : both.value > both.bound
    if (isOut) wrong(both, exclusiveMaximum === true ? 'less than' : 'less than or equal to')
  }
}

interface Pair {
  readonly value: number | bigint
  readonly bound: number
  readonly shown: (number: number | bigint) => string
}

/** What the schema says that the number is not; undefined when it is. */
function misfitText({ type, format = '' }: Schema, number: number | bigint): string | undefined {
  if (type === 'number')
    return format === 'float' && Math.abs(Number(number)) >= MOST_FLOAT32
      ? 'of type number with format float'
      : undefined
  if (type !== 'integer') return undefined
  const range = RANGES[format]
  const [least, most] = range ?? INT64
  const isWhole = typeof number === 'bigint' || Number.isInteger(number)
  if (isWhole && number >= least && (most === INT64[1] ? number < most : number <= most))
    return undefined
  return `of type integer ${range === undefined ? '(default format)' : `with format ${format}`}`
}

function isMultiple({ value, bound, shown }: Pair): boolean {
  if (typeof value === 'bigint') return value % BigInt(bound) === 0n
  if (shown !== goFloat) return value % bound === 0
  return isNearlyWhole(bound < 1 ? (1 / bound) * value : value / bound)
}
