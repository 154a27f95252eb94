/** What is common to webhooks and policies: rules, selectors, conditions. */
import { duplicate, invalidValue, required, type FieldError, type FieldPath } from '#machinery'
import { check, qualifiedName, validateLabelSelector } from '../rules.ts'
import type { MatchCondition, MatchResources, NamedRuleWithOperations } from '../types.gen.ts'

const MAX_CONDITIONS = 64

const WILDCARD_WORDS = {
  operations: 'operations',
  apiGroups: 'API groups',
  apiVersions: 'API versions',
} as const

export function validateRule(
  rule: NamedRuleWithOperations,
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  for (const name of ['operations', 'apiGroups', 'apiVersions'] as const) {
    const list: readonly string[] = rule[name] ?? []
    if (list.length === 0) errors.push(required(path.child(name)))
    else if (list.length > 1 && list.includes('*')) {
      const others = WILDCARD_WORDS[name]
      errors.push(
        invalidValue(path.child(name), list, `if '*' is present, must not specify other ${others}`),
      )
    }
  }
  for (const [i, version] of (rule.apiVersions ?? []).entries())
    if (version === '') errors.push(required(path.child('apiVersions').index(i)))
  errors.push(...validateResources(rule.resources ?? [], path.child('resources')))
  const names = rule.resourceNames ?? []
  for (const [i, name] of names.entries()) {
    const at = path.child('resourceNames').index(i)
    errors.push(...check(at, name, pathSegment))
    if (names.indexOf(name) < i) errors.push(duplicate(at, name))
  }
  return errors
}

function pathSegment(name: string): readonly string[] {
  if (name === '.' || name === '..') return [`may not be '${name}'`]
  return ['/', '%'].filter((each) => name.includes(each)).map((each) => `may not contain '${each}'`)
}

function validateResources(resources: readonly string[], path: FieldPath): readonly FieldError[] {
  if (resources.length === 0) return [required(path)]
  const errors: FieldError[] = []
  const withAllSubresources = new Set<string>()
  const ofAllResources = new Set<string>()
  for (const [i, resource] of resources.entries()) {
    const at = path.index(i)
    if (resource === '') errors.push(required(at))
    const slash = resource.indexOf('/')
    if (slash < 0) continue
    const [main, sub] = [resource.slice(0, slash), resource.slice(slash + 1)]
    const covered = (by: string): FieldError =>
      invalidValue(at, resource, `if '${by}' is present, must not specify ${resource}`)
    if (withAllSubresources.has(main)) errors.push(covered(`${main}/*`))
    if (ofAllResources.has(sub)) errors.push(covered(`*/${sub}`))
    if (sub === '*') withAllSubresources.add(main)
    if (main === '*') ofAllResources.add(sub)
  }
  if (resources.length > 1 && resources.includes('*/*'))
    errors.push(
      invalidValue(path, resources, "if '*/*' is present, must not specify other resources"),
    )
  const isPlain = (resource: string): boolean => resource !== '*' && !resource.includes('/')
  if (resources.includes('*') && resources.some(isPlain))
    errors.push(
      invalidValue(
        path,
        resources,
        "if '*' is present, must not specify other resources without subresources",
      ),
    )
  return errors
}

export function validateMatch(match: MatchResources, path: FieldPath): readonly FieldError[] {
  const rules = (name: 'resourceRules' | 'excludeResourceRules'): readonly FieldError[] =>
    (match[name] ?? []).flatMap((rule, i) => validateRule(rule, path.child(name).index(i)))
  return [
    ...validateLabelSelector(match.namespaceSelector, path.child('namespaceSelector')),
    ...validateLabelSelector(match.objectSelector, path.child('objectSelector')),
    ...rules('resourceRules'),
    ...rules('excludeResourceRules'),
  ]
}

/** Their expressions are judged elsewhere. */
export function validateConditions(
  conditions: readonly MatchCondition[],
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  if (conditions.length > MAX_CONDITIONS)
    errors.push({
      type: 'FieldValueTooMany',
      field: path.toString(),
      detail: `Too many: ${conditions.length}: must have at most ${MAX_CONDITIONS} items`,
    })
  for (const [i, { name, expression }] of conditions.entries()) {
    const at = path.index(i)
    if (expression.trim() === '') errors.push(required(at.child('expression')))
    if (name === '') errors.push(required(at.child('name')))
    else errors.push(...check(at.child('name'), name, qualifiedName))
    if (conditions.findIndex((each) => each.name === name) < i)
      errors.push(duplicate(at.child('name'), name))
  }
  return errors
}
