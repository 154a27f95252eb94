/** Audit policies (audit.k8s.io/v1 Policy): how much is written down of which request. */
import { decodeYaml, type RequestUser } from '#machinery'
import type { RequestInfo } from '../exchange.ts'
import { isObject } from '../json.ts'

const LEVELS = ['None', 'Metadata', 'Request', 'RequestResponse'] as const
export type Level = (typeof LEVELS)[number]
const STAGES = ['RequestReceived', 'ResponseStarted', 'ResponseComplete', 'Panic'] as const
export type Stage = (typeof STAGES)[number]

interface GroupResources {
  readonly group: string
  readonly resources: readonly string[]
  readonly resourceNames: readonly string[]
}

interface Rule {
  readonly level: Level
  readonly users: readonly string[]
  readonly userGroups: readonly string[]
  readonly verbs: readonly string[]
  readonly resources: readonly GroupResources[]
  readonly namespaces: readonly string[]
  readonly nonResourceURLs: readonly string[]
  readonly omitStages: ReadonlySet<string>
  readonly omitManagedFields: boolean
}

export interface AuditPolicy {
  readonly rules: readonly Rule[]
}

/** What is written of one request. */
export interface Detail {
  readonly level: Level
  readonly omitStages: ReadonlySet<string>
  readonly omitManagedFields: boolean
}

const RULE_FIELDS = [
  'level',
  'users',
  'userGroups',
  'verbs',
  'resources',
  'namespaces',
  'nonResourceURLs',
  'omitStages',
  'omitManagedFields',
]

/** Throws an Error that names the field and what would be right. */
export function parseAuditPolicy(text: string): AuditPolicy {
  const { value } = decodeYaml(text)
  if (!isObject(value)) throw new Error('the audit policy is not an object')
  const { apiVersion, kind } = value
  if (kind !== 'Policy' || apiVersion !== 'audit.k8s.io/v1')
    throw new Error(
      `the audit policy must have apiVersion "audit.k8s.io/v1" and kind "Policy", not ${JSON.stringify(apiVersion)} and ${JSON.stringify(kind)}`,
    )
  const rules = value['rules']
  if (!Array.isArray(rules) || rules.length === 0)
    throw new Error('rules: the audit policy must have at least one rule')
  const omitted = stagesOf(value['omitStages'], 'omitStages')
  const omitManagedFields = value['omitManagedFields'] === true
  return { rules: rules.map((rule, i) => parseRule(rule, i, omitted, omitManagedFields)) }
}

function parseRule(
  rule: unknown,
  i: number,
  omitted: readonly string[],
  omitManagedFields: boolean,
): Rule {
  const at = `rules[${i}]`
  if (!isObject(rule)) throw new Error(`${at}: not an object`)
  for (const field of Object.keys(rule))
    if (!RULE_FIELDS.includes(field))
      throw new Error(`${at}.${field}: unknown field; known are ${RULE_FIELDS.join(', ')}`)
  const level = LEVELS.find((each) => each === rule['level'])
  if (level === undefined)
    throw new Error(`${at}.level: ${JSON.stringify(rule['level'])} is none of ${LEVELS.join(', ')}`)
  const texts = (field: string): readonly string[] => textsOf(rule[field], `${at}.${field}`)
  const given = rule['resources'] ?? []
  if (!Array.isArray(given)) throw new Error(`${at}.resources: not a list`)
  const resources = given.map((each: unknown, j): GroupResources => {
    if (!isObject(each)) throw new Error(`${at}.resources[${j}]: not an object`)
    const group = each['group'] ?? ''
    if (typeof group !== 'string') throw new Error(`${at}.resources[${j}].group: not a text`)
    const named = textsOf(each['resourceNames'], `${at}.resources[${j}].resourceNames`)
    const names = textsOf(each['resources'], `${at}.resources[${j}].resources`)
    if (named.length > 0 && names.length === 0)
      throw new Error(
        `${at}.resources[${j}].resourceNames: using resourceNames requires at least one resource`,
      )
    return { group, resources: names, resourceNames: named }
  })
  const nonResourceURLs = texts('nonResourceURLs')
  if (nonResourceURLs.length > 0 && (resources.length > 0 || texts('namespaces').length > 0))
    throw new Error(
      `${at}.nonResourceURLs: rules cannot apply to both regular resources and non-resource URLs`,
    )
  for (const url of nonResourceURLs)
    if (url !== '*' && (!url.startsWith('/') || url.slice(0, -1).includes('*')))
      throw new Error(
        `${at}.nonResourceURLs: ${JSON.stringify(url)} must begin with "/", and "*" may only be its last character`,
      )
  return {
    level,
    users: texts('users'),
    userGroups: texts('userGroups'),
    verbs: texts('verbs'),
    resources,
    namespaces: texts('namespaces'),
    nonResourceURLs,
    omitStages: new Set([...omitted, ...stagesOf(rule['omitStages'], `${at}.omitStages`)]),
    omitManagedFields:
      typeof rule['omitManagedFields'] === 'boolean'
        ? rule['omitManagedFields']
        : omitManagedFields,
  }
}

function textsOf(value: unknown, at: string): readonly string[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value) || value.some((each) => typeof each !== 'string'))
    throw new Error(`${at}: not a list of texts`)
  return value as readonly string[]
}

function stagesOf(value: unknown, at: string): readonly string[] {
  const stages = textsOf(value, at)
  const known: readonly string[] = STAGES
  for (const stage of stages)
    if (!known.includes(stage))
      throw new Error(`${at}: ${JSON.stringify(stage)} is none of ${STAGES.join(', ')}`)
  return stages
}

const NOTHING: Detail = { level: 'None', omitStages: new Set(), omitManagedFields: true }

/** The first rule that fits decides; a request that none fits is not written. */
export const detailFor = (
  { rules }: AuditPolicy,
  user: RequestUser | undefined,
  info: RequestInfo,
): Detail => rules.find((rule) => fits(rule, user, info)) ?? NOTHING

const oneOf = (values: readonly string[], value: string): boolean =>
  values.length === 0 || values.includes(value)

function fits(rule: Rule, user: RequestUser | undefined, info: RequestInfo): boolean {
  if (rule.users.length > 0 && !(user !== undefined && rule.users.includes(user.name))) return false
  if (
    rule.userGroups.length > 0 &&
    !(user !== undefined && rule.userGroups.some((group) => user.groups.includes(group)))
  )
    return false
  if (!oneOf(rule.verbs, info.verb)) return false
  if (rule.namespaces.length > 0 || rule.resources.length > 0)
    return info.isResource && isResource(rule, info)
  if (rule.nonResourceURLs.length > 0)
    return !info.isResource && rule.nonResourceURLs.some((pattern) => isPath(pattern, info.path))
  return true
}

const isPath = (pattern: string, path: string): boolean =>
  pattern === '*' ||
  pattern === path ||
  (pattern.endsWith('*') && path.startsWith(pattern.slice(0, -1).replace(/\/$/, '')))

function isResource({ namespaces, resources }: Rule, info: RequestInfo): boolean {
  if (!oneOf(namespaces, info.namespace)) return false
  if (resources.length === 0) return true
  const { resource, subresource } = info
  const whole = subresource === '' ? resource : `${resource}/${subresource}`
  return resources.some(
    ({ group, resources: wanted, resourceNames }) =>
      group === info.group &&
      (wanted.length === 0 ||
        (oneOf(resourceNames, info.name) &&
          wanted.some(
            (each) =>
              each === '*' ||
              each === whole ||
              (subresource !== '' && (each === `*/${subresource}` || each === `${resource}/*`)),
          ))),
  )
}
