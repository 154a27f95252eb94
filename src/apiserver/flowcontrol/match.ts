/** Which flow schema a request belongs to, and which of its flows (KEP-1040). */
import type { FlowSchema } from '#api'
import type { RequestUser } from '#machinery'
import type { RequestInfo } from '../exchange.ts'

type Rules = NonNullable<FlowSchema['spec']['rules']>[number]
type Subject = Rules['subjects'][number]
type ResourceRule = NonNullable<Rules['resourceRules']>[number]
type NonResourceRule = NonNullable<Rules['nonResourceRules']>[number]

const SERVICE_ACCOUNT = 'system:serviceaccount:'

function isSubject({ kind, user, group, serviceAccount }: Subject, who: RequestUser): boolean {
  switch (kind) {
    case 'User':
      return user?.name === '*' || user?.name === who.name
    case 'Group':
      return group?.name === '*' || who.groups.includes(group?.name ?? '')
    case 'ServiceAccount': {
      if (serviceAccount === undefined || !who.name.startsWith(SERVICE_ACCOUNT)) return false
      const [namespace, name] = who.name.slice(SERVICE_ACCOUNT.length).split(':')
      return (
        serviceAccount.namespace === namespace &&
        (serviceAccount.name === '*' || serviceAccount.name === name)
      )
    }
    default:
      return false
  }
}

const includes = (values: readonly string[] | undefined, value: string): boolean =>
  values !== undefined && (values.includes(value) || values.includes('*'))

function isResource(rule: ResourceRule, info: RequestInfo): boolean {
  const resource = info.subresource === '' ? info.resource : `${info.resource}/${info.subresource}`
  return (
    includes(rule.verbs, info.verb) &&
    includes(rule.apiGroups, info.group) &&
    includes(rule.resources, resource) &&
    (info.namespace === '' ? rule.clusterScope === true : includes(rule.namespaces, info.namespace))
  )
}

/** A trailing star stands for all that begins so, from a slash on. */
const isPath = (pattern: string, path: string): boolean =>
  pattern === '*' ||
  pattern === path ||
  (pattern.endsWith('*') && path.startsWith(pattern.slice(0, -1)))

const isNonResource = (rule: NonResourceRule, { verb, path }: RequestInfo): boolean =>
  includes(rule.verbs, verb) && rule.nonResourceURLs.some((pattern) => isPath(pattern, path))

export const matches = (schema: FlowSchema, user: RequestUser, info: RequestInfo): boolean =>
  (schema.spec.rules ?? []).some(
    (rule) =>
      rule.subjects.some((subject) => isSubject(subject, user)) &&
      (info.isResource
        ? (rule.resourceRules ?? []).some((each) => isResource(each, info))
        : (rule.nonResourceRules ?? []).some((each) => isNonResource(each, info))),
  )

/** Lower precedence first; equals by name. */
export const inOrder = (schemas: readonly FlowSchema[]): readonly FlowSchema[] =>
  schemas.toSorted(
    (a, b) =>
      (a.spec.matchingPrecedence ?? 0) - (b.spec.matchingPrecedence ?? 0) ||
      (a.metadata.name ?? '').localeCompare(b.metadata.name ?? ''),
  )

/** What tells the flows of a schema apart. */
export function flowOf(schema: FlowSchema, user: RequestUser, info: RequestInfo): string {
  const method = schema.spec.distinguisherMethod?.type
  return method === 'ByUser' ? user.name : method === 'ByNamespace' ? info.namespace : ''
}
