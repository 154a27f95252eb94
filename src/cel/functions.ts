/** What the functions of CEL's standard library and of the strings and lists extensions do. Arguments come evaluated. */
import { RE2JS } from 're2js'
import { CelError, noOverload } from './errors.ts'
import { formatText } from './format.ts'
import { timeParts } from './time.ts'
import { typeText } from './types.ts'
import {
  Duration,
  JsonMapping,
  List,
  MadeMapping,
  Opaque,
  Optional,
  Timestamp,
  TypeValue,
  Uint,
  compare,
  durationText,
  equals,
  identity,
  includes,
  isMapping,
  parseDuration,
  parseTimestamp,
  timestampText,
  typeOfValue,
  type CelValue,
} from './values.ts'

export type Implementation = (...args: readonly CelValue[]) => CelValue

const MAX_INT = 2n ** 63n - 1n
const MIN_INT = -(2n ** 63n)
const MAX_UINT = 2n ** 64n - 1n

export function int(value: bigint): bigint {
  if (value > MAX_INT || value < MIN_INT) throw new CelError('integer overflow')
  return value
}
export function uint(value: bigint): Uint {
  if (value > MAX_UINT || value < 0n) throw new CelError('unsigned integer overflow')
  return new Uint(value)
}

const isText = (value: CelValue | undefined): value is string => typeof value === 'string'
const isInt = (value: CelValue | undefined): value is bigint => typeof value === 'bigint'
const isDouble = (value: CelValue | undefined): value is number => typeof value === 'number'

/** A count of characters is one of code points. */
const characters = (text: string): readonly string[] => Array.from(text)
const isPlain = (text: string): boolean => !/[\ud800-\udfff]/.test(text)
const lengthOf = (text: string): number => (isPlain(text) ? text.length : characters(text).length)

function arithmetic(
  ofInts: (a: bigint, b: bigint) => bigint,
  ofDoubles: ((a: number, b: number) => number) | undefined,
): Implementation {
  return (a, b) => {
    if (isInt(a) && isInt(b)) return int(ofInts(a, b))
    if (ofDoubles !== undefined && isDouble(a) && isDouble(b)) return ofDoubles(a, b)
    if (a instanceof Uint && b instanceof Uint) return uint(ofInts(a.value, b.value))
    throw noOverload()
  }
}

const addNumbers = arithmetic(
  (a, b) => a + b,
  (a, b) => a + b,
)
const subtractNumbers = arithmetic(
  (a, b) => a - b,
  (a, b) => a - b,
)

function add(a: CelValue, b: CelValue): CelValue {
  if (isText(a) && isText(b)) return a + b
  if (a instanceof List && b instanceof List) return concat(a, b)
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.concat([a, b])
  if (a instanceof Timestamp && b instanceof Duration) return new Timestamp(a.nanos + b.nanos)
  if (a instanceof Duration && b instanceof Timestamp) return new Timestamp(a.nanos + b.nanos)
  if (a instanceof Duration && b instanceof Duration) return new Duration(a.nanos + b.nanos)
  return addNumbers(a, b)
}

/** Lists that are sets or maps by their schema are merged (KEP-2876). */
function concat(a: List, b: List): List {
  const { listType, keys } = a.shape
  if (listType === 'set')
    return new List([...a, ...[...b].filter((item) => !includes(a, item))], undefined, a.shape)
  if (listType === 'map' && keys !== undefined) {
    const merged = new Map<string, CelValue>()
    for (const item of [...a, ...b]) merged.set(identity(item, keys), item)
    return new List([...merged.values()], undefined, a.shape)
  }
  return new List([...a, ...b])
}

function subtract(a: CelValue, b: CelValue): CelValue {
  if (a instanceof Timestamp && b instanceof Timestamp) return new Duration(a.nanos - b.nanos)
  if (a instanceof Timestamp && b instanceof Duration) return new Timestamp(a.nanos - b.nanos)
  if (a instanceof Duration && b instanceof Duration) return new Duration(a.nanos - b.nanos)
  return subtractNumbers(a, b)
}

const divide: Implementation = (a, b) => {
  if (isDouble(a) && isDouble(b)) return a / b
  if ((isInt(b) && b === 0n) || (b instanceof Uint && b.value === 0n))
    throw new CelError('division by zero')
  return arithmetic((x, y) => x / y, undefined)(a, b)
}
const modulo: Implementation = (a, b) => {
  if ((isInt(b) && b === 0n) || (b instanceof Uint && b.value === 0n))
    throw new CelError('modulus by zero')
  return arithmetic((x, y) => x % y, undefined)(a, b)
}

function ordered(holds: (order: number) => boolean): Implementation {
  return (a, b) => holds(compare(a, b))
}

/** An item by its place, a value by its key. Throws when there is none. */
export function index(container: CelValue, key: CelValue): CelValue {
  if (container instanceof Optional) {
    return container.value === undefined ? container : optionalIndex(container.value, key)
  }
  const found = lookUp(container, key)
  if (found !== undefined) return found
  if (container instanceof List) throw new CelError(`index out of bounds: ${keyShown(key)}`)
  throw new CelError(`no such key: ${keyShown(key)}`)
}
const keyShown = (key: CelValue): string =>
  key instanceof Uint ? String(key.value) : String(key as string)

function lookUp(container: CelValue, key: CelValue): CelValue | undefined {
  if (container instanceof List) {
    const at = isInt(key) ? Number(key) : key instanceof Uint ? Number(key.value) : key
    if (typeof at !== 'number' || !Number.isInteger(at)) throw noOverload()
    return at >= 0 && at < container.size ? container.at(at) : undefined
  }
  if (container !== null && typeof container === 'object' && isMapping(container))
    return container.get(key)
  throw noOverload()
}
export function optionalIndex(container: CelValue, key: CelValue): Optional {
  if (container instanceof Optional)
    return container.value === undefined ? container : optionalIndex(container.value, key)
  return new Optional(lookUp(container, key))
}

const has: Implementation = (value, container) => {
  if (container instanceof List) return includes(container, value)
  if (container !== null && typeof container === 'object' && isMapping(container))
    return container.get(value) !== undefined
  throw noOverload()
}

export function size(value: CelValue): bigint {
  if (isText(value)) return BigInt(lengthOf(value))
  if (value instanceof Uint8Array) return BigInt(value.length)
  if (value instanceof List) return BigInt(value.size)
  if (value !== null && typeof value === 'object' && isMapping(value)) return BigInt(value.size)
  throw noOverload()
}

// Compiled expressions are few, and those made at run time must not pile up.
const patterns = new Map<string, RE2JS>()
const MAX_PATTERNS = 500
export function regex(pattern: string): RE2JS {
  let found = patterns.get(pattern)
  if (found === undefined) {
    try {
      found = RE2JS.compile(pattern)
    } catch (error) {
      throw new CelError(
        error instanceof Error ? error.message : `error parsing regexp: ${pattern}`,
      )
    }
    if (patterns.size >= MAX_PATTERNS) patterns.clear()
    patterns.set(pattern, found)
  }
  return found
}

const matches: Implementation = (text, pattern) => {
  if (!isText(text) || !isText(pattern)) throw noOverload()
  return regex(pattern).matcher(text).find()
}

function findAll(text: string, pattern: string, limit: number): List {
  const matcher = regex(pattern).matcher(text)
  const found: string[] = []
  while ((limit < 0 || found.length < limit) && matcher.find()) found.push(matcher.group() ?? '')
  return new List(found)
}

const text =
  (run: (text: string, ...rest: readonly CelValue[]) => CelValue): Implementation =>
  (first, ...rest) => {
    if (!isText(first)) throw noOverload()
    return run(first, ...rest)
  }

const wanted = (value: CelValue | undefined): string => {
  if (!isText(value)) throw noOverload()
  return value
}
const place = (value: CelValue | undefined): number => {
  if (!isInt(value)) throw noOverload()
  return Number(value)
}

function indexIn(whole: string, part: string, from: CelValue | undefined, last: boolean): bigint {
  const all = characters(whole)
  const searched = characters(part)
  const start = from === undefined ? (last ? all.length : 0) : place(from)
  if (start < 0 || start > all.length) throw new CelError(`index out of range: ${start}`)
  const fits = (at: number): boolean => searched.every((char, i) => all[at + i] === char)
  const end = all.length - searched.length
  if (last) {
    for (let at = Math.min(start, end); at >= 0; at--) if (fits(at)) return BigInt(at)
  } else for (let at = start; at <= end; at++) if (fits(at)) return BigInt(at)
  return -1n
}

const listOrText =
  (last: boolean): Implementation =>
  (first, second, from) => {
    if (isText(first)) return indexIn(first, wanted(second), from, last)
    if (!(first instanceof List) || second === undefined) throw noOverload()
    const items = [...first]
    const found = last
      ? items.findLastIndex((item) => equals(item, second))
      : items.findIndex((item) => equals(item, second))
    return BigInt(found)
  }

function split(whole: string, separator: string, limit: number): List {
  if (limit === 0) return new List([])
  if (limit === 1) return new List([whole])
  const parts = separator === '' ? [...characters(whole)] : whole.split(separator)
  if (limit < 0 || parts.length <= limit) return new List(parts)
  return new List([...parts.slice(0, limit - 1), parts.slice(limit - 1).join(separator)])
}

function replace(whole: string, from: string, to: string, limit: number): string {
  if (limit < 0) return whole.replaceAll(from, () => to)
  let left = limit
  return whole.replaceAll(from, (match) => (left-- > 0 ? to : match))
}

function substring(whole: string, from: number, to: number | undefined): string {
  const all = characters(whole)
  const end = to ?? all.length
  if (from < 0 || from > all.length) throw new CelError(`index out of range: ${from}`)
  if (end < 0 || end > all.length) throw new CelError(`index out of range: ${end}`)
  if (from > end) throw new CelError(`invalid substring range. start: ${from}, end: ${end}`)
  return all.slice(from, end).join('')
}

const QUOTES: Readonly<Record<string, string>> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
  '"': '\\"',
}

function sum(list: CelValue): CelValue {
  if (!(list instanceof List)) throw noOverload()
  const [first, ...rest] = list
  if (first === undefined) return 0n
  return rest.reduce((total, item) => add(total, item), first)
}
const extreme =
  (name: string, better: (order: number) => boolean): Implementation =>
  (list) => {
    if (!(list instanceof List)) throw noOverload()
    const [first, ...rest] = list
    if (first === undefined) throw new CelError(`${name} called on empty list`)
    return rest.reduce((best, item) => (better(compare(item, best)) ? item : best), first)
  }

function toInt(value: CelValue): bigint {
  if (isInt(value)) return value
  if (value instanceof Uint) return int(value.value)
  if (isDouble(value)) {
    if (!Number.isFinite(value) || value <= -(2 ** 63) || value >= 2 ** 63)
      throw new CelError('integer overflow')
    return BigInt(Math.trunc(value))
  }
  if (isText(value)) {
    if (!/^[+-]?\d+$/.test(value))
      throw new CelError(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`)
    return int(BigInt(value.replace(/^\+/, '')))
  }
  if (value instanceof Timestamp)
    return (
      (value.nanos - (((value.nanos % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n)) /
      1_000_000_000n
    )
  throw noOverload()
}

function toUint(value: CelValue): Uint {
  if (value instanceof Uint) return value
  if (isInt(value)) return uint(value)
  if (isDouble(value)) {
    if (!Number.isFinite(value) || value < 0 || value >= 2 ** 64)
      throw new CelError('unsigned integer overflow')
    return uint(BigInt(Math.trunc(value)))
  }
  if (isText(value)) {
    if (!/^\+?\d+$/.test(value))
      throw new CelError(`strconv.ParseUint: parsing ${JSON.stringify(value)}: invalid syntax`)
    return uint(BigInt(value.replace(/^\+/, '')))
  }
  throw noOverload()
}

function toDouble(value: CelValue): number {
  if (isDouble(value)) return value
  if (isInt(value)) return Number(value)
  if (value instanceof Uint) return Number(value.value)
  if (isText(value)) {
    const words: Readonly<Record<string, number>> = {
      NaN,
      Inf: Infinity,
      '+Inf': Infinity,
      '-Inf': -Infinity,
    }
    const found =
      words[value] ??
      (/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(value) ? Number(value) : undefined)
    if (found === undefined)
      throw new CelError(`strconv.ParseFloat: parsing ${JSON.stringify(value)}: invalid syntax`)
    return found
  }
  throw noOverload()
}

const TRUE: ReadonlySet<string> = new Set(['1', 't', 'T', 'true', 'TRUE', 'True'])
const FALSE: ReadonlySet<string> = new Set(['0', 'f', 'F', 'false', 'FALSE', 'False'])
function toBool(value: CelValue): boolean {
  if (typeof value === 'boolean') return value
  if (!isText(value)) throw noOverload()
  if (TRUE.has(value)) return true
  if (FALSE.has(value)) return false
  throw new CelError(`strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`)
}

/** As Go prints a float with %g and the shortest precision. */
export function doubleText(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf'
  const exponent = value === 0 ? 0 : Math.floor(Math.log10(Math.abs(value)))
  if (exponent >= -4 && exponent < 21) return String(value)
  return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2')
}

export function toText(value: CelValue): string {
  if (isText(value)) return value
  if (typeof value === 'boolean' || isInt(value)) return String(value)
  if (value instanceof Uint) return String(value.value)
  if (isDouble(value)) return doubleText(value)
  if (value instanceof Uint8Array) {
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value)
    } catch {
      throw new CelError('invalid UTF-8 in bytes, cannot convert to string')
    }
  }
  if (value instanceof Timestamp) return timestampText(value)
  if (value instanceof Duration) return durationText(value)
  if (value instanceof Opaque) return String(value.content)
  throw noOverload()
}

const isZero = (value: CelValue): boolean => {
  if (value === null || value === '' || value === false || value === 0n || value === 0) return true
  if (value instanceof Uint) return value.value === 0n
  if (value instanceof Uint8Array) return value.length === 0
  if (value instanceof List) return value.size === 0
  if (value instanceof Timestamp || value instanceof Duration) return value.nanos === 0n
  if (value instanceof Optional) return value.value === undefined
  return typeof value === 'object' && isMapping(value) && value.size === 0
}

const optional =
  (run: (value: Optional, other: CelValue) => CelValue): Implementation =>
  (value, other) => {
    if (!(value instanceof Optional)) throw noOverload()
    return run(value, other ?? null)
  }

const lists =
  (run: (a: readonly CelValue[], b: List, aList: List) => boolean): Implementation =>
  (a, b) => {
    if (!(a instanceof List) || !(b instanceof List)) throw noOverload()
    return run([...a], b, a)
  }

const timePart =
  (name: string): Implementation =>
  (value, zone) => {
    if (value instanceof Timestamp)
      return timeParts(name, value.nanos, zone === undefined ? 'UTC' : wanted(zone))
    if (!(value instanceof Duration) || zone !== undefined) throw noOverload()
    const nanos = value.nanos
    switch (name) {
      case 'getHours':
        return nanos / 3_600_000_000_000n
      case 'getMinutes':
        return nanos / 60_000_000_000n
      case 'getSeconds':
        return nanos / 1_000_000_000n
      case 'getMilliseconds':
        return (nanos % 1_000_000_000n) / 1_000_000n
      default:
        throw noOverload()
    }
  }

const TIME_PARTS = [
  'getDate',
  'getDayOfMonth',
  'getDayOfWeek',
  'getDayOfYear',
  'getFullYear',
  'getMonth',
  'getHours',
  'getMinutes',
  'getSeconds',
  'getMilliseconds',
]

export const standardFunctions: Readonly<Record<string, Implementation>> = {
  '!_': (value) => {
    if (typeof value !== 'boolean') throw noOverload()
    return !value
  },
  '-_': (value) => {
    if (isInt(value)) return int(-value)
    if (isDouble(value)) return -value
    throw noOverload()
  },
  '_==_': (a, b) => equals(a, b),
  '_!=_': (a, b) => !equals(a, b),
  '_<_': ordered((order) => order < 0),
  '_<=_': ordered((order) => order <= 0),
  '_>_': ordered((order) => order > 0),
  '_>=_': ordered((order) => order >= 0),
  '_[_]': index,
  '_[?_]': optionalIndex,
  '@in': has,
  '_+_': add,
  '_-_': subtract,
  '_*_': arithmetic(
    (a, b) => a * b,
    (a, b) => a * b,
  ),
  '_/_': divide,
  '_%_': modulo,
  size,
  type: (value) =>
    new TypeValue(
      value instanceof List
        ? 'list'
        : value !== null &&
            typeof value === 'object' &&
            isMapping(value) &&
            value.typeName === undefined
          ? 'map'
          : value === null
            ? 'null_type'
            : typeText(typeOfValue(value)).replace(/^(type|optional_type)\(.*/, '$1'),
    ),
  dyn: (value) => value,
  int: toInt,
  uint: toUint,
  double: toDouble,
  bool: toBool,
  string: toText,
  bytes: (value) => (value instanceof Uint8Array ? value : Buffer.from(wanted(value))),
  timestamp: (value) => {
    if (value instanceof Timestamp) return value
    if (isInt(value)) return new Timestamp(value * 1_000_000_000n)
    return parseTimestamp(wanted(value))
  },
  duration: (value) => {
    if (value instanceof Duration) return value
    if (isInt(value)) return new Duration(value * 1_000_000_000n)
    return parseDuration(wanted(value))
  },
  contains: text((whole, part) => whole.includes(wanted(part))),
  startsWith: text((whole, part) => whole.startsWith(wanted(part))),
  endsWith: text((whole, part) => whole.endsWith(wanted(part))),
  matches,
  charAt: text((whole, at) => {
    const all = characters(whole)
    const i = place(at)
    if (i < 0 || i > all.length) throw new CelError(`index out of range: ${i}`)
    return all[i] ?? ''
  }),
  indexOf: listOrText(false),
  lastIndexOf: listOrText(true),
  lowerAscii: text((whole) => whole.replaceAll(/[A-Z]/g, (char) => char.toLowerCase())),
  upperAscii: text((whole) => whole.replaceAll(/[a-z]/g, (char) => char.toUpperCase())),
  replace: text((whole, from, to, limit) =>
    replace(whole, wanted(from), wanted(to), limit === undefined ? -1 : place(limit)),
  ),
  split: text((whole, separator, limit) =>
    split(whole, wanted(separator), limit === undefined ? -1 : place(limit)),
  ),
  substring: text((whole, from, to) =>
    substring(whole, place(from), to === undefined ? undefined : place(to)),
  ),
  trim: text((whole) => whole.trim()),
  reverse: text((whole) => [...characters(whole)].toReversed().join('')),
  join: (list, separator) => {
    if (!(list instanceof List)) throw noOverload()
    return [...list].map(wanted).join(separator === undefined ? '' : wanted(separator))
  },
  format: text((pattern, values) => {
    if (!(values instanceof List)) throw noOverload()
    return formatText(pattern, [...values])
  }),
  'strings.quote': text(
    (whole) => `"${Array.from(whole, (char) => QUOTES[char] ?? char).join('')}"`,
  ),
  find: text((whole, pattern) => {
    const matcher = regex(wanted(pattern)).matcher(whole)
    return matcher.find() ? (matcher.group() ?? '') : ''
  }),
  findAll: text((whole, pattern, limit) =>
    findAll(whole, wanted(pattern), limit === undefined ? -1 : place(limit)),
  ),
  isSorted: (list) => {
    if (!(list instanceof List)) throw noOverload()
    for (let i = 1; i < list.size; i++) if (compare(list.at(i - 1), list.at(i)) > 0) return false
    return true
  },
  sum,
  min: extreme('min', (order) => order < 0),
  max: extreme('max', (order) => order > 0),
  'sets.contains': lists((_, b, a) => [...b].every((item) => includes(a, item))),
  'sets.equivalent': lists(
    (items, b, a) =>
      items.every((item) => includes(b, item)) && [...b].every((item) => includes(a, item)),
  ),
  'sets.intersects': lists((items, b) => items.some((item) => includes(b, item))),
  'optional.of': (value) => new Optional(value),
  'optional.ofNonZeroValue': (value) => (isZero(value) ? new Optional() : new Optional(value)),
  'optional.none': () => new Optional(),
  hasValue: optional(({ value }) => value !== undefined),
  value: optional(({ value }) => {
    if (value === undefined) throw new CelError('optional.none() dereference')
    return value
  }),
  or: optional((value, other) => (value.value === undefined ? other : value)),
  orValue: optional(({ value }, other) => value ?? other),
  ...Object.fromEntries(TIME_PARTS.map((name) => [name, timePart(name)])),
}

/** A field of an object or a map; undefined when it is not there. */
export function field(operand: CelValue, name: string): CelValue | undefined {
  if (operand !== null && typeof operand === 'object' && isMapping(operand))
    return operand.get(name)
  throw noOverload()
}

export { JsonMapping, MadeMapping }
