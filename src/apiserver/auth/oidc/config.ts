/** The file that says whose tokens are users, and who may be anonymous: AuthenticationConfiguration (apiserver.config.k8s.io). */
import { decodeYaml, type JsonObject } from '#machinery'
import { isObject } from '../../json.ts'

/** Exactly one of a claim and an expression. */
export interface ClaimSource {
  readonly claim?: string
  readonly prefix?: string
  readonly expression?: string
}

export interface Rule {
  readonly claim?: string
  readonly requiredValue?: string
  readonly expression?: string
  readonly message?: string
}

export interface JwtIssuer {
  readonly issuer: {
    readonly url: string
    readonly discoveryURL?: string
    /** PEM. */
    readonly certificateAuthority?: string
    /** One of them must be meant. */
    readonly audiences: readonly string[]
  }
  readonly claimValidationRules: readonly Rule[]
  readonly claimMappings: {
    readonly username: ClaimSource
    readonly groups?: ClaimSource
    readonly uid?: ClaimSource
    readonly extra: readonly { readonly key: string; readonly valueExpression: string }[]
  }
  readonly userValidationRules: readonly Rule[]
  /** Default: all that are asymmetric. */
  readonly algorithms?: readonly string[]
}

export interface AnonymousConfig {
  readonly enabled: boolean
  /** Only for these paths; absent for all. */
  readonly paths?: readonly string[]
}

export interface AuthenticationConfiguration {
  readonly jwt: readonly JwtIssuer[]
  readonly anonymous?: AnonymousConfig
}

const GROUP = 'apiserver.config.k8s.io'
const VERSIONS = ['v1', 'v1beta1', 'v1alpha1']

/** Throws an Error that says which field is wrong. */
export function parseAuthenticationConfiguration(text: string): AuthenticationConfiguration {
  const { value } = decodeYaml(text)
  if (!isObject(value) || value['kind'] !== 'AuthenticationConfiguration')
    throw new Error('kind must be AuthenticationConfiguration')
  if (!VERSIONS.some((version) => value['apiVersion'] === `${GROUP}/${version}`))
    throw new Error(
      `apiVersion must be one of ${VERSIONS.map((each) => `${GROUP}/${each}`).join(', ')}`,
    )
  only(value, '', ['apiVersion', 'kind', 'jwt', 'anonymous'])
  const jwt = objects(value, 'jwt', '').map((each, i) => issuerOf(each, `jwt[${i}]`))
  const urls = jwt.map(({ issuer }) => issuer.url)
  const twice = urls.find((url, i) => urls.indexOf(url) !== i)
  if (twice !== undefined) throw new Error(`jwt: the issuer ${twice} is there twice`)
  const anonymous = value['anonymous']
  return {
    jwt,
    ...(isObject(anonymous) ? { anonymous: anonymousOf(anonymous) } : {}),
  }
}

function anonymousOf(found: JsonObject): AnonymousConfig {
  only(found, 'anonymous', ['enabled', 'conditions'])
  const enabled = found['enabled'] === true
  const conditions = objects(found, 'conditions', 'anonymous')
  if (!enabled && conditions.length > 0)
    throw new Error('anonymous.conditions: only when anonymous.enabled is true')
  return {
    enabled,
    ...(conditions.length === 0
      ? {}
      : {
          paths: conditions.map((each, i) => required(each, 'path', `anonymous.conditions[${i}]`)),
        }),
  }
}

function issuerOf(found: JsonObject, path: string): JwtIssuer {
  only(found, path, ['issuer', 'claimValidationRules', 'claimMappings', 'userValidationRules'])
  const issuer = object(found, 'issuer', path)
  only(issuer, `${path}.issuer`, [
    'url',
    'discoveryURL',
    'certificateAuthority',
    'audiences',
    'audienceMatchPolicy',
    'egressSelectorType',
  ])
  const url = required(issuer, 'url', `${path}.issuer`)
  const discoveryURL = optional(issuer, 'discoveryURL', `${path}.issuer`)
  for (const each of [url, ...(discoveryURL === undefined ? [] : [discoveryURL])])
    https(each, `${path}.issuer`)
  const audiences = strings(issuer, 'audiences', `${path}.issuer`)
  if (audiences.length === 0) throw new Error(`${path}.issuer.audiences: at least one is required`)
  const policy = optional(issuer, 'audienceMatchPolicy', `${path}.issuer`)
  if (audiences.length > 1 && policy !== 'MatchAny')
    throw new Error(`${path}.issuer.audienceMatchPolicy: must be MatchAny for several audiences`)
  const authority = optional(issuer, 'certificateAuthority', `${path}.issuer`)
  const mappings = object(found, 'claimMappings', path)
  only(mappings, `${path}.claimMappings`, ['username', 'groups', 'uid', 'extra'])
  const source = (name: string): ClaimSource | undefined =>
    isObject(mappings[name])
      ? claimSource(mappings[name], `${path}.claimMappings.${name}`, name !== 'uid')
      : undefined
  const username = source('username')
  if (username === undefined) throw new Error(`${path}.claimMappings.username: is required`)
  const groups = source('groups')
  const uid = source('uid')
  return {
    issuer: {
      url,
      ...(discoveryURL === undefined ? {} : { discoveryURL }),
      ...(authority === undefined ? {} : { certificateAuthority: authority }),
      audiences,
    },
    claimValidationRules: objects(found, 'claimValidationRules', path).map((each, i) =>
      rule(each, `${path}.claimValidationRules[${i}]`),
    ),
    claimMappings: {
      username,
      ...(groups === undefined ? {} : { groups }),
      ...(uid === undefined ? {} : { uid }),
      extra: objects(mappings, 'extra', `${path}.claimMappings`).map((each, i) => {
        const at = `${path}.claimMappings.extra[${i}]`
        const key = required(each, 'key', at)
        if (key !== key.toLowerCase() || !key.includes('/'))
          throw new Error(`${at}.key: must be lower case and begin with a domain, example.com/name`)
        return { key, valueExpression: required(each, 'valueExpression', at) }
      }),
    },
    userValidationRules: objects(found, 'userValidationRules', path).map((each, i) => ({
      expression: required(each, 'expression', `${path}.userValidationRules[${i}]`),
      ...messageOf(each),
    })),
  }
}

function claimSource(found: JsonObject, path: string, withPrefix: boolean): ClaimSource {
  only(found, path, ['claim', 'expression', ...(withPrefix ? ['prefix'] : [])])
  const claim = optional(found, 'claim', path)
  const expression = optional(found, 'expression', path)
  const prefix = optional(found, 'prefix', path)
  if ((claim === undefined) === (expression === undefined))
    throw new Error(`${path}: either claim or expression is required, and not both`)
  if (expression !== undefined) return { expression }
  if (withPrefix && prefix === undefined)
    throw new Error(`${path}.prefix: is required with claim; it may be ""`)
  return { claim: claim ?? '', prefix: prefix ?? '' }
}

function rule(found: JsonObject, path: string): Rule {
  only(found, path, ['claim', 'requiredValue', 'expression', 'message'])
  const expression = optional(found, 'expression', path)
  const claim = optional(found, 'claim', path)
  if ((claim === undefined) === (expression === undefined))
    throw new Error(`${path}: either claim or expression is required, and not both`)
  if (expression !== undefined) return { expression, ...messageOf(found) }
  return { claim: claim ?? '', requiredValue: optional(found, 'requiredValue', path) ?? '' }
}

const messageOf = (found: JsonObject): { readonly message?: string } =>
  typeof found['message'] === 'string' && found['message'] !== ''
    ? { message: found['message'] }
    : {}

function https(text: string, path: string): void {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'https:' || url.username !== '' || url.search !== '' || url.hash !== '')
    throw new Error(`${path}: ${text} must be an https URL without user, query and fragment`)
}

function only(found: JsonObject, path: string, known: readonly string[]): void {
  const strange = Object.keys(found).find((name) => !known.includes(name))
  if (strange !== undefined)
    throw new Error(`unknown field ${JSON.stringify(path === '' ? strange : `${path}.${strange}`)}`)
}

function objects(found: JsonObject, name: string, path: string): readonly JsonObject[] {
  const list: unknown = found[name] ?? []
  if (!Array.isArray(list) || !list.every(isObject))
    throw new Error(`${path}.${name}: must be a list of objects`)
  return list as readonly JsonObject[]
}

function object(found: JsonObject, name: string, path: string): JsonObject {
  const value = found[name]
  if (!isObject(value)) throw new Error(`${path}.${name}: is required`)
  return value
}

function strings(found: JsonObject, name: string, path: string): readonly string[] {
  const list: unknown = found[name] ?? []
  if (!Array.isArray(list) || !list.every((each) => typeof each === 'string' && each !== ''))
    throw new Error(`${path}.${name}: must be a list of strings`)
  return list as readonly string[]
}

function optional(found: JsonObject, name: string, path: string): string | undefined {
  const value = found[name]
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'string') throw new Error(`${path}.${name}: must be a string`)
  return value
}

function required(found: JsonObject, name: string, path: string): string {
  const value = optional(found, name, path)
  if (value === undefined || value === '') throw new Error(`${path}.${name}: is required`)
  return value
}
