/** Reading values that have a form of their own: quantities, times, bytes. */
import { readGoTime } from './go-time.ts'
import type { JsonObject } from './object.ts'
import { setOwn } from './own-key.ts'
import { canonicalQuantity, QUANTITY_REGEX } from './quantity.ts'
import { isRecord, Mismatch, nameOf } from './typed-mismatch.ts'

const isNumber = (value: unknown): value is number | bigint =>
  typeof value === 'number' || typeof value === 'bigint'

type ScalarReader = (value: unknown, path: string) => unknown

/** What is kept as it was sent. */
export const anything: ScalarReader = (value) => value

function readTime(value: unknown, path: string, micros: boolean): string {
  if (typeof value !== 'string') throw new Mismatch(path, nameOf(value), 'string')
  const time = readGoTime(value, { micros })
  if (!time.ok) throw new Mismatch(path, 'string', 'string', time.why)
  return time.text
}

export function readBase64(value: unknown, path: string): string {
  if (typeof value !== 'string') throw new Mismatch(path, nameOf(value), '[]uint8')
  const text = /[\r\n]/.test(value) ? value.replaceAll(/[\r\n]/g, '') : value
  const [good = ''] = /^[A-Za-z0-9+/]*={0,2}/.exec(text) ?? []
  if (good.length < text.length || text.length % 4 !== 0) {
    const at = Math.min(good.length, text.length - (text.length % 4))
    throw new Mismatch(path, 'string', '[]uint8', `illegal base64 data at input byte ${at}`)
  }
  return text
}

/** JSON that no type divides: its own, so that what comes of it may be changed. */
const copied: ScalarReader = (value) => copy(value)

function copy(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copy)
  if (!isRecord(value)) return value
  const result: JsonObject = {}
  for (const key of Object.keys(value)) setOwn(result, key, copy(value[key]))
  return result
}

/** By the last part of the definition's name. */
export const SCALARS: Readonly<Record<string, ScalarReader>> = {
  Quantity: (value, path) => {
    const text =
      typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint'
        ? canonicalQuantity(typeof value === 'number' ? value : String(value).trim())
        : undefined
    if (text === undefined)
      throw new Mismatch(
        path,
        nameOf(value),
        'resource.Quantity',
        `quantities must match the regular expression '${QUANTITY_REGEX}'`,
      )
    return text
  },
  IntOrString: (value, path) => {
    if (typeof value === 'string') return value
    if (
      typeof value === 'number' &&
      Number.isInteger(value) &&
      value >= -(2 ** 31) &&
      value < 2 ** 31
    )
      return value
    throw new Mismatch(path, isNumber(value) ? `number ${value}` : nameOf(value), 'int32')
  },
  Time: (value, path) => readTime(value, path, false),
  MicroTime: (value, path) => readTime(value, path, true),
  Duration: (value, path) => {
    if (typeof value === 'string') return value
    throw new Mismatch(path, nameOf(value), 'string')
  },
  FieldsV1: anything,
  RawExtension: copied,
  JSON: copied,
  JSONSchemaPropsOrArray: copied,
  JSONSchemaPropsOrBool: copied,
  JSONSchemaPropsOrStringArray: copied,
}
