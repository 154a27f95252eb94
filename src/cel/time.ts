/** Timestamps and durations: reading, writing, calendars. */
import { CelError } from './errors.ts'
import { CelDuration, CelTimestamp, INT_MAX, INT_MIN } from './values.ts'

const RFC3339 =
  /^(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:[.,](\d+))?([Zz]|[+-]\d{2}:\d{2})$/
const NANOS = 1_000_000_000n
const MIN_SECONDS = -62135596800
const MAX_SECONDS = 253402300799

/** Undefined when it is none. */
export function parseTimestamp(text: string): CelTimestamp | undefined {
  const match = RFC3339.exec(text)
  if (match === null) return undefined
  const [, year, month, day, hour, minute, second, fraction = '', zone = 'Z'] = match
  const date = new Date(0)
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day))
  const real = date.getUTCMonth() === Number(month) - 1 && date.getUTCDate() === Number(day)
  if (!real || Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined
  date.setUTCHours(Number(hour), Number(minute), Number(second))
  const offset = /^z$/i.test(zone) ? 0 : fixedOffset(zone)
  if (offset === undefined) return undefined
  const nanos = Number(fraction.slice(0, 9).padEnd(9, '0'))
  return checkedTimestamp(Math.floor(date.getTime() / 1000) - offset, nanos)
}

export function isTimestamp(text: string): boolean {
  try {
    return parseTimestamp(text) !== undefined
  } catch {
    return false
  }
}

function checkedTimestamp(seconds: number, nanos: number): CelTimestamp {
  if (seconds < MIN_SECONDS || seconds > MAX_SECONDS) throw new CelError('timestamp overflow')
  return new CelTimestamp(seconds, nanos)
}

/** As RFC 3339, with as many digits of the second as matter. */
export function formatTimestamp({ seconds, nanos }: CelTimestamp): string {
  const whole = new Date(seconds * 1000).toISOString().slice(0, 19)
  if (nanos === 0) return `${whole}Z`
  return `${whole}.${String(nanos).padStart(9, '0').replace(/0+$/, '')}Z`
}

const UNITS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1000n,
  µs: 1000n,
  μs: 1000n,
  ms: 1_000_000n,
  s: NANOS,
  m: 60n * NANOS,
  h: 3600n * NANOS,
}

/** `1h30m`, `-1.5s`; undefined when it is none or does not fit. */
export function parseDuration(text: string): CelDuration | undefined {
  const sign = /^[+-]/.exec(text)?.[0] ?? ''
  const rest = text.slice(sign.length)
  if (rest === '0') return new CelDuration(0n)
  if (rest.length > 200 || !/^(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(rest))
    return undefined
  let nanos = 0n
  for (const [, whole = '', fraction = '', unit = ''] of rest.matchAll(
    /(\d*)\.?(\d*)(ns|us|µs|μs|ms|s|m|h)/g,
  )) {
    const size = UNITS[unit] ?? 0n
    nanos += BigInt(whole || '0') * size
    nanos += (BigInt(fraction || '0') * size) / 10n ** BigInt(fraction.length)
  }
  const signed = sign === '-' ? -nanos : nanos
  return signed > INT_MAX || signed < INT_MIN ? undefined : new CelDuration(signed)
}

export function checkedDuration(nanos: bigint, message = 'duration overflow'): CelDuration {
  if (nanos > INT_MAX || nanos < INT_MIN) throw new CelError(message)
  return new CelDuration(nanos)
}

/** In seconds: `90.5s`. */
export function formatDuration({ nanos }: CelDuration): string {
  const size = nanos < 0n ? -nanos : nanos
  const fraction = String(size % NANOS)
    .padStart(9, '0')
    .replace(/0+$/, '')
  return `${nanos < 0n ? '-' : ''}${size / NANOS}${fraction === '' ? '' : `.${fraction}`}s`
}

export const nanosOf = ({ seconds, nanos }: CelTimestamp): bigint =>
  BigInt(seconds) * NANOS + BigInt(nanos)
export function timestampOf(nanos: bigint): CelTimestamp {
  const rest = ((nanos % NANOS) + NANOS) % NANOS
  return checkedTimestamp(Number((nanos - rest) / NANOS), Number(rest))
}

/** A date whose UTC fields are the local ones. */
export function localDate({ seconds, nanos }: CelTimestamp, zone: string): Date {
  const milliseconds = seconds * 1000 + Math.floor(nanos / 1_000_000)
  return new Date(milliseconds + offsetOf(zone, milliseconds) * 1000)
}

function fixedOffset(zone: string): number | undefined {
  const match = /^([+-]?)(\d{2}):(\d{2})$/.exec(zone)
  if (match === null || Number(match[2]) > 23 || Number(match[3]) > 59) return undefined
  const seconds = Number(match[2]) * 3600 + Number(match[3]) * 60
  return match[1] === '-' ? -seconds : seconds
}

const formats = new Map<string, Intl.DateTimeFormat>()
const MAX_FORMATS = 64

/** Seconds east of Greenwich at that moment. */
function offsetOf(zone: string, milliseconds: number): number {
  if (zone === 'UTC' || zone === '') return 0
  const offset = fixedOffset(zone)
  if (offset !== undefined) return offset
  const parts = zoneFormat(zone).formatToParts(milliseconds)
  const part = (type: string): number => Number(parts.find((each) => each.type === type)?.value)
  const local = new Date(0)
  const year = parts.some(({ type, value }) => type === 'era' && value.startsWith('B'))
    ? 1 - part('year')
    : part('year')
  local.setUTCFullYear(year, part('month') - 1, part('day'))
  local.setUTCHours(part('hour'), part('minute'), part('second'))
  return Math.round((local.getTime() - Math.floor(milliseconds / 1000) * 1000) / 1000)
}

function zoneFormat(zone: string): Intl.DateTimeFormat {
  const known = formats.get(zone)
  if (known !== undefined) return known
  let format: Intl.DateTimeFormat
  try {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      era: 'short',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
  } catch {
    throw new CelError(`unknown time zone ${zone}`)
  }
  if (formats.size >= MAX_FORMATS) formats.clear()
  formats.set(zone, format)
  return format
}
