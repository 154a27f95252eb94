/** Values against schemas, told in the words that clients know from OpenAPI validation. */
import type { FieldError, FieldErrorType } from '#machinery'
import { isObject, sameJson } from '../json.ts'
import { fitsFormat, isKnownFormat } from './formats.ts'
import { patternOf } from './patterns.ts'
import { isIntOrString, itemsOf, own, valuesOf, type Schema } from './schema.ts'

/** What was there before: a value that did not change is not judged anew (KEP-4008). */
export type Before = { readonly value: unknown } | undefined

/** The problems of a value; `path` is '' for a whole object. */
export function validateValue(
  schema: Schema,
  value: unknown,
  path = '',
  before?: Before,
): readonly FieldError[] {
  const errors: FieldError[] = []
  check(schema, value, path, before, errors)
  return errors
}

const problem = (type: FieldErrorType, path: string, detail: string): FieldError => ({
  type,
  field: path === '' ? '<nil>' : path,
  detail,
})

/** `Invalid value: 5: spec.size in body should be less than or equal to 3` */
const inBody = (
  path: string,
  value: unknown,
  why: string,
  type: FieldErrorType = 'FieldValueInvalid',
): FieldError =>
  problem(type, path, `Invalid value: ${JSON.stringify(value) ?? 'null'}: ${path} in body ${why}`)

function typeOf(value: unknown): string {
  if (value === null || value === undefined) return 'null'
  if (Array.isArray(value)) return 'array'
  switch (typeof value) {
    case 'number':
      return Number.isSafeInteger(value) ? 'integer' : 'number'
    case 'bigint':
      return 'integer'
    case 'string':
      return 'string'
    case 'boolean':
      return 'boolean'
    default:
      return 'object'
  }
}

function check(
  schema: Schema,
  value: unknown,
  path: string,
  before: Before,
  errors: FieldError[],
): void {
  if (isUnchanged(schema, value, before)) return
  checkType(schema, value, path, errors)
  if (value === null || value === undefined) {
    checkEnum(schema, value, path, errors)
    return
  }
  checkJunctors(schema, value, path, before, errors)
  if (typeof value === 'string') checkText(schema, value, path, errors)
  else if (typeof value === 'number' || typeof value === 'bigint')
    checkNumber(schema, value, path, errors)
  else if (Array.isArray(value)) checkList(schema, value, path, before, errors)
  checkEnum(schema, value, path, errors)
  if (isObject(value)) checkObject(schema, value, path, before, errors)
}

function checkType(schema: Schema, value: unknown, path: string, errors: FieldError[]): void {
  const wanted = isIntOrString(schema) ? 'integer,string' : (schema.type ?? '')
  if (wanted === '') return
  const given = typeOf(value)
  if (given === 'null' && schema.nullable === true) return
  if (wanted.split(',').includes(given) || (given === 'integer' && wanted === 'number')) return
  const { format = '' } = schema
  // A part of a number is told in the words of the format, where it has one.
  const isPart = given === 'number' && wanted === 'integer' && RANGES[format] !== undefined
  const found = isPart ? 'float64' : given
  errors.push(
    inBody(
      path,
      found,
      `must be of type ${isPart ? format : wanted}: ${JSON.stringify(found)}`,
      'FieldValueTypeInvalid',
    ),
  )
}

/** How far below allOf, anyOf and oneOf a failure is shown: the alternative that failed least. */
function checkJunctors(
  schema: Schema,
  value: unknown,
  path: string,
  before: Before,
  errors: FieldError[],
): void {
  const failuresOf = (each: Schema): FieldError[] => {
    const found: FieldError[] = []
    check(each, value, path, before, found)
    return found
  }
  const whole = (why: string): FieldError =>
    problem('FieldValueInvalid', '', `Invalid value: "": ${JSON.stringify(path)} ${why}`)
  const { anyOf = [], oneOf = [], allOf = [], not } = schema
  if (anyOf.length > 0) {
    const failures = untilOneFits(anyOf, failuresOf)
    if (failures !== undefined)
      errors.push(whole('must validate at least one schema (anyOf)'), ...least(failures))
  }
  if (oneOf.length > 0) {
    const failures = oneOf.map(failuresOf)
    const fitting = failures.filter((each) => each.length === 0).length
    if (fitting !== 1) {
      const found = fitting === 0 ? 'Found none valid' : `Found ${fitting} valid alternatives`
      errors.push(whole(`must validate one and only one schema (oneOf). ${found}`))
      if (fitting === 0) errors.push(...least(failures))
    }
  }
  if (allOf.length > 0) {
    const failures = allOf.map(failuresOf)
    const failed = failures.filter((each) => each.length > 0)
    if (failed.length > 0) {
      errors.push(...failed.flat())
      const none = failed.length === allOf.length ? '. None validated' : ''
      errors.push(whole(`must validate all the schemas (allOf)${none}`))
    }
  }
  if (not !== undefined && failuresOf(not).length === 0)
    errors.push(whole('must not validate the schema (not)'))
}

function untilOneFits(
  schemas: readonly Schema[],
  failuresOf: (schema: Schema) => FieldError[],
): readonly FieldError[][] | undefined {
  const failures: FieldError[][] = []
  for (const schema of schemas) {
    const found = failuresOf(schema)
    if (found.length === 0) return undefined
    failures.push(found)
  }
  return failures
}

const least = (failures: readonly FieldError[][]): readonly FieldError[] =>
  failures.reduce((best, each) => (each.length < best.length ? each : best))

function checkText(schema: Schema, value: string, path: string, errors: FieldError[]): void {
  const { maxLength, minLength, pattern, format } = schema
  const length = maxLength === undefined && minLength === undefined ? 0 : Array.from(value).length
  if (maxLength !== undefined && length > maxLength)
    errors.push(
      problem(
        'FieldValueTooLong',
        path,
        `Too long: may not be more than ${maxLength} byte${maxLength === 1 ? '' : 's'}`,
      ),
    )
  if (minLength !== undefined && length < minLength)
    errors.push(inBody(path, value, `should be at least ${minLength} chars long`))
  if (pattern !== undefined && pattern !== '' && patternOf(pattern)?.test(value) === false)
    errors.push(inBody(path, value, `should match '${pattern}'`))
  if (format !== undefined && isKnownFormat(format) && !fitsFormat(format, value))
    errors.push(
      inBody(
        path,
        value,
        `must be of type ${format}: ${JSON.stringify(value)}`,
        'FieldValueTypeInvalid',
      ),
    )
}

/** The ends of the integers that a format can hold. */
const RANGES: Readonly<Record<string, readonly [number, number]>> = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
  int64: [-(2 ** 63), 2 ** 63],
}

function checkNumber(
  schema: Schema,
  value: number | bigint,
  path: string,
  errors: FieldError[],
): void {
  const { multipleOf, maximum, exclusiveMaximum, minimum, exclusiveMinimum, format = '' } = schema
  if (schema.type === 'integer') {
    const range = RANGES[format]
    const which = range === undefined ? '(default format)' : `with format ${format}`
    const isWhole = typeof value === 'bigint' || Number.isInteger(value)
    if (!isWhole || (range !== undefined && (value < range[0] || value > range[1])))
      errors.push(
        problem(
          'FieldValueInvalid',
          '',
          `Invalid value: "": Checked value must be of type integer ${which} in ${path}`,
        ),
      )
  }
  if (multipleOf !== undefined && !isMultiple(value, multipleOf))
    errors.push(inBody(path, value, `should be a multiple of ${multipleOf}`))
  if (maximum !== undefined) {
    if (exclusiveMaximum === true ? value >= maximum : value > maximum)
      errors.push(
        inBody(
          path,
          value,
          `should be less than ${exclusiveMaximum === true ? '' : 'or equal to '}${maximum}`,
        ),
      )
  }
  if (minimum !== undefined) {
    if (exclusiveMinimum === true ? value <= minimum : value < minimum)
      errors.push(
        inBody(
          path,
          value,
          `should be greater than ${exclusiveMinimum === true ? '' : 'or equal to '}${minimum}`,
        ),
      )
  }
}

function isMultiple(value: number | bigint, of: number): boolean {
  if (typeof value === 'bigint')
    return Number.isInteger(of) && of !== 0
      ? value % BigInt(of) === 0n
      : isMultiple(Number(value), of)
  const quotient = value / of
  // 0.3 is a multiple of 0.1, whatever binary fractions make of it.
  return Math.abs(quotient - Math.round(quotient)) < 1e-9 * Math.max(1, Math.abs(quotient))
}

function checkList(
  schema: Schema,
  value: readonly unknown[],
  path: string,
  before: Before,
  errors: FieldError[],
): void {
  const { maxItems, minItems } = schema
  const items = itemsOf(schema)
  if (items !== undefined) {
    const earlier = itemsBefore(schema, before)
    for (const [i, item] of value.entries())
      check(items, item, `${path}[${i}]`, earlier(item), errors)
  }
  if (minItems !== undefined && value.length < minItems)
    errors.push(inBody(path, value.length, `should have at least ${minItems} items`))
  if (maxItems !== undefined && value.length > maxItems)
    errors.push(tooMany(path, value.length, maxItems))
}

const tooMany = (path: string, count: number, most: number): FieldError =>
  problem(
    'FieldValueTooMany',
    path,
    `Too many: ${count}: must have at most ${most} item${most === 1 ? '' : 's'}`,
  )

/** Only the items of a list that is a map can be told apart over time. */
export function itemsBefore(schema: Schema, before: Before): (item: unknown) => Before {
  const list = before?.value
  if (schema['x-kubernetes-list-type'] !== 'map' || !Array.isArray(list)) return () => undefined
  const keys = schema['x-kubernetes-list-map-keys'] ?? []
  const idOf = (item: unknown): string =>
    JSON.stringify(keys.map((key) => (isObject(item) ? item[key] : undefined)) ?? null)
  const byKey = new Map(list.map((item) => [idOf(item), { value: item as unknown }]))
  return (item) => byKey.get(idOf(item))
}

/**
 * Whether a value says what it said before: lists that are maps may be in another order, and what the
 * schema does not describe cannot be compared.
 */
export function isUnchanged(schema: Schema, value: unknown, before: Before): boolean {
  if (before === undefined) return false
  const { value: old } = before
  if (Array.isArray(value)) {
    if (!Array.isArray(old) || old.length !== value.length) return false
    const items = itemsOf(schema)
    if (schema['x-kubernetes-list-type'] !== 'map' || items === undefined)
      return sameJson(old, value)
    const earlier = itemsBefore(schema, before)
    return value.every((item) => isUnchanged(items, item, earlier(item)))
  }
  if (!isObject(value)) return sameJson(old, value)
  if (!isObject(old)) return false
  const keys = Object.keys(value)
  const values = valuesOf(schema)
  return (
    keys.length === Object.keys(old).length &&
    keys.every((key) => {
      const known = own(schema.properties, key) ?? values
      return known !== undefined && isUnchanged(known, value[key], fieldBefore(before, key))
    })
  )
}

/** What a field of an object was before. */
export function fieldBefore(before: Before, key: string): Before {
  const object = before?.value
  return isObject(object) && Object.hasOwn(object, key) ? { value: object[key] } : undefined
}

function checkObject(
  schema: Schema,
  value: Readonly<Record<string, unknown>>,
  path: string,
  before: Before,
  errors: FieldError[],
): void {
  const { required = [], minProperties, maxProperties, properties } = schema
  const keys = Object.keys(value)
  if (minProperties !== undefined && keys.length < minProperties)
    errors.push(inBody(path, keys.length, `should have at least ${minProperties} properties`))
  if (maxProperties !== undefined && keys.length > maxProperties)
    errors.push(tooMany(path, keys.length, maxProperties))
  const below = (key: string): string => (path === '' ? key : `${path}.${key}`)
  const values = valuesOf(schema)
  for (const key of keys) {
    const known = own(properties, key) ?? values
    // What an object is called changes with the version that is asked for: it has no past.
    const past = path === '' && (key === 'apiVersion' || key === 'kind') ? undefined : before
    if (known !== undefined) check(known, value[key], below(key), fieldBefore(past, key), errors)
  }
  for (const key of required)
    if (!Object.hasOwn(value, key))
      errors.push(problem('FieldValueRequired', below(key), 'Required value'))
}

/** Values by which lists are not atomic must differ: sets, and the keys of maps. */
export function validateLists(schema: Schema, value: unknown, path = ''): readonly FieldError[] {
  if (Array.isArray(value)) {
    const items = itemsOf(schema)
    if (items === undefined) return []
    const type = schema['x-kubernetes-list-type']
    const errors: FieldError[] = []
    if (type === 'set') errors.push(...doubles(value, path, (item) => item))
    if (type === 'map') {
      const keys = schema['x-kubernetes-list-map-keys'] ?? []
      errors.push(
        ...doubles(value, path, (item) =>
          Object.fromEntries(
            keys
              .filter((key) => isObject(item) && item[key] !== undefined)
              .map((key) => [key, (item as Record<string, unknown>)[key]]),
          ),
        ),
      )
    }
    for (const [i, item] of value.entries())
      errors.push(...validateLists(items, item, `${path}[${i}]`))
    return errors
  }
  if (!isObject(value)) return []
  const values = valuesOf(schema)
  return Object.entries(value).flatMap(([key, item]) => {
    const known = own(schema.properties, key)
    if (known !== undefined) return validateLists(known, item, path === '' ? key : `${path}.${key}`)
    return values === undefined ? [] : validateLists(values, item, `${path}[${key}]`)
  })
}

function doubles(
  list: readonly unknown[],
  path: string,
  keyOf: (item: unknown) => unknown,
): readonly FieldError[] {
  const seen = new Set<string>()
  return list.flatMap((item, i) => {
    const key = keyOf(item)
    const id = canonical(key)
    if (!seen.has(id)) {
      seen.add(id)
      return []
    }
    return [problem('FieldValueDuplicate', `${path}[${i}]`, `Duplicate value: ${id}`)]
  })
}

/** The same text for values that say the same. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (!isObject(value)) return JSON.stringify(value) ?? 'null'
  const entries = Object.keys(value)
    .toSorted()
    .map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`)
  return `{${entries.join(',')}}`
}

function checkEnum(schema: Schema, value: unknown, path: string, errors: FieldError[]): void {
  const allowed = schema.enum
  if (allowed === undefined || allowed.length === 0) return
  if ((value === null || value === undefined) && schema.nullable === true) return
  if (allowed.some((each) => sameJson(each, value))) return
  const shown = allowed.map((each) =>
    JSON.stringify(typeof each === 'string' ? each : JSON.stringify(each)),
  )
  errors.push(
    problem(
      'FieldValueNotSupported',
      path,
      `Unsupported value: ${JSON.stringify(value) ?? 'null'}: supported values: ${shown.join(', ')}`,
    ),
  )
}
