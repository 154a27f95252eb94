/** Limits of each object in a namespace. */
import {
  compareQuantities,
  duplicate,
  FieldPath,
  forbiddenField,
  invalidValue,
  required,
  type FieldError,
} from '#machinery'
import { defineResource } from '../define.ts'
import type { Mutable } from '../mutable.ts'
import { amountOf } from '../quantities.ts'
import { checkContainerResourceName, checkResourceName, mayOvercommit } from '../resource-names.ts'
import { limitRanges as limitRangesRef } from '../resources.gen.ts'
import { check, qualifiedName } from '../rules.ts'
import type { LimitRange, LimitRangeItem } from '../types.gen.ts'

type Quantities = Readonly<Record<string, string>>

const limitsPath = FieldPath.of('spec', 'limits')

/** The amounts of one resource in an item. */
interface Amounts {
  readonly min?: string | undefined
  readonly max?: string | undefined
  readonly limit?: string | undefined
  readonly request?: string | undefined
  readonly ratio?: string | undefined
}

function validateItem(item: LimitRangeItem, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const { type, max = {}, min = {}, maxLimitRequestRatio = {} } = item
  const isPod = type === 'Pod'
  const checkName = isPod || type === 'Container' ? checkContainerResourceName : checkResourceName
  const names = new Set<string>()
  const read = (field: string, amounts: Quantities): void => {
    for (const key of Object.keys(amounts)) {
      errors.push(...checkName(key, path.child(field).key(key)))
      names.add(key)
    }
  }
  read('max', max)
  read('min', min)
  for (const field of ['default', 'defaultRequest'] as const) {
    const amounts = item[field] ?? {}
    if (!isPod) read(field, amounts)
    else if (Object.keys(amounts).length > 0)
      errors.push(forbiddenField(path.child(field), "may not be specified when `type` is 'Pod'"))
  }
  if (
    type === 'PersistentVolumeClaim' &&
    min['storage'] === undefined &&
    max['storage'] === undefined
  ) {
    errors.push(
      required(
        path.child('limits'),
        'either minimum or maximum storage value is required, but neither was provided',
      ),
    )
  }
  read('maxLimitRequestRatio', maxLimitRequestRatio)
  for (const name of names)
    errors.push(
      ...validateAmounts(name, path, {
        min: min[name],
        max: max[name],
        ...(isPod ? {} : { limit: item.default?.[name], request: item.defaultRequest?.[name] }),
        ratio: maxLimitRequestRatio[name],
      }),
    )
  return errors
}

const isMore = (a: string | undefined, b: string | undefined): boolean =>
  a !== undefined && b !== undefined && compareQuantities(a, b) > 0

function validateAmounts(
  name: string,
  path: FieldPath,
  { min, max, limit, request, ratio }: Amounts,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const wrong = (field: string, value: unknown, why: string): unknown =>
    errors.push(invalidValue(path.child(field).key(name), value, why))
  if (isMore(min, max)) wrong('min', min, `min value ${min} is greater than max value ${max}`)
  if (isMore(min, request))
    wrong(
      'defaultRequest',
      request,
      `min value ${min} is greater than default request value ${request}`,
    )
  if (isMore(request, max))
    wrong(
      'defaultRequest',
      request,
      `default request value ${request} is greater than max value ${max}`,
    )
  if (isMore(request, limit))
    wrong(
      'defaultRequest',
      request,
      `default request value ${request} is greater than default limit value ${limit}`,
    )
  if (isMore(min, limit))
    wrong('default', min, `min value ${min} is greater than default value ${limit}`)
  if (isMore(limit, max))
    wrong('default', max, `default value ${limit} is greater than max value ${max}`)
  if (isMore('1', ratio)) wrong('maxLimitRequestRatio', ratio, `ratio ${ratio} is less than 1`)
  if (ratio !== undefined && min !== undefined && max !== undefined) {
    const widest = amountOf(max) / amountOf(min)
    if (amountOf(ratio) > widest)
      wrong(
        'maxLimitRequestRatio',
        ratio,
        `ratio ${ratio} is greater than max/min = ${widest.toFixed(6)}`,
      )
  }
  if (!mayOvercommit(name) && (isMore(limit, request) || isMore(request, limit)))
    wrong(
      'defaultRequest',
      request,
      `default value ${limit} must equal to defaultRequest value ${request} in ${name}`,
    )
  return errors
}

const LIMITED: ReadonlySet<string> = new Set(['Container', 'PersistentVolumeClaim', 'Pod'])

function validateLimits({ spec }: LimitRange): readonly FieldError[] {
  const errors: FieldError[] = []
  const types = new Set<string>()
  for (const [i, item] of (spec?.limits ?? []).entries()) {
    const at = limitsPath.index(i)
    const type: string = item.type
    const wrong = check(at.child('type'), type, qualifiedName)
    errors.push(...wrong)
    if (wrong.length === 0 && !type.includes('/') && !LIMITED.has(type))
      errors.push(
        invalidValue(at.child('type'), type, 'must be a standard limit type or fully qualified'),
      )
    if (types.has(type)) errors.push(duplicate(at.child('type'), type))
    types.add(type)
    errors.push(...validateItem(item, at))
  }
  return errors
}

/** What a container gets when it says nothing: at most the most, at least the least. */
function defaultItem(item: Mutable<LimitRangeItem>): void {
  if (item.type !== 'Container') return
  const limits = { ...item.max, ...item.default }
  if (Object.keys(limits).length > 0) item.default = limits
  const requests = { ...item.min, ...limits, ...item.defaultRequest }
  if (Object.keys(requests).length > 0) item.defaultRequest = requests
}

export const limitRanges = defineResource(limitRangesRef, {
  defaults({ spec }) {
    for (const item of spec?.limits ?? []) defaultItem(item)
  },
  // One without a name gets one that nobody else has.
  prepareForCreate({ metadata }) {
    if (!metadata.name && !metadata.generateName) metadata.name = metadata.uid
  },
  validate: validateLimits,
  cells: {},
})
