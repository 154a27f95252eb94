/** The file that says who decides about requests, and in which order: AuthorizationConfiguration (apiserver.config.k8s.io). */
import {
  FieldPath,
  decodeYaml,
  duplicate,
  invalidValue,
  notSupported,
  required,
  type FieldError,
  type JsonObject,
} from '#machinery'
import { isObject } from '../../json.ts'

/** Those of which there can be one. */
export type SingleType = 'Node' | 'RBAC' | 'ABAC' | 'AlwaysAllow' | 'AlwaysDeny'

export interface WebhookConfig {
  readonly type: 'Webhook'
  readonly name: string
  /** A kubeconfig. */
  readonly file: string
  readonly timeoutMs: number
  /** Zero when answers are not to be remembered. */
  readonly allowedMs: number
  readonly deniedMs: number
  readonly failurePolicy: 'NoOpinion' | 'Deny'
  readonly matchConditions: readonly string[]
}

export type AuthorizerConfig = { readonly type: SingleType; readonly name: string } | WebhookConfig

const GROUP = 'apiserver.config.k8s.io'
const VERSIONS = ['v1', 'v1beta1', 'v1alpha1'].map((version) => `${GROUP}/${version}`)
const TYPES = ['ABAC', 'AlwaysAllow', 'AlwaysDeny', 'Node', 'RBAC', 'Webhook']
const LONGEST_TIMEOUT_MS = 30_000
const NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const WEBHOOK_FIELDS: ReadonlySet<string> = new Set([
  'authorizedTTL',
  'cacheAuthorizedRequests',
  'unauthorizedTTL',
  'cacheUnauthorizedRequests',
  'timeout',
  'subjectAccessReviewVersion',
  'matchConditionSubjectAccessReviewVersion',
  'failurePolicy',
  'connectionInfo',
  'matchConditions',
])

/** Throws an Error that names every field that is wrong. */
export function parseAuthorizationConfiguration(text: string): readonly AuthorizerConfig[] {
  const { value } = decodeYaml(text)
  if (!isObject(value) || value['kind'] !== 'AuthorizationConfiguration')
    throw new Error('kind must be AuthorizationConfiguration')
  if (!VERSIONS.includes(String(value['apiVersion'])))
    throw new Error(`apiVersion must be one of ${VERSIONS.join(', ')}`)
  noStrangers(value, '', new Set(['apiVersion', 'kind', 'authorizers']))
  const path = FieldPath.of('authorizers')
  const given: unknown = value['authorizers'] ?? []
  if (!Array.isArray(given) || !given.every(isObject))
    throw new Error('authorizers: must be a list of objects')
  const errors: FieldError[] = []
  if (given.length === 0)
    errors.push(required(path, 'at least one authorization mode must be defined'))
  const configs = (given as readonly JsonObject[]).map((each, i) =>
    authorizerOf(each, path.index(i), errors),
  )
  const seenTypes = new Set<string>()
  const seenNames = new Set<string>()
  for (const [i, { type, name }] of configs.entries()) {
    if (type !== 'Webhook' && seenTypes.has(type))
      errors.push(duplicate(path.index(i).child('type'), type))
    if (name !== '' && seenNames.has(name))
      errors.push(duplicate(path.index(i).child('name'), name))
    seenTypes.add(type)
    seenNames.add(name)
  }
  if (errors.length > 0)
    throw new Error(errors.map(({ field, detail }) => `${field}: ${detail}`).join('\n'))
  return configs
}

function authorizerOf(found: JsonObject, path: FieldPath, errors: FieldError[]): AuthorizerConfig {
  noStrangers(found, `${path.text}.`, new Set(['type', 'name', 'webhook']))
  const type = textOf(found, 'type')
  const name = textOf(found, 'name')
  if (name === '') errors.push(required(path.child('name')))
  else if (!NAME.test(name) || name.length > 253)
    errors.push(
      invalidValue(path.child('name'), name, 'authorizer name is invalid: it must be a subdomain'),
    )
  if (type === '') errors.push(required(path.child('type')))
  else if (!TYPES.includes(type)) errors.push(notSupported(path.child('type'), type, TYPES))
  const { webhook } = found
  if (type !== 'Webhook') {
    if (webhook !== undefined && webhook !== null)
      errors.push(
        invalidValue(path.child('webhook'), 'non-null', 'may only be specified when type=Webhook'),
      )
    return { type: type as SingleType, name }
  }
  if (!isObject(webhook)) {
    errors.push(required(path.child('webhook'), 'required when type=Webhook'))
    return { type: 'RBAC', name }
  }
  return webhookOf(webhook, name, path.child('webhook'), errors)
}

function webhookOf(
  found: JsonObject,
  name: string,
  path: FieldPath,
  errors: FieldError[],
): WebhookConfig {
  noStrangers(found, `${path.text}.`, WEBHOOK_FIELDS)
  const timeoutMs = duration(found, 'timeout', path, errors)
  if (timeoutMs !== undefined && (timeoutMs <= 0 || timeoutMs > LONGEST_TIMEOUT_MS))
    errors.push(
      invalidValue(
        path.child('timeout'),
        textOf(found, 'timeout'),
        timeoutMs <= 0 ? 'must be > 0s' : 'must be <= 30s',
      ),
    )
  oneOf(found, 'subjectAccessReviewVersion', ['v1', 'v1beta1'], path, errors)
  oneOf(found, 'failurePolicy', ['NoOpinion', 'Deny'], path, errors)
  const conditions = conditionsOf(found, path, errors)
  if (conditions.length > 0)
    oneOf(found, 'matchConditionSubjectAccessReviewVersion', ['v1'], path, errors)
  const connection = isObject(found['connectionInfo']) ? found['connectionInfo'] : {}
  const at = path.child('connectionInfo')
  noStrangers(connection, `${at.text}.`, new Set(['type', 'kubeConfigFile']))
  const file = textOf(connection, 'kubeConfigFile')
  if (textOf(connection, 'type') === 'InClusterConfig')
    errors.push(
      invalidValue(at.child('type'), 'InClusterConfig', 'this server is in no pod of the cluster'),
    )
  else if (oneOf(connection, 'type', ['KubeConfigFile'], at, errors) && file === '')
    errors.push(required(at.child('kubeConfigFile')))
  else if (file !== '' && !file.startsWith('/'))
    errors.push(invalidValue(at.child('kubeConfigFile'), file, 'must be an absolute path'))
  const ttl = (field: string, flag: string): number => {
    const ms = duration(found, field, path, errors) ?? 0
    if (ms <= 0 && textOf(found, field) !== '')
      errors.push(invalidValue(path.child(field), textOf(found, field), 'must be > 0s'))
    return found[flag] === false ? 0 : ms
  }
  return {
    type: 'Webhook',
    name,
    file,
    timeoutMs: timeoutMs ?? 0,
    allowedMs: ttl('authorizedTTL', 'cacheAuthorizedRequests'),
    deniedMs: ttl('unauthorizedTTL', 'cacheUnauthorizedRequests'),
    failurePolicy: textOf(found, 'failurePolicy') === 'Deny' ? 'Deny' : 'NoOpinion',
    matchConditions: conditions,
  }
}

function conditionsOf(found: JsonObject, path: FieldPath, errors: FieldError[]): readonly string[] {
  const list: unknown = found['matchConditions'] ?? []
  if (!Array.isArray(list) || !list.every(isObject))
    throw new Error(`${path.text}.matchConditions: must be a list of objects`)
  return (list as readonly JsonObject[]).map((each, i) => {
    const at = path.child('matchConditions').index(i).child('expression')
    const source = textOf(each, 'expression').trim()
    if (source === '') errors.push(required(at))
    return source
  })
}

/** True when it is there and right. */
function oneOf(
  found: JsonObject,
  field: string,
  wanted: readonly string[],
  path: FieldPath,
  errors: FieldError[],
): boolean {
  const text = textOf(found, field)
  if (wanted.includes(text)) return true
  errors.push(
    text === '' ? required(path.child(field)) : notSupported(path.child(field), text, wanted),
  )
  return false
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

function duration(
  found: JsonObject,
  field: string,
  path: FieldPath,
  errors: FieldError[],
): number | undefined {
  const text = textOf(found, field)
  if (text === '') {
    errors.push(required(path.child(field)))
    return undefined
  }
  const sign = text.startsWith('-') ? -1 : 1
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)]
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text.replace(/^-/, '')) {
    if (text === '0') return 0
    errors.push(invalidValue(path.child(field), text, 'must be a duration like 5m or 30s'))
    return undefined
  }
  return sign * parts.reduce((sum, [, n, unit]) => sum + Number(n) * (UNITS_MS[unit ?? ''] ?? 0), 0)
}

const textOf = (found: JsonObject, field: string): string => {
  const value = found[field]
  return typeof value === 'string' ? value : ''
}

function noStrangers(found: JsonObject, path: string, known: ReadonlySet<string>): void {
  const strange = Object.keys(found).find((name) => !known.has(name))
  if (strange !== undefined) throw new Error(`unknown field ${JSON.stringify(`${path}${strange}`)}`)
}
