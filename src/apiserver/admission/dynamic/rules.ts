/** Which requests a rule of a webhook or a policy is about. */
import type { NamedRuleWithOperations } from '#api'
import type { AdmissionRequest } from '../../admission.ts'

/** What of a request rules look at. */
export interface RuleSubject {
  readonly operation: AdmissionRequest['operation']
  readonly group: string
  readonly version: string
  readonly resource: string
  readonly subresource: string
  /** Of a Namespace object, its own name. */
  readonly namespace: string
  readonly name: string
}

export const ruleMatches = (rule: NamedRuleWithOperations, subject: RuleSubject): boolean =>
  scopeMatches(rule.scope, subject) &&
  listed(rule.operations, subject.operation) &&
  listed(rule.apiGroups, subject.group) &&
  listed(rule.apiVersions, subject.version) &&
  (rule.resources ?? []).some((each) => resourceMatches(each, subject)) &&
  ((rule.resourceNames ?? []).length === 0 || rule.resourceNames!.includes(subject.name))

const listed = (list: readonly string[] = [], value: string): boolean =>
  list.includes('*') || list.includes(value)

/** `pods`, `pods/exec`, `pods/*`, `*`, `*\/scale`, `*\/*`: what has no slash is never about a subresource. */
function resourceMatches(text: string, { resource, subresource }: RuleSubject): boolean {
  const slash = text.indexOf('/')
  const main = slash < 0 ? text : text.slice(0, slash)
  const sub = slash < 0 ? '' : text.slice(slash + 1)
  return (main === '*' || main === resource) && (sub === '*' || sub === subresource)
}

function scopeMatches(scope: string | undefined, subject: RuleSubject): boolean {
  if (scope !== 'Namespaced' && scope !== 'Cluster') return true
  const isNamespaced =
    subject.namespace !== '' && !(subject.group === '' && subject.resource === 'namespaces')
  return isNamespaced === (scope === 'Namespaced')
}
