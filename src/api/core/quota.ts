/** Limits: of a whole namespace, and of each object in it. */
import {
  compareQuantities,
  FieldPath,
  duplicate,
  forbiddenField,
  invalidValue,
  required,
  type FieldError,
} from '#machinery'
import { defineResource } from '../define.ts'
import { equal } from '../equal.ts'
import type { Mutable } from '../mutable.ts'
import { amountOf, isNegative, isWhole, isZeroQuantity } from '../quantities.ts'
import { limitRanges as limitRangesRef, resourceQuotas as quotasRef } from '../resources.gen.ts'
import { check, qualifiedName } from '../rules.ts'
import { mayOvercommit } from './pod/resources.ts'
import type { LimitRange, LimitRangeItem, ResourceQuota } from '../types.gen.ts'

type Quantities = Readonly<Record<string, string>>

const limitsPath = FieldPath.of('spec', 'limits')
const sizes = (quantities: Quantities | undefined): readonly (readonly [string, string])[] =>
  Object.entries(quantities ?? {})

function validateItem(item: LimitRangeItem, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const { type, max = {}, min = {}, maxLimitRequestRatio = {} } = item
  const maps = { max, min, default: item.default ?? {}, defaultRequest: item.defaultRequest ?? {} }
  for (const [name, map] of Object.entries(maps)) {
    for (const key of Object.keys(map)) {
      errors.push(...check(path.child(name).key(key), key, qualifiedName))
    }
  }
  if (type === 'Pod') {
    for (const field of ['default', 'defaultRequest'] as const) {
      if (sizes(item[field]).length > 0) {
        errors.push(forbiddenField(path.child(field), "may not be specified when `type` is 'Pod'"))
      }
    }
  }
  if (
    type === 'PersistentVolumeClaim' &&
    min['storage'] === undefined &&
    max['storage'] === undefined
  ) {
    errors.push(
      required(
        path,
        'either minimum or maximum storage value is required, but neither was provided',
      ),
    )
  }
  const not = (a: string | undefined, b: string | undefined): boolean =>
    a !== undefined && b !== undefined && compareQuantities(a, b) > 0
  const names = new Set(Object.values(maps).flatMap((map) => Object.keys(map)))
  for (const name of names) {
    const [low, high, limit, request] = [
      min[name],
      max[name],
      item.default?.[name],
      item.defaultRequest?.[name],
    ]
    const pairs = [
      ['min', low, 'min', low, 'max', high],
      ['defaultRequest', request, 'default request', request, 'max', high],
      ['defaultRequest', request, 'default request', request, 'default limit', limit],
      ['default', limit, 'default', limit, 'max', high],
    ] as const
    for (const [field, value, words, a, other, b] of pairs) {
      if (not(a, b)) {
        const head = words === 'min' ? 'min value' : `${words} value`
        errors.push(
          invalidValue(
            path.child(field).key(name),
            value,
            `${head} ${a} is greater than ${other} value ${b}`,
          ),
        )
      }
    }
    if (limit !== undefined && request !== undefined && !mayOvercommit(name)) {
      if (compareQuantities(limit, request) !== 0)
        errors.push(
          invalidValue(
            path.child('defaultRequest').key(name),
            request,
            `default value ${limit} must equal to defaultRequest value ${request} in ${name}`,
          ),
        )
    }
    for (const [value, words] of [
      [request, 'default request'],
      [limit, 'default'],
    ] as const) {
      if (not(low, value)) {
        errors.push(
          invalidValue(
            path.child('min').key(name),
            low,
            `min value ${low} is greater than ${words} value ${value}`,
          ),
        )
      }
    }
  }
  for (const [name, ratio] of sizes(maxLimitRequestRatio)) {
    if (compareQuantities(ratio, '1') < 0) {
      errors.push(
        invalidValue(path.child('maxLimitRequestRatio').key(name), ratio, 'ratio is less than 1'),
      )
    }
    const [low, high] = [min[name], max[name]]
    if (low === undefined || high === undefined || isZeroQuantity(low)) continue
    const widest = amountOf(high) / amountOf(low)
    if (amountOf(ratio) > widest) {
      errors.push(
        invalidValue(
          path.child('maxLimitRequestRatio').key(name),
          ratio,
          `ratio ${ratio} is greater than max/min = ${widest.toFixed(6)}`,
        ),
      )
    }
  }
  return errors
}

const LIMITED: ReadonlySet<string> = new Set(['Container', 'PersistentVolumeClaim', 'Pod'])

function validateLimits({ spec }: LimitRange): readonly FieldError[] {
  const errors: FieldError[] = []
  const types = new Set<string>()
  for (const [i, item] of (spec?.limits ?? []).entries()) {
    const at = limitsPath.index(i)
    const type: string = item.type
    if (type === '') errors.push(required(at.child('type')))
    else {
      errors.push(...check(at.child('type'), type, qualifiedName))
      if (!type.includes('/') && !LIMITED.has(type))
        errors.push(
          invalidValue(at.child('type'), type, 'must be a standard limit type or fully qualified'),
        )
    }
    if (types.has(item.type)) errors.push(duplicate(at.child('type'), item.type))
    types.add(item.type)
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
  validate: validateLimits,
  cells: {},
})

const SCOPES = [
  'BestEffort',
  'CrossNamespacePodAffinity',
  'NotBestEffort',
  'NotTerminating',
  'PriorityClass',
  'Terminating',
  'VolumeAttributesClass',
]
const OPPOSITE_SCOPES = [
  ['BestEffort', 'NotBestEffort'],
  ['Terminating', 'NotTerminating'],
] as const
const specPath = FieldPath.of('spec')

function validateQuota({ spec }: ResourceQuota): readonly FieldError[] {
  const errors: FieldError[] = []
  for (const [name, quantity] of sizes(spec.hard)) {
    const at = specPath.child('hard').key(name)
    errors.push(...check(at, name, qualifiedName))
    if (!name.includes('/') && !isStandard(name))
      errors.push(invalidValue(at, name, 'must be a standard resource for quota'))
    if (isNegative(quantity)) {
      errors.push(invalidValue(at, quantity, 'must be greater than or equal to 0'))
    } else if (isCounted(name) && !isWhole(quantity)) {
      errors.push(invalidValue(at, quantity, 'must be an integer'))
    }
  }
  const scopes = specPath.child('scopes')
  const given: readonly string[] = spec.scopes ?? []
  for (const scope of given) {
    if (!SCOPES.includes(scope)) errors.push(invalidValue(scopes, given, 'unsupported scope'))
    errors.push(...misplaced(scope, spec.hard, scopes, given))
  }
  for (const [a, b] of OPPOSITE_SCOPES) {
    if (given.includes(a) && given.includes(b)) {
      errors.push(invalidValue(scopes, given, 'conflicting scopes'))
    }
  }
  const expressions = spec.scopeSelector?.matchExpressions ?? []
  // The path of an expression does not say which it is.
  const at = specPath.child('scopeSelector', 'matchExpressions')
  for (const [a, b] of OPPOSITE_SCOPES) {
    const has = (scope: string) => expressions.some(({ scopeName }) => scopeName === scope)
    if (has(a) && has(b)) errors.push(invalidValue(at, spec.scopes, 'conflicting scopes'))
  }
  const selectorText = {
    MatchExpressions: expressions.map((each) => ({
      ScopeName: each.scopeName,
      Operator: each.operator,
      Values: each.values ?? null,
    })),
  }
  for (const { scopeName, operator, values = [] } of expressions) {
    if (!SCOPES.includes(scopeName))
      errors.push(invalidValue(at.child('scopeName'), scopeName, 'unsupported scope'))
    errors.push(...misplaced(scopeName, spec.hard, at, selectorText))
    const fixed = scopeName !== 'PriorityClass' && scopeName !== 'VolumeAttributesClass'
    if (fixed && operator !== 'Exists') {
      errors.push(
        invalidValue(
          at.child('operator'),
          operator,
          `must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity`,
        ),
      )
    }
    if ((operator === 'In' || operator === 'NotIn') && values.length === 0) {
      errors.push(
        required(
          at.child('values'),
          "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
        ),
      )
    }
    if ((operator === 'Exists' || operator === 'DoesNotExist') && values.length > 0) {
      errors.push(
        invalidValue(
          at.child('values'),
          values,
          "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
        ),
      )
    }
    if (!['DoesNotExist', 'Exists', 'In', 'NotIn'].includes(operator))
      errors.push(invalidValue(at.child('operator'), operator, 'not a valid selector operator'))
  }
  return errors
}

/** Core resources that a quota counts under their plain name too: `pods` as well as `count/pods`. */
export const PLAINLY_COUNTED: readonly string[] = [
  'pods',
  'services',
  'replicationcontrollers',
  'resourcequotas',
  'secrets',
  'configmaps',
  'persistentvolumeclaims',
]
const COUNTED = [...PLAINLY_COUNTED, 'services.nodeports', 'services.loadbalancers']
const COMPUTE = ['cpu', 'memory', 'requests.cpu', 'requests.memory', 'limits.cpu', 'limits.memory']
const STANDARD = new Set([
  ...COUNTED,
  ...COMPUTE,
  'ephemeral-storage',
  'requests.ephemeral-storage',
  'limits.ephemeral-storage',
  'requests.storage',
])
const isStandard = (name: string): boolean =>
  STANDARD.has(name) || /^(?:requests\.)?hugepages-/.test(name)

/** What can be counted of the objects that a scope selects; anything for scopes that are not here. */
const IN_SCOPE: Readonly<Record<string, ReadonlySet<string>>> = {
  BestEffort: new Set(['pods']),
  ...Object.fromEntries(
    [
      'CrossNamespacePodAffinity',
      'NotBestEffort',
      'NotTerminating',
      'PriorityClass',
      'Terminating',
    ].map((scope) => [scope, new Set(['pods', ...COMPUTE])]),
  ),
  VolumeAttributesClass: new Set(['persistentvolumeclaims', 'requests.storage']),
}

/** A scope that there is not, and resources that nothing in the scope has. */
function misplaced(
  scope: string,
  hard: Quantities | undefined,
  path: FieldPath,
  shown: unknown,
): readonly FieldError[] {
  return sizes(hard)
    .filter(([name]) => isStandard(name) && IN_SCOPE[scope]?.has(name) === false)
    .map(() => invalidValue(path, shown, 'unsupported scope applied to resource'))
}

const isCounted = (name: string): boolean => COUNTED.includes(name) || name.startsWith('count/')

/** `cpu: 1/2, pods: 3/10`: what is used of what may be. */
function usageText({ status }: ResourceQuota, isLimit: boolean): string {
  return sizes(status?.hard)
    .filter(([name]) => name.startsWith('limits.') === isLimit)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, hard]) => `${name}: ${status?.used?.[name] ?? '0'}/${hard}`)
    .join(', ')
}

export const resourceQuotas = defineResource(quotasRef, {
  validate: validateQuota,
  validateUpdate: (now, old, { subresource }) =>
    subresource === '' && !equal(now.spec?.scopes, old.spec?.scopes)
      ? [invalidValue(specPath.child('scopes'), now.spec?.scopes, 'field is immutable')]
      : [],
  cells: {
    Request: (quota) => usageText(quota, false),
    Limit: (quota) => usageText(quota, true),
  },
})
