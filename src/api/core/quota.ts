/** Limits of a whole namespace. */
import { FieldPath, invalidValue, required, type FieldError } from '#machinery'
import { defineResource } from '../define.ts'
import { equal } from '../equal.ts'
import { checkQuantity, checkQuotaResourceName, isQuotaResource } from '../resource-names.ts'
import { resourceQuotas as quotasRef } from '../resources.gen.ts'
import type { ResourceQuota } from '../types.gen.ts'

type Quantities = Readonly<Record<string, string>>

const sizes = (quantities: Quantities | undefined): readonly (readonly [string, string])[] =>
  Object.entries(quantities ?? {})

const SCOPES = [
  'BestEffort',
  'CrossNamespacePodAffinity',
  'NotBestEffort',
  'NotTerminating',
  'PriorityClass',
  'Terminating',
  'VolumeAttributesClass',
]
/** Scopes that are told apart by values. */
const OF_VALUES = new Set(['PriorityClass', 'VolumeAttributesClass'])
const OPPOSITE_SCOPES = [
  ['BestEffort', 'NotBestEffort'],
  ['Terminating', 'NotTerminating'],
] as const
const specPath = FieldPath.of('spec')

function validateQuota({ spec }: ResourceQuota): readonly FieldError[] {
  const errors: FieldError[] = []
  for (const [name, quantity] of sizes(spec.hard)) {
    const at = specPath.child('hard').key(name)
    errors.push(...checkQuotaResourceName(name, at), ...checkQuantity(name, quantity, at))
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
    const fixed = SCOPES.includes(scopeName) && !OF_VALUES.has(scopeName)
    if (fixed && operator !== 'Exists') {
      errors.push(
        invalidValue(
          at.child('operator'),
          operator,
          `must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity`,
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

const COMPUTE = ['cpu', 'memory', 'requests.cpu', 'requests.memory', 'limits.cpu', 'limits.memory']

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
    .filter(([name]) => isQuotaResource(name) && IN_SCOPE[scope]?.has(name) === false)
    .map(() => invalidValue(path, shown, 'unsupported scope applied to resource'))
}

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
