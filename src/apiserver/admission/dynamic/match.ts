/** Whether a webhook or a policy is about a request, and in which version of the resource it wants to see it. */
import { namespaces, type NamedRuleWithOperations } from '#api'
import {
  matchesLabels,
  notFound,
  selectorRequirements,
  type JsonObject,
  type LabelSelector,
  type ResourceDefinition,
} from '#machinery'
import type { AdmissionRequest } from '../../admission.ts'
import type { ServerInside } from '../../inside.ts'
import type { AdmissionLookups } from '../words.ts'
import { ruleMatches } from './rules.ts'
import { namespaceOf, subjectOf } from './view.ts'

export interface Criteria {
  readonly rules: readonly NamedRuleWithOperations[]
  readonly excluded?: readonly NamedRuleWithOperations[]
  readonly matchPolicy: 'Equivalent' | 'Exact'
  readonly namespaceSelector: LabelSelector | undefined
  readonly objectSelector: LabelSelector | undefined
}

type Inside = Pick<ServerInside, 'definitions'> & { readonly read: AdmissionLookups }

/** Configurations of admission are beyond admission: otherwise a mistake in one could never be mended. */
const EXEMPT: ReadonlySet<string> = new Set([
  'validatingwebhookconfigurations',
  'mutatingwebhookconfigurations',
  'validatingadmissionpolicies',
  'validatingadmissionpolicybindings',
  'mutatingadmissionpolicies',
  'mutatingadmissionpolicybindings',
])
export const isExempt = ({ definition: { facts } }: AdmissionRequest): boolean =>
  facts.group === 'admissionregistration.k8s.io' && EXEMPT.has(facts.resource)

/** Questions of identity and permission: policies are not asked about them either. */
const QUESTIONS: ReadonlySet<string> = new Set([
  'selfsubjectreviews.authentication.k8s.io',
  'tokenreviews.authentication.k8s.io',
  'localsubjectaccessreviews.authorization.k8s.io',
  'selfsubjectaccessreviews.authorization.k8s.io',
  'selfsubjectrulesreviews.authorization.k8s.io',
  'subjectaccessreviews.authorization.k8s.io',
])
export const isUnjudged = (request: AdmissionRequest): boolean => {
  const { resource, group } = request.definition.facts
  return isExempt(request) || QUESTIONS.has(`${resource}.${group}`)
}

/**
 * The definition whose version is asked for; undefined when the request is none of its business. Throws 404 when the
 * namespace that must be looked at does not exist.
 */
export function matchingDefinition(
  inside: Inside,
  request: AdmissionRequest,
  criteria: Criteria,
): ResourceDefinition | undefined {
  const inNamespace = namespaceMatches(inside.read, request, criteria.namespaceSelector)
  if (inNamespace === false || !objectMatches(request, criteria.objectSelector)) return undefined
  const { excluded = [] } = criteria
  if (excluded.length > 0 && ruled(inside, request, excluded, criteria.matchPolicy) !== undefined)
    return undefined
  const found = ruled(inside, request, criteria.rules, criteria.matchPolicy)
  if (found !== undefined && inNamespace === 'absent')
    throw notFound({ group: '', resource: 'namespaces' }, namespaceOf(request))
  return found
}

function ruled(
  inside: Inside,
  request: AdmissionRequest,
  rules: readonly NamedRuleWithOperations[],
  matchPolicy: Criteria['matchPolicy'],
): ResourceDefinition | undefined {
  const subject = subjectOf(request)
  if (rules.some((rule) => ruleMatches(rule, subject))) return request.definition
  if (matchPolicy === 'Exact') return undefined
  const others = equivalentsOf(inside, request)
  for (const rule of rules)
    for (const definition of others)
      if (ruleMatches(rule, subjectOf(request, definition))) return definition
  return undefined
}

/** Found once for each request, however many ask. */
const equivalents = new WeakMap<AdmissionRequest, readonly ResourceDefinition[]>()

/** The same objects under other versions and groups: what is stored in one place is one thing. */
function equivalentsOf(inside: Inside, request: AdmissionRequest): readonly ResourceDefinition[] {
  const { definition } = request
  if (!definition.facts.persisted) return []
  let found = equivalents.get(request)
  if (found === undefined) {
    const { storagePrefix } = definition
    const isOther = (each: ResourceDefinition): boolean =>
      each !== definition && each.storagePrefix === storagePrefix
    equivalents.set(request, (found = inside.definitions().filter(isOther)))
  }
  return found
}

const isNamespaces = ({ definition: { facts } }: AdmissionRequest): boolean =>
  facts.resource === 'namespaces' && facts.group === ''

function namespaceMatches(
  read: AdmissionLookups,
  request: AdmissionRequest,
  selector: LabelSelector | undefined,
): boolean | 'absent' {
  const namespace = namespaceOf(request)
  // What is in no namespace is never left out by its namespace.
  if (namespace === '' && !isNamespaces(request)) return true
  const requirements = selectorRequirements(selector) ?? []
  if (requirements.length === 0) return true
  const { object, operation, subresource } = request
  const isWritten =
    isNamespaces(request) &&
    subresource === '' &&
    (operation === 'CREATE' || operation === 'UPDATE') &&
    object !== undefined
  if (isWritten) return matchesLabels(requirements, labelsOf(object))
  const found = read.get(namespaces, '', namespace)
  return found === undefined ? 'absent' : matchesLabels(requirements, found.metadata.labels)
}

function objectMatches(
  { object, old }: AdmissionRequest,
  selector: LabelSelector | undefined,
): boolean {
  const requirements = selectorRequirements(selector) ?? []
  if (requirements.length === 0) return true
  const matches = (each: JsonObject | undefined): boolean =>
    each?.['metadata'] !== undefined && matchesLabels(requirements, labelsOf(each))
  return matches(object) || matches(old as JsonObject | undefined)
}

const labelsOf = (object: JsonObject): Readonly<Record<string, string>> | undefined =>
  (object['metadata'] as { readonly labels?: Readonly<Record<string, string>> } | undefined)?.labels
