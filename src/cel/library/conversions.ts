/** From one type to another, and what a timestamp or a duration is made of. */
import { CelError } from '../errors.ts'
import { overload, scaled, TRAVERSAL, UNKNOWN, type Cost, type Overload } from '../functions.ts'
import {
  formatDuration,
  formatTimestamp,
  localDate,
  parseDuration,
  parseTimestamp,
  timestampOf,
} from '../time.ts'
import {
  bigOf,
  CelDouble,
  CelTypeValue,
  CelUint,
  checkedInt,
  costSize,
  doubleOf,
  INT_MAX,
  INT_MIN,
  normalInt,
  typeNameOf,
  UINT_MAX,
  type CelDuration,
  type CelTimestamp,
} from '../values.ts'

type Int = number | bigint

const traversed = (least: number, most: number): Cost => ({
  actual: ([text]) => Math.ceil(costSize(text) * TRAVERSAL),
  estimate: ([text]) => {
    const size = text?.size ?? UNKNOWN
    return {
      cost: scaled(size, TRAVERSAL),
      resultSize: { min: size.min * least, max: size.max * most },
    }
  },
})

function intOfDouble(value: unknown): Int {
  const number = doubleOf(value)
  // The bounds of int64 are no doubles; what rounds to them is out of range.
  if (!(number > -(2 ** 63) && number < 2 ** 63)) throw new CelError('integer overflow')
  return normalInt(BigInt(Math.trunc(number)))
}
function uintOfDouble(value: unknown): CelUint {
  const number = doubleOf(value)
  if (!(number > -1 && number < 2 ** 64)) throw new CelError('unsigned integer overflow')
  if (number < 0) throw new CelError('unsigned integer overflow')
  return new CelUint(BigInt(Math.trunc(number)))
}
/** A text that says no value of the type. */
const notA = (type: string): CelError =>
  new CelError(`type conversion error from 'string' to '${type}'`)

function parseInteger(text: string): Int {
  if (!/^[+-]?\d{1,40}$/.test(text)) throw notA('int')
  const value = BigInt(text.replace(/^\+/, ''))
  if (value > INT_MAX || value < INT_MIN) throw notA('int')
  return normalInt(value)
}
function parseUnsigned(text: string): CelUint {
  if (!/^\d{1,40}$/.test(text)) throw notA('uint')
  const value = BigInt(text)
  if (value > UINT_MAX) throw notA('uint')
  return new CelUint(value)
}
function parseDouble(text: string): CelDouble {
  const special = /^([+-]?)(?:(inf|infinity)|nan)$/i.exec(text)
  if (special !== null) {
    if (special[2] === undefined) return new CelDouble(Number.NaN)
    return new CelDouble(special[1] === '-' ? -Infinity : Infinity)
  }
  if (!/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text)) throw notA('double')
  return new CelDouble(Number(text))
}

const TRUE = new Set(['1', 't', 'T', 'TRUE', 'true', 'True'])
const FALSE = new Set(['0', 'f', 'F', 'FALSE', 'false', 'False'])
function parseBool(text: string): boolean {
  if (TRUE.has(text)) return true
  if (FALSE.has(text)) return false
  throw notA('bool')
}

/** As Go prints a float: shortest, with an exponent from a million on. */
export function formatDouble(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf'
  if (value === 0) return Object.is(value, -0) ? '-0' : '0'
  const [mantissa = '', exponent = '0'] = value.toExponential().split('e')
  const power = Number(exponent)
  if (power < -4 || power >= 6) {
    const size = String(Math.abs(power)).padStart(2, '0')
    return `${mantissa}e${power < 0 ? '-' : '+'}${size}`
  }
  return plainDouble(value)
}

/** Never with an exponent. */
function plainDouble(value: number): string {
  const text = String(value)
  if (!text.includes('e')) return text
  return value.toFixed(20).replace(/\.?0+$/, '')
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new CelError('invalid UTF-8 in bytes, cannot convert to string')
  }
}

const same = (value: unknown): unknown => value

const conversions: readonly Overload[] = [
  overload('::int(int): int', same),
  overload('::int(uint): int', (value: CelUint) => checkedInt(value.value)),
  overload('::int(double): int', intOfDouble),
  overload('::int(string): int', parseInteger),
  overload('::int(timestamp): int', (value: CelTimestamp) => value.seconds),
  overload('::int(duration): int', (value: CelDuration) => normalInt(value.nanos)),
  overload('::uint(uint): uint', same),
  overload('::uint(int): uint', (value: Int) => {
    const big = bigOf(value)
    if (big < 0n) throw new CelError('unsigned integer overflow')
    return new CelUint(big)
  }),
  overload('::uint(double): uint', uintOfDouble),
  overload('::uint(string): uint', parseUnsigned),
  overload('::double(double): double', (value: unknown) => new CelDouble(doubleOf(value))),
  overload('::double(int): double', (value: Int) => new CelDouble(Number(value))),
  overload('::double(uint): double', (value: CelUint) => new CelDouble(Number(value.value))),
  overload('::double(string): double', parseDouble),
  overload('::string(string): string', same),
  overload('::string(bool): string', String),
  overload('::string(int): string', String),
  overload('::string(uint): string', (value: CelUint) => String(value.value)),
  overload('::string(double): string', (value: unknown) => formatDouble(doubleOf(value))),
  overload('::string(bytes): string', decode, traversed(0.25, 1)),
  overload('::string(timestamp): string', formatTimestamp),
  overload('::string(duration): string', formatDuration),
  overload('::bytes(bytes): bytes', same),
  overload(
    '::bytes(string): bytes',
    (text: string) => new TextEncoder().encode(text),
    traversed(1, 4),
  ),
  overload('::bool(bool): bool', same),
  overload('::bool(string): bool', parseBool),
  overload('::timestamp(timestamp): timestamp', same),
  overload('::timestamp(string): timestamp', (text: string) => {
    const value = parseTimestamp(text)
    if (value === undefined)
      throw new CelError(`invalid RFC 3339 timestamp ${JSON.stringify(text)}`)
    if (value.seconds < -62135596800) throw new CelError('timestamp overflow')
    return value
  }),
  overload('::timestamp(int): timestamp', (seconds: Int) =>
    timestampOf(BigInt(seconds) * 1_000_000_000n),
  ),
  overload('::duration(duration): duration', same),
  overload('::duration(int): duration', (nanos: Int) =>
    // Upstream reads an int as seconds in JSON alone; here it is nanoseconds, as in Go.
    parseDuration(`${nanos}ns`),
  ),
  overload('::duration(string): duration', (text: string) => {
    const value = parseDuration(text)
    if (value === undefined) throw notA('google.protobuf.Duration')
    return value
  }),
  overload('::dyn(A): dyn', same),
  overload('::type(A): type<A>', (value: unknown) => new CelTypeValue(typeNameOf(value))),
]

const dayOfYear = (date: Date): number => {
  const start = new Date(0)
  start.setUTCFullYear(date.getUTCFullYear(), 0, 1)
  return Math.floor((date.getTime() - start.getTime()) / 86_400_000)
}
const FIELDS: Readonly<Record<string, (date: Date) => number>> = {
  getFullYear: (date) => date.getUTCFullYear(),
  getMonth: (date) => date.getUTCMonth(),
  getDate: (date) => date.getUTCDate(),
  getDayOfMonth: (date) => date.getUTCDate() - 1,
  getDayOfWeek: (date) => date.getUTCDay(),
  getDayOfYear: dayOfYear,
  getHours: (date) => date.getUTCHours(),
  getMinutes: (date) => date.getUTCMinutes(),
  getSeconds: (date) => date.getUTCSeconds(),
  getMilliseconds: (date) => date.getUTCMilliseconds(),
}

const fields: readonly Overload[] = Object.entries(FIELDS).flatMap(([name, get]) => [
  overload(`timestamp.${name}(): int`, (value: CelTimestamp) => get(localDate(value, 'UTC'))),
  overload(`timestamp.${name}(string): int`, (value: CelTimestamp, zone: string) =>
    get(localDate(value, zone)),
  ),
])

const part = (name: string, unit: bigint): Overload =>
  overload(`duration.${name}(): int`, ({ nanos }: CelDuration) => normalInt(nanos / unit))

const parts: readonly Overload[] = [
  part('getHours', 3_600_000_000_000n),
  part('getMinutes', 60_000_000_000n),
  part('getSeconds', 1_000_000_000n),
  part('getMilliseconds', 1_000_000n),
]

export const conversionLibrary: readonly Overload[] = [...conversions, ...fields, ...parts]
