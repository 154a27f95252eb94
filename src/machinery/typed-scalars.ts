/** Reading values that have a form of their own: quantities, times, bytes. */
import type { JsonObject } from './object.ts'
import { setOwn } from './own-key.ts'
import { canonicalQuantity, QUANTITY_REGEX } from './quantity.ts'
import { isRecord, Mismatch, nameOf } from './typed-mismatch.ts'

type ScalarReader = (value: unknown, path: string) => unknown

/** What is kept as it was sent. */
export const anything: ScalarReader = (value) => value

const RFC3339 =
  /^(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(\.\d+)?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/
/** What Go calls the form. */
const LAYOUT = '2006-01-02T15:04:05Z07:00'

function readTime(value: unknown, path: string, digits: number): string | null {
  if (typeof value !== 'string') throw new Mismatch(path, nameOf(value), 'string')
  if (value === '') return null
  const [match, seconds = '', fraction = '', zone = 'Z'] = RFC3339.exec(value) ?? []
  const asUtc = match === undefined ? Number.NaN : Date.parse(`${seconds}Z`)
  // A day that its month does not have would silently be one of the next.
  if (Number.isNaN(asUtc) || new Date(asUtc).getUTCDate() !== Number(seconds.slice(8, 10))) {
    const shown = JSON.stringify(value)
    throw new Mismatch(
      path,
      'string',
      'string',
      `parsing time ${shown} as ${JSON.stringify(LAYOUT)}: cannot parse ${shown} as a time of this form`,
    )
  }
  const inUtc = zone === 'Z' ? seconds : new Date(asUtc - offsetMs(zone)).toISOString().slice(0, 19)
  return `${inUtc}${digits === 0 ? '' : `.${fraction.slice(1, digits + 1).padEnd(digits, '0')}`}Z`
}

function offsetMs(zone: string): number {
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4, 6))
  return (zone.startsWith('-') ? -minutes : minutes) * 60_000
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
      typeof value === 'string' || typeof value === 'number'
        ? canonicalQuantity(typeof value === 'string' ? value.trim() : value)
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
    throw new Mismatch(path, typeof value === 'number' ? `number ${value}` : nameOf(value), 'int32')
  },
  Time: (value, path) => readTime(value, path, 0),
  MicroTime: (value, path) => readTime(value, path, 6),
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
