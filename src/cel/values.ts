/** Values at run time. Ints are bigint, doubles are number; lists and maps read JSON as it lies there. */
import { CelError, noOverload } from './errors.ts'
import {
  BOOL,
  BYTES,
  DOUBLE,
  DURATION,
  DYN,
  INT,
  NULL,
  STRING,
  TIMESTAMP,
  UINT,
  listOf,
  mapOf,
  opaque,
  optionalOf,
  type CelType,
} from './types.ts'

export type CelValue =
  | bigint
  | number
  | string
  | boolean
  | null
  | Uint8Array
  | Uint
  | List
  | Mapping
  | Timestamp
  | Duration
  | Optional
  | TypeValue
  | Opaque

export class Uint {
  readonly value: bigint
  constructor(value: bigint) {
    this.value = value
  }
}

/** Nanoseconds since 1970. */
export class Timestamp {
  readonly nanos: bigint
  constructor(nanos: bigint) {
    if (nanos < MIN_TIME || nanos > MAX_TIME) throw new CelError('timestamp overflow')
    this.nanos = nanos
  }
}
const MIN_TIME = -62_135_596_800n * 1_000_000_000n
const MAX_TIME = 253_402_300_799n * 1_000_000_000n + 999_999_999n

export class Duration {
  readonly nanos: bigint
  constructor(nanos: bigint) {
    if (nanos < -(2n ** 63n) || nanos >= 2n ** 63n) throw new CelError('duration overflow')
    this.nanos = nanos
  }
}

export class Optional {
  readonly value: CelValue | undefined
  constructor(value?: CelValue) {
    this.value = value
  }
}

export class TypeValue {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}

/** A value of a library: its type's name, and whatever the library keeps in it. */
export class Opaque {
  readonly type: string
  readonly content: unknown
  constructor(type: string, content: unknown) {
    this.type = type
    this.content = content
  }
}

export interface ListShape {
  readonly listType?: 'set' | 'map'
  readonly keys?: readonly string[]
}

export class List {
  readonly #raw: readonly unknown[]
  /** Of JSON items; undefined when they are values already. */
  readonly #elem: CelType | undefined
  readonly shape: ListShape
  constructor(raw: readonly unknown[], elem?: CelType, shape: ListShape = {}) {
    this.#raw = raw
    this.#elem = elem
    this.shape = shape
  }
  get size(): number {
    return this.#raw.length
  }
  at(index: number): CelValue {
    const item = this.#raw[index]
    return this.#elem === undefined ? (item as CelValue) : fromJson(item, this.#elem)
  }
  *[Symbol.iterator](): Generator<CelValue> {
    for (let i = 0; i < this.#raw.length; i++) yield this.at(i)
  }
}

/** Maps and objects. */
export interface Mapping {
  readonly isMapping: true
  readonly size: number
  get(key: CelValue): CelValue | undefined
  keys(): Iterable<CelValue>
  /** Name of the object's type; absent for maps. */
  readonly typeName?: string | undefined
}

export const isMapping = (value: CelValue): value is Mapping =>
  typeof value === 'object' && value !== null && 'isMapping' in value

/** A JSON object as a map, or as an object of the type. */
export class JsonMapping implements Mapping {
  readonly isMapping = true
  readonly raw: Readonly<Record<string, unknown>>
  readonly #type: CelType
  constructor(raw: Readonly<Record<string, unknown>>, type: CelType) {
    this.raw = raw
    this.#type = type
  }
  get typeName(): string | undefined {
    return this.#type.kind === 'object' ? this.#type.name : undefined
  }
  get size(): number {
    return Object.keys(this.raw).length
  }
  get(key: CelValue): CelValue | undefined {
    if (typeof key !== 'string') return undefined
    const type = this.#type
    if (type.kind === 'object') {
      const field = type.fields.get(key)
      if (field === undefined || !Object.hasOwn(this.raw, field.property)) return undefined
      return fromJson(this.raw[field.property], field.type)
    }
    if (!Object.hasOwn(this.raw, key)) return undefined
    return fromJson(this.raw[key], type.kind === 'map' ? type.value : DYN)
  }
  keys(): Iterable<CelValue> {
    const type = this.#type
    if (type.kind !== 'object') return Object.keys(this.raw)
    return [...type.fields.entries()]
      .filter(([, { property }]) => Object.hasOwn(this.raw, property))
      .map(([name]) => name)
  }
}

/** A map or an object that an expression made. */
export class MadeMapping implements Mapping {
  readonly isMapping = true
  readonly typeName?: string
  readonly #entries: ReadonlyMap<string, readonly [CelValue, CelValue]>
  constructor(entries: Iterable<readonly [CelValue, CelValue]>, typeName?: string) {
    this.#entries = new Map([...entries].map((entry) => [keyText(entry[0]), entry]))
    if (typeName !== undefined) this.typeName = typeName
  }
  get size(): number {
    return this.#entries.size
  }
  get(key: CelValue): CelValue | undefined {
    return this.#entries.get(keyText(key))?.[1]
  }
  *keys(): Iterable<CelValue> {
    for (const [key] of this.#entries.values()) yield key
  }
}

/** Equal keys have equal texts: 1, 1u and 1.0 are one key. */
function keyText(key: CelValue): string {
  if (typeof key === 'string') return `s${key}`
  if (typeof key === 'bigint') return `n${key}`
  if (key instanceof Uint) return `n${key.value}`
  if (typeof key === 'number')
    return Number.isInteger(key) && Math.abs(key) < 2 ** 63 ? `n${BigInt(key)}` : `d${key}`
  if (typeof key === 'boolean') return `b${key}`
  throw new CelError('unsupported key type')
}

/** A JSON value as the type says; values of CEL stay as they are. */
export function fromJson(value: unknown, type: CelType): CelValue {
  switch (typeof value) {
    case 'string':
      return fromText(value, type)
    case 'number':
      if (type.kind === 'double') return value
      return Number.isInteger(value) && (type.kind === 'int' || Math.abs(value) < 2 ** 63)
        ? BigInt(value)
        : value
    case 'bigint':
      return type.kind === 'double' ? Number(value) : value
    case 'boolean':
      return value
    case 'object':
      break
    default:
      return null
  }
  if (value === null) return null
  if (Array.isArray(value))
    return type.kind === 'list' ? new List(value, type.elem, type) : new List(value, DYN)
  if (
    value instanceof Uint8Array ||
    value instanceof Uint ||
    value instanceof List ||
    value instanceof Timestamp ||
    value instanceof Duration ||
    value instanceof Optional ||
    value instanceof TypeValue ||
    value instanceof Opaque ||
    'isMapping' in value
  )
    return value as CelValue
  return new JsonMapping(value as Readonly<Record<string, unknown>>, type)
}

function fromText(value: string, type: CelType): CelValue {
  switch (type.kind) {
    case 'timestamp':
      return parseTimestamp(value.length === 10 ? `${value}T00:00:00Z` : value)
    case 'duration':
      return parseDuration(value)
    case 'bytes':
      return Buffer.from(value, 'base64')
    default:
      return value
  }
}

/** Plain JSON again. Ints beyond 2^53 stay bigint. */
export function toJson(value: CelValue): unknown {
  if (typeof value === 'bigint')
    return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)
      ? Number(value)
      : value
  if (value instanceof Uint) return toJson(value.value)
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  if (value instanceof List) return [...value].map(toJson)
  if (value instanceof Timestamp) return timestampText(value)
  if (value instanceof Duration) return durationText(value)
  if (value instanceof Optional) return value.value === undefined ? null : toJson(value.value)
  if (value instanceof TypeValue) return value.name
  if (value instanceof JsonMapping) return value.raw
  if (typeof value === 'object' && value !== null && 'isMapping' in value)
    return Object.fromEntries(
      [...value.keys()].map((key) => [String(toJson(key) as string), toJson(value.get(key)!)]),
    )
  if (value instanceof Opaque) return String(value.content)
  return value
}

const NANOS = 1_000_000_000n
const TIME = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)$/

export function parseTimestamp(text: string): Timestamp {
  const match = TIME.exec(text)
  if (match === null)
    throw new CelError(
      `parsing time ${JSON.stringify(text)} as "2006-01-02T15:04:05Z07:00": cannot parse ${JSON.stringify(text)} as "2006"`,
    )
  const [, year, month, day, hour, minute, second, fraction = '', zone = 'Z'] = match
  const ms = Date.UTC(
    2000,
    Number(month) - 1,
    Number(day),
    Number(hour),
    Number(minute),
    Number(second),
  )
  const date = new Date(ms)
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day))
  if (date.getUTCDate() !== Number(day) || date.getUTCMonth() !== Number(month) - 1)
    throw new CelError(`parsing time ${JSON.stringify(text)}: day out of range`)
  const offset = /^[Zz]$/.test(zone)
    ? 0
    : (zone.startsWith('-') ? -1 : 1) * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4, 6)))
  const seconds = BigInt(Math.floor(date.getTime() / 1000) - offset * 60)
  return new Timestamp(seconds * NANOS + BigInt(fraction.padEnd(9, '0')))
}

export function timestampText({ nanos }: Timestamp): string {
  const { seconds, rest } = split(nanos)
  const date = new Date(Number(seconds) * 1000).toISOString().replace(/^\+00(\d{4})/, '$1')
  return `${date.slice(0, 19)}${fractionText(rest)}Z`
}

const fractionText = (rest: bigint): string =>
  rest === 0n ? '' : `.${rest.toString().padStart(9, '0').replace(/0+$/, '')}`

function split(nanos: bigint): { readonly seconds: bigint; readonly rest: bigint } {
  const rest = ((nanos % NANOS) + NANOS) % NANOS
  return { seconds: (nanos - rest) / NANOS, rest }
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

/** Go's form: `1h30m`, `-1.5s`. */
export function parseDuration(text: string): Duration {
  const wrong = (): CelError => new CelError(`time: invalid duration ${JSON.stringify(text)}`)
  const match = /^([+-]?)((?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.exec(text)
  if (match === null) {
    if (/^[+-]?0$/.test(text)) return new Duration(0n)
    throw wrong()
  }
  let nanos = 0n
  for (const [, whole = '', fraction = '', unit = ''] of text.matchAll(
    /(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)/g,
  )) {
    const size = UNITS[unit] ?? 0n
    nanos += BigInt(whole === '' ? 0 : whole) * size
    if (fraction !== '') nanos += (BigInt(fraction) * size) / 10n ** BigInt(fraction.length)
  }
  return new Duration(match[1] === '-' ? -nanos : nanos)
}

export function durationText({ nanos }: Duration): string {
  const sign = nanos < 0n ? '-' : ''
  const { seconds, rest } = split(nanos < 0n ? -nanos : nanos)
  return `${sign}${seconds}${fractionText(rest)}s`
}

/** As cel-go names the type of a value. */
export function typeOfValue(value: CelValue): CelType {
  if (typeof value === 'bigint') return INT
  if (typeof value === 'number') return DOUBLE
  if (typeof value === 'string') return STRING
  if (typeof value === 'boolean') return BOOL
  if (value === null) return NULL
  if (value instanceof Uint) return UINT
  if (value instanceof Uint8Array) return BYTES
  if (value instanceof List) return listOf(DYN)
  if (value instanceof Timestamp) return TIMESTAMP
  if (value instanceof Duration) return DURATION
  if (value instanceof Optional) return optionalOf(DYN)
  if (value instanceof TypeValue) return { kind: 'type', of: DYN }
  if (value instanceof Opaque) return opaque(value.type)
  return value.typeName === undefined ? mapOf(DYN, DYN) : opaque(value.typeName)
}

const numeric = (value: CelValue): bigint | number | undefined =>
  typeof value === 'bigint' || typeof value === 'number'
    ? value
    : value instanceof Uint
      ? value.value
      : undefined

/** Heterogeneous equality (cel-spec): values of different kinds are different, numbers are compared as numbers. */
export function equals(a: CelValue, b: CelValue): boolean {
  if (typeof a === 'string' || typeof a === 'boolean' || a === null) return a === b
  const [x, y] = [numeric(a), numeric(b)]
  // Loose on purpose: 1n and 1.0 are equal.
  // oxlint-disable-next-line eqeqeq
  if (x !== undefined) return y !== undefined && x == y
  if (typeof b !== 'object' || b === null) return false
  if (a instanceof Uint8Array) return b instanceof Uint8Array && Buffer.compare(a, b) === 0
  if (a instanceof Timestamp) return b instanceof Timestamp && a.nanos === b.nanos
  if (a instanceof Duration) return b instanceof Duration && a.nanos === b.nanos
  if (a instanceof List) return b instanceof List && equalLists(a, b)
  if (a instanceof TypeValue) return b instanceof TypeValue && a.name === b.name
  if (a instanceof Optional) {
    if (!(b instanceof Optional)) return false
    if (a.value === undefined || b.value === undefined) return a.value === b.value
    return equals(a.value, b.value)
  }
  if (a instanceof Opaque)
    return b instanceof Opaque && a.type === b.type && equalContents(a.content, b.content)
  if (typeof a === 'object' && isMapping(a)) return isMapping(b) && equalMappings(a, b)
  return false
}

const equalContents = (a: unknown, b: unknown): boolean =>
  typeof a === 'object' && a !== null && 'equals' in a && typeof a.equals === 'function'
    ? (a.equals as (other: unknown) => boolean)(b)
    : a === b

/** Lists that are sets or maps by their schema have no order. */
function equalLists(a: List, b: List): boolean {
  if (a.size !== b.size) return false
  const { listType, keys } = a.shape
  if (listType === 'set') return [...a].every((item) => includes(b, item))
  if (listType === 'map' && keys !== undefined) {
    const others = new Map([...b].map((item) => [identity(item, keys), item]))
    return [...a].every((item) => {
      const other = others.get(identity(item, keys))
      return other !== undefined && equals(item, other)
    })
  }
  for (let i = 0; i < a.size; i++) if (!equals(a.at(i), b.at(i))) return false
  return true
}

export const identity = (item: CelValue, keys: readonly string[]): string =>
  typeof item === 'object' && item !== null && isMapping(item)
    ? JSON.stringify(keys.map((key) => textOfKey(item.get(key))))
    : ''
const textOfKey = (value: CelValue | undefined): string =>
  value === undefined ? '' : keyText(value)

export const includes = (list: List, value: CelValue): boolean => {
  for (const item of list) if (equals(item, value)) return true
  return false
}

function equalMappings(a: Mapping, b: Mapping): boolean {
  if (a.size !== b.size) return false
  for (const key of a.keys()) {
    const [x, y] = [a.get(key), b.get(key)]
    if (x === undefined || y === undefined || !equals(x, y)) return false
  }
  return true
}

/** Order of values of one kind, and of numbers. NaN compares with nothing. */
export function compare(a: CelValue, b: CelValue): number {
  const [x, y] = [numeric(a), numeric(b)]
  if (x !== undefined && y !== undefined) return x < y ? -1 : x > y ? 1 : x == y ? 0 : NaN
  if (typeof a === 'string' && typeof b === 'string') return compareTexts(a, b)
  if (typeof a === 'boolean' && typeof b === 'boolean') return Number(a) - Number(b)
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b)
  if (
    (a instanceof Timestamp && b instanceof Timestamp) ||
    (a instanceof Duration && b instanceof Duration)
  )
    return a.nanos < b.nanos ? -1 : a.nanos > b.nanos ? 1 : 0
  throw noOverload()
}

/** By code points, as UTF-8 bytes compare. */
const compareTexts = (a: string, b: string): number =>
  a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b))
