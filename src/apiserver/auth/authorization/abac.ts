/** Attribute-based rules of a file: one policy a line (abac.authorization.kubernetes.io/v1beta1). */
import type { Attributes, Authorizer } from '../../access.ts'
import { isObject } from '../../json.ts'

interface Policy {
  readonly user: string
  readonly group: string
  readonly readonly: boolean
  readonly apiGroup: string
  readonly resource: string
  readonly namespace: string
  readonly nonResourcePath: string
}

const API_VERSION = 'abac.authorization.kubernetes.io/v1beta1'
const READING: ReadonlySet<string> = new Set(['get', 'list', 'watch'])

/** Throws an Error that names the line that is wrong. */
export function abacAuthorizer(text: string): Authorizer {
  const policies = text.split('\n').flatMap((line, i): Policy[] => {
    const trimmed = line.trim()
    return trimmed === '' || trimmed.startsWith('#') ? [] : [policyOf(trimmed, i + 1)]
  })
  return {
    authorize: async (attributes) => ({
      verdict: policies.some((policy) => allows(policy, attributes)) ? 'allow' : 'noOpinion',
      reason: '',
    }),
    rules: async () => ({ resourceRules: [], nonResourceRules: [], incomplete: true }),
  }
}

function policyOf(line: string, number: number): Policy {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    throw new Error(`line ${number} is no JSON`)
  }
  const spec = isObject(value) ? value['spec'] : undefined
  if (
    !isObject(value) ||
    !isObject(spec) ||
    value['kind'] !== 'Policy' ||
    value['apiVersion'] !== API_VERSION
  )
    throw new Error(`line ${number} must be a Policy of ${API_VERSION}`)
  const text = (field: string): string => {
    const given = spec[field]
    return typeof given === 'string' ? given : ''
  }
  return {
    user: text('user'),
    group: text('group'),
    readonly: spec['readonly'] === true,
    apiGroup: text('apiGroup'),
    resource: text('resource'),
    namespace: text('namespace'),
    nonResourcePath: text('nonResourcePath'),
  }
}

const is = (wanted: string, given: string): boolean => wanted === '*' || wanted === given

function allows(policy: Policy, attributes: Attributes): boolean {
  const { user, verb, isResource, path } = attributes
  if (policy.user === '' && policy.group === '') return false
  if (policy.user !== '' && !isUser(policy.user, user.name, user.groups)) return false
  if (policy.group !== '' && !isGroup(policy.group, user.groups)) return false
  if (policy.readonly && !READING.has(verb)) return false
  if (!isResource) {
    const wanted = policy.nonResourcePath
    return is(wanted, path) || (wanted.endsWith('*') && path.startsWith(wanted.slice(0, -1)))
  }
  return (
    policy.resource !== '' &&
    is(policy.namespace, attributes.namespace) &&
    is(policy.resource, attributes.resource) &&
    is(policy.apiGroup, attributes.group)
  )
}

/** A star stands for everybody who is known. */
const isUser = (wanted: string, name: string, groups: readonly string[]): boolean =>
  wanted === '*' ? groups.includes('system:authenticated') : wanted === name

const isGroup = (wanted: string, groups: readonly string[]): boolean =>
  wanted === '*' ? groups.includes('system:authenticated') : groups.includes(wanted)
