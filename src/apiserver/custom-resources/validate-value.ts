/** Values against schemas, told in the words that clients know from OpenAPI validation. */
import { goNumber, type FieldError } from '#machinery'
import { isObject, sameJson } from '../json.ts'
import { fitsFormat, isFormatOf, isKnownFormat } from './formats.ts'
import { inBody, nothingFound, problem, shownValue, type Found } from './found.ts'
import { patternOf } from './patterns.ts'
import { isIntOrString, itemsOf, own, valuesOf, type Schema } from './schema.ts'
import { checkNumber, isNearlyWhole } from './validate-number.ts'

/** What was there before: a value that did not change is not judged anew (KEP-4008). */
export type Before = { readonly value: unknown } | undefined

/** The problems of a value; `path` is '' for a whole object. Each is told once. */
export function validateValue(
  schema: Schema,
  value: unknown,
  path = '',
  before?: Before,
): readonly FieldError[] {
  const found = nothingFound()
  check(schema, value, path, before, found)
  const { errors } = found
  return errors.length < 2
    ? errors
    : [...new Map(errors.map((each) => [`${each.field}: ${each.detail}`, each])).values()]
}

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

function check(schema: Schema, value: unknown, path: string, before: Before, found: Found): void {
  if (isUnchanged(schema, value, before)) return
  if (value === null || value === undefined) {
    if (checkType(schema, null, path, found)) found.matches++
    checkEnum(schema, null, path, found)
    return
  }
  // Each look counts, and those that find something of what they look for count twice.
  found.matches += 3
  if ((schema.type ?? '') !== '' || isIntOrString(schema) || formatOf(schema) !== '') {
    found.matches++
    if (checkType(schema, value, path, found)) found.matches++
  }
  checkJunctors(schema, value, path, before, found)
  if (typeof value === 'string') checkText(schema, value, path, found)
  else if (typeof value === 'number' || typeof value === 'bigint') {
    found.matches += 2
    checkNumber(schema, value, path, found)
  } else if (Array.isArray(value)) checkList(schema, value, path, before, found)
  checkEnum(schema, value, path, found)
  if (isObject(value)) checkObject(schema, value, path, before, found)
}

/** '' for one that says nothing of the type. */
const formatOf = ({ type, format = '' }: Schema): string =>
  format !== '' && isFormatOf(type, format) ? format : ''

/** Whether the value is of the schema's type. */
function checkType(schema: Schema, value: unknown, path: string, found: Found): boolean {
  const wanted = isIntOrString(schema) ? 'integer,string' : (schema.type ?? '')
  const wrong = (type: string, given: string): boolean => {
    const why = `must be of type ${type}: ${JSON.stringify(given)}`
    inBody(found, path, given, why, 'FieldValueTypeInvalid')
    return false
  }
  if (value === null)
    return wanted === '' || schema.nullable === true ? true : wrong(wanted, 'null')
  const given = typeOf(value)
  const types = wanted === '' ? [] : wanted.split(',')
  const format = formatOf(schema)
  const fits =
    types.includes(given) ||
    (given === 'integer' && types.includes('number')) ||
    (given === 'number' && types.includes('integer') && isNearlyWhole(value as number))
  const isTextOrList = given === 'string' || given === 'array'
  if (format !== '' && !isTextOrList && !fits && GO_FORMATS[given] !== format)
    return wrong(format, GO_FORMATS[given] ?? '')
  if (format !== '' && isTextOrList && !types.includes('number') && !types.includes('integer'))
    return true
  return fits || wanted === '' ? true : wrong(wanted, given)
}

/** What Go holds values in, in the words of formats. */
const GO_FORMATS: Readonly<Record<string, string>> = { integer: 'int64', number: 'float64' }

/** How far below allOf, anyOf and oneOf a failure is shown: the alternative that fits best. */
function checkJunctors(
  schema: Schema,
  value: unknown,
  path: string,
  before: Before,
  found: Found,
): void {
  found.matches++
  const tried = (each: Schema): Found => {
    const own = nothingFound()
    check(each, value, path, before, own)
    return own
  }
  const whole = (why: string): number =>
    found.errors.push(
      problem('FieldValueInvalid', '', `Invalid value: "": ${JSON.stringify(path)} ${why}`),
    )
  const add = ({ errors, matches }: Found): void => {
    found.errors.push(...errors)
    found.matches += matches
  }
  const { anyOf = [], oneOf = [], allOf = [], not } = schema
  if (anyOf.length > 0) {
    const results = untilOneFits(anyOf, tried)
    if (!results.some(isValid)) whole('must validate at least one schema (anyOf)')
    add(best(results))
  }
  if (oneOf.length > 0) {
    const results = oneOf.map(tried)
    const fitting = results.filter(isValid)
    if (fitting.length !== 1) {
      const count =
        fitting.length === 0 ? 'Found none valid' : `Found ${fitting.length} valid alternatives`
      whole(`must validate one and only one schema (oneOf). ${count}`)
      if (fitting.length === 0) add(best(results))
    } else add(fitting[0]!)
  }
  if (allOf.length > 0) {
    const results = allOf.map(tried)
    for (const each of results) add(each)
    const failed = results.filter((each) => !isValid(each)).length
    const none = failed === allOf.length ? '. None validated' : ''
    if (failed > 0) whole(`must validate all the schemas (allOf)${none}`)
  }
  if (not !== undefined && isValid(tried(not))) whole('must not validate the schema (not)')
}

const isValid = ({ errors }: Found): boolean => errors.length === 0

/** The last one fits, if any does. */
function untilOneFits(schemas: readonly Schema[], tried: (schema: Schema) => Found): Found[] {
  const results: Found[] = []
  for (const schema of schemas) {
    const result = tried(schema)
    results.push(result)
    if (isValid(result)) break
  }
  return results
}

/** One that fits, or of those that do not the first that fits best. */
const best = (results: readonly Found[]): Found =>
  results.find(isValid) ?? results.reduce((top, each) => (each.matches > top.matches ? each : top))

/** Of what is wrong with a text's length and pattern the first is told. */
function checkText(schema: Schema, value: string, path: string, found: Found): void {
  found.matches++
  const { maxLength, minLength, pattern } = schema
  const length = maxLength === undefined && minLength === undefined ? 0 : Array.from(value).length
  if (maxLength !== undefined && length > maxLength)
    found.errors.push(
      problem(
        'FieldValueTooLong',
        path,
        `Too long: may not be more than ${maxLength} byte${maxLength === 1 ? '' : 's'}`,
      ),
    )
  else if (minLength !== undefined && length < minLength)
    inBody(found, path, value, `should be at least ${minLength} chars long`)
  else if (pattern !== undefined && pattern !== '' && patternOf(pattern)?.test(value) === false)
    inBody(found, path, value, `should match '${pattern}'`)
  const format = formatOf(schema)
  if (format === '' || !isKnownFormat(format)) return
  found.matches++
  if (!fitsFormat(format, value)) {
    const why = `must be of type ${format}: ${JSON.stringify(value)}`
    inBody(found, path, value, why, 'FieldValueTypeInvalid')
  }
}

function checkList(
  schema: Schema,
  value: readonly unknown[],
  path: string,
  before: Before,
  found: Found,
): void {
  found.matches += 2
  const { maxItems, minItems } = schema
  const items = itemsOf(schema)
  if (items !== undefined) {
    const earlier = itemsBefore(schema, before)
    for (const [i, item] of value.entries())
      check(items, item, `${path}[${i}]`, earlier(item), found)
  }
  if (minItems !== undefined && value.length < minItems)
    inBody(found, path, value.length, `should have at least ${minItems} items`)
  if (maxItems !== undefined && value.length > maxItems)
    found.errors.push(tooMany(path, value.length, maxItems))
}

const tooMany = (path: string, count: number, most: number): FieldError =>
  problem(
    'FieldValueTooMany',
    path,
    `Too many: ${count}: must have at most ${most} item${most === 1 ? '' : 's'}`,
  )

const isScalar = (value: unknown): boolean =>
  value !== undefined && value !== null && typeof value !== 'object'

/** Only the items of a list that is a map, and that have its keys, can be told apart over time. */
export function itemsBefore(schema: Schema, before: Before): (item: unknown) => Before {
  const list = before?.value
  if (schema['x-kubernetes-list-type'] !== 'map' || !Array.isArray(list)) return () => undefined
  const keys = schema['x-kubernetes-list-map-keys'] ?? []
  const idOf = (item: unknown): string | undefined => {
    const values = keys.map((key) => (isObject(item) ? item[key] : undefined))
    return values.every(isScalar) ? JSON.stringify(values) : undefined
  }
  const byKey = new Map<string | undefined, Before>()
  for (const item of list as readonly unknown[]) {
    const id = idOf(item)
    if (id !== undefined && !byKey.has(id)) byKey.set(id, { value: item })
  }
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
  found: Found,
): void {
  found.matches++
  const { required = [], minProperties, maxProperties, properties } = schema
  const keys = Object.keys(value)
  if (minProperties !== undefined && keys.length < minProperties)
    inBody(found, path, keys.length, `should have at least ${minProperties} properties`)
  if (maxProperties !== undefined && keys.length > maxProperties)
    found.errors.push(tooMany(path, keys.length, maxProperties))
  const below = (key: string): string => (path === '' ? key : `${path}.${key}`)
  const values = valuesOf(schema)
  for (const key of keys) {
    const known = own(properties, key) ?? values
    // What an object is called changes with the version that is asked for: it has no past.
    const past = path === '' && (key === 'apiVersion' || key === 'kind') ? undefined : before
    if (known !== undefined) check(known, value[key], below(key), fieldBefore(past, key), found)
  }
  for (const key of required)
    if (!Object.hasOwn(value, key))
      found.errors.push(problem('FieldValueRequired', below(key), 'Required value'))
}

/** Values by which lists are not atomic must differ: sets, and the keys of maps. */
export function validateLists(schema: Schema, value: unknown, path = ''): readonly FieldError[] {
  if (Array.isArray(value)) {
    const items = itemsOf(schema)
    if (items === undefined) return []
    const type = schema['x-kubernetes-list-type']
    const errors: FieldError[] = []
    if (type === 'set') errors.push(...doubles(value, path, (item) => item))
    const odd = type === 'map' ? value.findIndex((item) => item !== null && !isObject(item)) : -1
    if (odd >= 0)
      errors.push(
        problem(
          'FieldValueInvalid',
          `${path}[${odd}]`,
          `Invalid value: ${shownValue(value[odd])}: must be an object for an array of list-type map`,
        ),
      )
    else if (type === 'map') {
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

/** Each is told of once: where it comes for the second time. */
function doubles(
  list: readonly unknown[],
  path: string,
  keyOf: (item: unknown) => unknown,
): readonly FieldError[] {
  const times = new Map<string, number>()
  return list.flatMap((item, i) => {
    const key = keyOf(item)
    const id = canonical(key)
    const before = times.get(id) ?? 0
    times.set(id, before + 1)
    return before === 1
      ? [
          problem(
            'FieldValueDuplicate',
            `${path}[${i}]`,
            `Duplicate value: ${typeof key === 'number' ? goNumber(key) : id}`,
          ),
        ]
      : []
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

function checkEnum(schema: Schema, value: unknown, path: string, found: Found): void {
  const allowed = schema.enum
  if (allowed === undefined || allowed.length === 0) return
  if (allowed.some((each) => each !== null && isSameAs(each, value))) return
  const shown = allowed.map((each) =>
    JSON.stringify(typeof each === 'string' ? each : JSON.stringify(each)),
  )
  found.errors.push(
    problem(
      'FieldValueNotSupported',
      path,
      `Unsupported value: ${shownValue(value)}: supported values: ${shown.join(', ')}`,
    ),
  )
}

/** Among whole numbers, Go cuts the part off before it compares. */
const isSameAs = (allowed: unknown, value: unknown): boolean =>
  typeof allowed === 'number' && typeof value === 'number' && Number.isInteger(allowed)
    ? Math.trunc(value) === allowed
    : sameJson(allowed, value)
