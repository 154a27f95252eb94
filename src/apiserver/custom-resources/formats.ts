/** The formats of strings that schemas may ask for. Formats that are not here are not checked. */
import { canonicalIP, dnsLabel, dnsSubdomain } from '#machinery'

type Format = (text: string) => boolean

const matches =
  (form: RegExp): Format =>
  (text) =>
    form.test(text)

const HEX = '[0-9a-f]'
const uuid = (version: string): Format =>
  matches(new RegExp(`^${HEX}{8}-?${HEX}{4}-?${version}${HEX}{3}-?${HEX}{4}-?${HEX}{12}$`, 'i'))

const DATE = /^(\d{4})-(\d{2})-(\d{2})$/
const DATE_TIME =
  /^(\d{4}-\d{2}-\d{2})t([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(z|[+-]\d{2}:\d{2})$/i

const MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

function isDate(text: string): boolean {
  const found = DATE.exec(text)
  if (found === null) return false
  const [, year, month, day] = found.map(Number) as [number, number, number, number]
  const isLeap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0
  const days = month === 2 && isLeap ? 29 : (MONTH_DAYS[month - 1] ?? 0)
  return day >= 1 && day <= days
}

const isDateTime: Format = (text) => {
  const found = DATE_TIME.exec(text)
  return found !== null && isDate(found[1]!)
}

const isIPv4: Format = (text) => !text.includes(':') && canonicalIP(text) !== undefined
const isIPv6: Format = (text) => text.includes(':') && canonicalIP(text) !== undefined

/** Go's form (`1h30m`), or a number and a unit in words (`3 days`). */
const DURATION =
  /^[+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))*$/
const LONG_DURATION =
  /^(\s*\d+\s*(ns|nano|nanos|nanoseconds?|us|µs|micro|micros|microseconds?|ms|milli|millis|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|wks?|weeks?))+\s*$/i
const isDuration: Format = (text) => text === '0' || DURATION.test(text) || LONG_DURATION.test(text)

function isUri(text: string): boolean {
  // An absolute address, or a path on this server.
  if (text.startsWith('/')) return !/\s/.test(text)
  return /^[a-z][a-z0-9+.-]*:[^\s]+$/i.test(text)
}

const isCidr: Format = (text) => {
  const [address = '', length = '', ...more] = text.split('/')
  if (more.length > 0 || !/^\d{1,3}$/.test(length)) return false
  return isIPv4(address) ? Number(length) <= 32 : isIPv6(address) && Number(length) <= 128
}

/** Whole groups of four, and at least one. */
const isBase64: Format = (text) => text.length % 4 === 0 && /^[A-Za-z0-9+/]{2,}={0,2}$/.test(text)

function isIsbn10(text: string): boolean {
  const digits = text.replaceAll(/[- ]/g, '')
  if (!/^\d{9}[\dX]$/.test(digits)) return false
  let sum = 0
  for (let i = 0; i < 10; i++) sum += (10 - i) * (digits[i] === 'X' ? 10 : Number(digits[i]))
  return sum % 11 === 0
}

function isIsbn13(text: string): boolean {
  const digits = text.replaceAll(/[- ]/g, '')
  if (!/^\d{13}$/.test(digits)) return false
  let sum = 0
  for (let i = 0; i < 13; i++) sum += Number(digits[i]) * (i % 2 === 0 ? 1 : 3)
  return sum % 10 === 0
}

const CARD =
  /^(?:4\d{12}(?:\d{3})?|5[1-5]\d{14}|6(?:011|5\d\d)\d{12}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|(?:2131|1800|35\d{3})\d{11})$/

function isCreditCard(text: string): boolean {
  const digits = text.replaceAll(/\D/g, '')
  if (!CARD.test(digits)) return false
  let sum = 0
  for (let i = 0; i < digits.length; i++) {
    const digit = Number(digits[digits.length - 1 - i])
    const twice = digit * 2
    sum += i % 2 === 0 ? digit : twice > 9 ? twice - 9 : twice
  }
  return sum % 10 === 0
}

/** A name with dots ends in letters; one without may have a hyphen as its second character only, as upstream. */
const HOSTNAME =
  /^([a-z0-9\p{S}\p{L}](-?[a-z0-9\p{S}\p{L}]{0,62})?|([a-z0-9\p{S}\p{L}]([a-z0-9\p{S}\p{L}-]{0,61}[a-z0-9\p{S}\p{L}])?\.)+[a-z\p{L}]{2,63})$/iu
const isHostname: Format = (text) =>
  text.length <= 255 &&
  HOSTNAME.test(text) &&
  text.split('.').every((label) => Buffer.byteLength(label) <= 63)

const COLOR_PART = '\\s*(0|[1-9]\\d?|1\\d\\d?|2[0-4]\\d|25[0-5])\\s*'

const MAILBOX = '(?:[^\\s@<>:,;]+|"[^"]+")@[^\\s@<>:,;.]+(?:\\.[^\\s@<>:,;.]+)*'

const FORMATS: Readonly<Record<string, Format>> = {
  bsonobjectid: matches(/^[0-9a-f]{24}$/i),
  uri: isUri,
  email: matches(new RegExp(`^(?:${MAILBOX}|[^<>@]*<${MAILBOX}>)$`)),
  hostname: isHostname,
  ipv4: isIPv4,
  ipv6: isIPv6,
  cidr: isCidr,
  mac: matches(
    /^(([0-9a-f]{2}:){5,7}[0-9a-f]{2}|([0-9a-f]{2}-){5,7}[0-9a-f]{2}|([0-9a-f]{4}\.){2,3}[0-9a-f]{4})$/i,
  ),
  uuid: uuid(HEX),
  uuid3: uuid('3'),
  uuid4: matches(/^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$/i),
  uuid5: matches(/^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$/i),
  isbn: (text) => isIsbn10(text) || isIsbn13(text),
  isbn10: isIsbn10,
  isbn13: isIsbn13,
  creditcard: isCreditCard,
  ssn: matches(/^\d{3}[- ]\d{2}[- ]\d{4}$/),
  hexcolor: matches(/^#?([0-9a-f]{3}|[0-9a-f]{6})$/i),
  rgbcolor: matches(new RegExp(`^rgb\\(${COLOR_PART},${COLOR_PART},${COLOR_PART}\\)$`)),
  byte: isBase64,
  password: () => true,
  date: isDate,
  duration: isDuration,
  datetime: isDateTime,
  'k8s-short-name': (text) => dnsLabel(text).length === 0,
  'k8s-long-name': (text) => dnsSubdomain(text).length === 0,
}

/** `date-time` and `datetime` are the same. */
const normal = (name: string): string => name.replaceAll('-', '')

const BY_NAME = new Map(Object.entries(FORMATS).map(([name, format]) => [normal(name), format]))

const OF_NUMBERS: Readonly<Record<string, readonly string[]>> = {
  integer: ['int32', 'int64'],
  number: ['float', 'double'],
}

/** Whether a format says something of values of the type. */
export function isFormatOf(type: string | undefined, format: string): boolean {
  if (type === undefined || type === '' || type === 'string') return isKnownFormat(format)
  return OF_NUMBERS[type]?.includes(format) === true
}

export const isKnownFormat = (name: string): boolean => BY_NAME.has(normal(name))

export const fitsFormat = (name: string, text: string): boolean =>
  BY_NAME.get(normal(name))?.(text) ?? true
