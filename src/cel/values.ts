/**
 * What expressions compute with. JSON stays as it is: an int is a number that is whole and safe, or a
 * bigint beyond that; doubles and uints are wrapped, so that 1.0 is not 1.
 */
import { CelError } from './errors.ts'
import type { CelType } from './types.ts'

export class CelDouble {
  readonly value: number
  constructor(value: number) {
    this.value = value
  }
}
export class CelUint {
  readonly value: bigint
  constructor(value: bigint) {
    this.value = value
  }
}
/** UTC. */
export class CelTimestamp {
  readonly seconds: number
  readonly nanos: number
  constructor(seconds: number, nanos: number) {
    this.seconds = seconds
    this.nanos = nanos
  }
}
export class CelDuration {
  readonly nanos: bigint
  constructor(nanos: bigint) {
    this.nanos = nanos
  }
}
export class CelOptional {
  readonly value: unknown
  readonly present: boolean
  private constructor(present: boolean, value: unknown) {
    this.present = present
    this.value = value
  }
  static readonly none = new CelOptional(false, undefined)
  static of(value: unknown): CelOptional {
    return new CelOptional(true, value)
  }
}
export class CelTypeValue {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}
/** Built by an expression. Its keys may be of any kind; JSON objects are maps too. */
export class CelMap {
  readonly entries = new Map<unknown, readonly [key: unknown, value: unknown]>()
  get(key: unknown): unknown {
    return this.entries.get(normalKey(key))?.[1]
  }
  has(key: unknown): boolean {
    return this.entries.has(normalKey(key))
  }
  /** False when the key is there already. */
  insert(key: unknown, value: unknown): boolean {
    const normal = normalKey(key)
    if (this.entries.has(normal)) return false
    this.entries.set(normal, [key, value])
    return true
  }
}
/** `Object.spec{…}`: a map that knows where in the object it belongs. */
export class CelStruct extends CelMap {
  readonly typeName: string
  constructor(typeName: string) {
    super()
    this.typeName = typeName
  }
}

/** A value of a library: an address, a quantity, a URL. */
export abstract class CelOpaque {
  abstract readonly typeName: string
  abstract equals(other: CelOpaque): boolean
  abstract toString(): string
  /** What `size` of it counts for cost. */
  get costSize(): number {
    return 1
  }
}

export const INT_MAX = 2n ** 63n - 1n
export const INT_MIN = -(2n ** 63n)
export const UINT_MAX = 2n ** 64n - 1n

/** A number when it is safe. */
export const normalInt = (value: bigint): number | bigint =>
  value >= -9007199254740991n && value <= 9007199254740991n ? Number(value) : value

export function checkedInt(value: bigint, message = 'integer overflow'): number | bigint {
  if (value > INT_MAX || value < INT_MIN) throw new CelError(message)
  return normalInt(value)
}
export function checkedUint(value: bigint): CelUint {
  if (value < 0n || value > UINT_MAX) throw new CelError('unsigned integer overflow')
  return new CelUint(value)
}

export type Kind =
  | 'bool'
  | 'int'
  | 'uint'
  | 'double'
  | 'string'
  | 'bytes'
  | 'null'
  | 'timestamp'
  | 'duration'
  | 'list'
  | 'map'
  | 'optional'
  | 'type'
  | 'opaque'

export function kindOf(value: unknown): Kind {
  switch (typeof value) {
    case 'string':
      return 'string'
    case 'boolean':
      return 'bool'
    case 'number':
      return Number.isSafeInteger(value) ? 'int' : 'double'
    case 'bigint':
      return 'int'
    case 'object':
      if (value === null) return 'null'
      if (Array.isArray(value)) return 'list'
      if (value instanceof CelDouble) return 'double'
      if (value instanceof CelUint) return 'uint'
      if (value instanceof CelTimestamp) return 'timestamp'
      if (value instanceof CelDuration) return 'duration'
      if (value instanceof Uint8Array) return 'bytes'
      if (value instanceof CelOptional) return 'optional'
      if (value instanceof CelTypeValue) return 'type'
      if (value instanceof CelOpaque) return 'opaque'
      return 'map'
    default:
      return 'null'
  }
}

const TYPE_NAMES: Readonly<Record<Kind, string>> = {
  bool: 'bool',
  int: 'int',
  uint: 'uint',
  double: 'double',
  string: 'string',
  bytes: 'bytes',
  null: 'null_type',
  timestamp: 'google.protobuf.Timestamp',
  duration: 'google.protobuf.Duration',
  list: 'list',
  map: 'map',
  optional: 'optional_type',
  type: 'type',
  opaque: 'opaque',
}
export const typeNameOf = (value: unknown): string =>
  value instanceof CelOpaque ? value.typeName : TYPE_NAMES[kindOf(value)]

/** Whether a value may stand where a type is asked for; only the outside of lists and maps is looked at. */
export function isOf(type: CelType, value: unknown): boolean {
  switch (type.kind) {
    case 'dyn':
    case 'error':
    case 'parameter':
      return true
    case 'list':
      return Array.isArray(value)
    case 'map':
    case 'object':
      return kindOf(value) === 'map'
    case 'opaque':
      if (type.name === 'optional_type') return value instanceof CelOptional
      return value instanceof CelOpaque && value.typeName === type.name
    case 'type':
    case 'bool':
    case 'int':
    case 'uint':
    case 'double':
    case 'string':
    case 'bytes':
    case 'null':
    case 'timestamp':
    case 'duration':
      return kindOf(value) === type.kind
  }
}

/** Of a double, wherever it comes from. */
export const doubleOf = (value: unknown): number =>
  value instanceof CelDouble ? value.value : typeof value === 'number' ? value : Number.NaN
export const bigOf = (value: unknown): bigint =>
  value instanceof CelUint ? value.value : BigInt(typeof value === 'bigint' ? value : Number(value))

/** Keys that are equal numbers are the same key. */
function normalKey(key: unknown): unknown {
  if (key instanceof CelUint) return normalInt(key.value)
  if (key instanceof CelDouble || typeof key === 'number') {
    const value = doubleOf(key)
    return Number.isInteger(value) ? normalInt(BigInt(value)) : value
  }
  return key
}

const isPlain = (value: unknown): value is Readonly<Record<string, unknown>> =>
  kindOf(value) === 'map' && !(value instanceof CelMap)

/** Undefined when it is not there. */
export function mapGet(map: unknown, key: unknown): unknown {
  if (map instanceof CelMap) return map.get(key)
  if (typeof key !== 'string' || !isPlain(map) || !Object.hasOwn(map, key)) return undefined
  return map[key]
}
export const mapHas = (map: unknown, key: unknown): boolean =>
  map instanceof CelMap ? map.has(key) : mapGet(map, key) !== undefined
export const mapSize = (map: unknown): number =>
  map instanceof CelMap ? map.entries.size : isPlain(map) ? Object.keys(map).length : 0
export function mapEntries(map: unknown): Iterable<readonly [unknown, unknown]> {
  if (map instanceof CelMap) return map.entries.values()
  return isPlain(map) ? Object.entries(map) : []
}

/** Of numbers of any kinds; undefined with a NaN. */
function compareNumbers(a: unknown, b: unknown): -1 | 0 | 1 | undefined {
  if (typeof a === 'number' && typeof b === 'number') return a < b ? -1 : a > b ? 1 : 0
  const left = a instanceof CelDouble ? a.value : a instanceof CelUint ? a.value : a
  const right = b instanceof CelDouble ? b.value : b instanceof CelUint ? b.value : b
  if (typeof left !== 'number' && typeof left !== 'bigint') return undefined
  if (typeof right !== 'number' && typeof right !== 'bigint') return undefined
  if (Number.isNaN(left) || Number.isNaN(right)) return undefined
  // An int that meets a double becomes one, with what it loses.
  if (typeof left === 'bigint' && b instanceof CelDouble) return compareNumbers(Number(left), right)
  if (typeof right === 'bigint' && a instanceof CelDouble)
    return compareNumbers(left, Number(right))
  return left < right ? -1 : left > right ? 1 : 0
}

const isNumeric = (value: unknown): boolean =>
  typeof value === 'number' ||
  typeof value === 'bigint' ||
  value instanceof CelDouble ||
  value instanceof CelUint

/** Parts of values that one comparison or one result may go through: shared parts make much of little. */
const MAX_PARTS = 5_000_000

/** Counts the parts of values that are gone through. */
export class Parts {
  #left = MAX_PARTS
  next(): void {
    if (--this.#left < 0)
      throw new CelError('operation cancelled: actual cost limit exceeded', { final: true })
  }
}

/** `parts`: of many comparisons that are one work. */
export const equals = (a: unknown, b: unknown, parts?: Parts): boolean =>
  equality(a, b, parts) === true

/** The same for `==`, which fails where the one does not know how to be the other. */
export function equalsOrFails(a: unknown, b: unknown): boolean {
  const answer = equality(a, b)
  if (answer === undefined) throw new CelError('no such overload')
  return answer
}

/** Nothing where an address, a version or a quantity meets something else: it can only be compared with its like. */
function equality(a: unknown, b: unknown, parts?: Parts): boolean | undefined {
  if (typeof a === 'string' || typeof a === 'boolean' || a === null) return a === b
  if (isNumeric(a)) return isNumeric(b) && compareNumbers(a, b) === 0
  return equalParts(a, b, parts ?? new Parts())
}

function equalParts(a: unknown, b: unknown, parts: Parts): boolean | undefined {
  parts.next()
  if (typeof a === 'string' || typeof a === 'boolean' || a === null) return a === b
  if (isNumeric(a)) return isNumeric(b) && compareNumbers(a, b) === 0
  if (Array.isArray(a))
    return (
      Array.isArray(b) &&
      a.length === b.length &&
      // Only what is said to be another makes lists and maps differ.
      a.every((each, i) => equalParts(each, b[i], parts) !== false)
    )
  if (a instanceof CelOpaque) {
    if (b === null) return false
    return b instanceof CelOpaque && a.typeName === b.typeName ? a.equals(b) : undefined
  }
  const kind = kindOf(a)
  if (kind !== kindOf(b)) return false
  if (a instanceof CelTimestamp && b instanceof CelTimestamp)
    return a.seconds === b.seconds && a.nanos === b.nanos
  if (a instanceof CelDuration && b instanceof CelDuration) return a.nanos === b.nanos
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b) === 0
  if (a instanceof CelTypeValue && b instanceof CelTypeValue) return a.name === b.name
  if (a instanceof CelOptional && b instanceof CelOptional)
    return a.present && b.present ? equalParts(a.value, b.value, parts) : a.present === b.present
  return equalMaps(a, b, parts)
}

function equalMaps(a: unknown, b: unknown, parts: Parts): boolean {
  if (mapSize(a) !== mapSize(b)) return false
  for (const [key, value] of mapEntries(a)) {
    const other = mapGet(b, key)
    if (other === undefined || equalParts(value, other, parts) === false) return false
  }
  return true
}

/** Of two values of one ordered kind: negative, zero, positive; undefined when they have no order. */
export function compare(a: unknown, b: unknown): number | undefined {
  if (typeof a === 'string' && typeof b === 'string') return compareText(a, b)
  if (isNumeric(a) && isNumeric(b)) return compareNumbers(a, b)
  if (typeof a === 'boolean' && typeof b === 'boolean') return Number(a) - Number(b)
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b)
  if (a instanceof CelTimestamp && b instanceof CelTimestamp)
    return a.seconds - b.seconds || a.nanos - b.nanos
  if (a instanceof CelDuration && b instanceof CelDuration)
    return a.nanos < b.nanos ? -1 : a.nanos > b.nanos ? 1 : 0
  throw new CelError('no such overload')
}

/** By code point, as UTF-8 bytes are ordered: the units of UTF-16 are not. */
function compareText(a: string, b: string): number {
  if (a === b) return 0
  for (let i = 0; i < a.length && i < b.length; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)]
    if (x === y) continue
    // Surrogates stand for what is above all single units.
    const [left, right] = [x >= 0xd800 && x < 0xe000, y >= 0xd800 && y < 0xe000]
    if (left !== right) return left ? 1 : -1
    return x - y
  }
  return a.length - b.length
}

/** Code points. */
export function runeCount(text: string): number {
  let count = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit >= 0xd800 && unit < 0xdc00 && i + 1 < text.length) {
      const next = text.charCodeAt(i + 1)
      if (next >= 0xdc00 && next < 0xe000) {
        count--
        i++
      }
    }
  }
  return count
}

/** What a value counts as where cost grows with size. */
export function costSize(value: unknown): number {
  if (typeof value === 'string') return runeCount(value)
  if (Array.isArray(value)) return value.length
  if (value instanceof Uint8Array) return value.length
  if (value instanceof CelOpaque) return value.costSize
  return kindOf(value) === 'map' ? mapSize(value) : 1
}
