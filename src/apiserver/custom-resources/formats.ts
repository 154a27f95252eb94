/** The formats of strings that schemas may ask for. Formats that are not here are not checked. */
import { canonicalIP, dnsLabel, dnsSubdomain } from '#machinery'
import { isRequestUri } from './uri.ts'

type Format = (text: string) => boolean

const matches =
  (form: RegExp): Format =>
  (text) =>
    form.test(text)

const HEX = '[0-9a-f]'
const uuid = (version: string): Format =>
  matches(new RegExp(`^${HEX}{8}-?${HEX}{4}-?${version}${HEX}{3}-?${HEX}{4}-?${HEX}{12}$`, 'i'))

const DATE = /^(\d{4})-(\d{2})-(\d{2})$/
/** Any character stands before the fraction, as upstream. */
const DAY_TIME = /^([01]\d|2[0-3]):[0-5]\d:[0-5]\d(.\d+)?(z|[+-]\d{2}:\d{2})$/u

const MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

function isDate(text: string): boolean {
  const found = DATE.exec(text)
  if (found === null) return false
  const [, year, month, day] = found.map(Number) as [number, number, number, number]
  const isLeap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0
  const days = month === 2 && isLeap ? 29 : (MONTH_DAYS[month - 1] ?? 0)
  return day >= 1 && day <= days
}

/** What follows another `T` is not looked at, as upstream. */
const isDateTime: Format = (text) => {
  const [date = '', time = ''] = text.toLowerCase().split('t')
  return isDate(date) && DAY_TIME.test(time)
}

const isIPv4: Format = (text) => !text.includes(':') && canonicalIP(text) !== undefined
const isIPv6: Format = (text) => text.includes(':') && canonicalIP(text) !== undefined

const GO_DURATION =
  /^[+-]?(?:0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))*)$/
/** A number and a unit in words, anywhere: the words may go on as they like. */
const AMOUNT = /(\d+)[\t\n\f\r ]*([A-Za-zµ]+)/g
const UNIT =
  /^(?:ns|nano.*|us|µs|micro.*|ms|milli.*|s|sec.*|m|min.*|h|hr|hour.*|d|day.*|w|wk|week.*)$/i
const MOST_NANOS = 2 ** 63

/** Go's form (`1h30m`), or numbers and units in words (`3 days`). */
const isDuration: Format = (text) => {
  if (GO_DURATION.test(text) && goNanos(text) < MOST_NANOS) return true
  const amounts = [...text.matchAll(AMOUNT)]
  return (
    amounts.every(([, count = '']) => BigInt(count) < 2n ** 63n) &&
    amounts.some(([, , unit = '']) => UNIT.test(unit))
  )
}

const NANOS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 6e10,
  h: 3.6e12,
}

const goNanos = (text: string): number =>
  [...text.matchAll(/([\d.]+)([a-zµμ]+)/g)].reduce(
    (sum, [, count = '', unit = '']) => sum + Number(count) * (NANOS[unit] ?? 0),
    0,
  )

const isCidr: Format = (text) => {
  const [address = '', length = '', ...more] = text.split('/')
  if (more.length > 0 || !/^\d{1,3}$/.test(length)) return false
  return isIPv4(address) ? Number(length) <= 32 : isIPv6(address) && Number(length) <= 128
}

/** Whole groups of four, and at least one. */
const isBase64: Format = (text) => text.length % 4 === 0 && /^[A-Za-z0-9+/]{2,}={0,2}$/.test(text)

function isIsbn10(text: string): boolean {
  const digits = text.replaceAll(/[\t\n\f\r -]/g, '')
  if (!/^\d{9}[\dX]$/.test(digits)) return false
  let sum = 0
  for (let i = 0; i < 10; i++) sum += (10 - i) * (digits[i] === 'X' ? 10 : Number(digits[i]))
  return sum % 11 === 0
}

function isIsbn13(text: string): boolean {
  const digits = text.replaceAll(/[\t\n\f\r -]/g, '')
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

/** Of addresses of mail (RFC 5322): a word, words with dots between them, a quoted text. */
const LETTER = String.raw`[^\x00-\x20\x7f()<>[\]:;@\\,".]`
const DOTTED = String.raw`${LETTER}+(?:\.${LETTER}+)*`
const QUOTED = String.raw`"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[^\x00-\x08\x0a-\x1f\x7f])+"`
const MAILBOX = String.raw`(?:${DOTTED}|${QUOTED})@[ \t]*(?:${DOTTED}|\[([0-9a-fA-F:.]+)\])`
const MAIL = new RegExp(String.raw`^[ \t]*${MAILBOX}[ \t]*$`)
const NAMED_MAIL = new RegExp(String.raw`^(?:${QUOTED}|${LETTER}|[. \t])*<[ \t]*${MAILBOX}>[ \t]*$`)

const isEmail: Format = (text) => {
  const found = MAIL.exec(text) ?? NAMED_MAIL.exec(text)
  return found !== null && (found[1] === undefined || canonicalIP(found[1]) !== undefined)
}

/** Six, eight or twenty bytes, by colons, hyphens, dots, or nothing between them. */
const MAC = ((): RegExp => {
  const by = (part: string, mark: string, counts: readonly number[]): readonly string[] =>
    counts.map((count) => `(?:${part}${mark}){${count - 1}}${part}`)
  const byte = '[0-9a-f]{2}'
  return new RegExp(
    `^(?:${[...by(byte, ':', [6, 8, 20]), ...by(byte, '-', [6, 8, 20]), ...by(byte + byte, '\\.', [3, 4, 10]), ...by(byte, '', [6, 8, 20])].join('|')})$`,
    'i',
  )
})()

const FORMATS: Readonly<Record<string, Format>> = {
  bsonobjectid: matches(/^[0-9a-f]{24}$/i),
  uri: isRequestUri,
  email: isEmail,
  hostname: isHostname,
  // An address that is mapped into IPv6 is one too, when it is written with dots.
  ipv4: (text) => text.includes('.') && canonicalIP(text) !== undefined,
  ipv6: isIPv6,
  cidr: isCidr,
  mac: matches(MAC),
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
