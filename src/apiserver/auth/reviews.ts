/** Questions about identity and permission, answered and not stored: the review resources. */
import type { Clock } from '#base'
import {
  FieldPath,
  badRequest,
  invalid,
  invalidValue,
  timestamp,
  type FieldError,
  type JsonObject,
  type RequestUser,
} from '#machinery'
import type {
  NonResourceAttributes,
  ResourceAttributes,
  SelfSubjectAccessReviewSpec,
  SubjectAccessReviewSpec,
  TokenReviewSpec,
} from '#api'
import type { Attributes, Authorizer } from '../access.ts'
import type { Exchange } from '../exchange.ts'
import type { VirtualResource } from '../extensions.ts'
import type { TokenAuthenticator } from './tokens.ts'
import { authenticated } from './authenticators.ts'
import { anonymous } from './users.ts'

export interface ReviewOptions {
  readonly authorizer: Authorizer
  readonly tokens: TokenAuthenticator
  /** What the server itself is called in tokens. */
  readonly audiences: readonly string[]
  readonly clock: Pick<Clock, 'now'>
}

/** For `Extensions.virtualResources`. */
export const reviews = ({
  authorizer,
  tokens,
  audiences,
  clock,
}: ReviewOptions): Readonly<Record<string, VirtualResource>> => ({
  'selfsubjectreviews.authentication.k8s.io': async (exchange, object) => ({
    ...object,
    metadata: { creationTimestamp: timestamp(clock.now()) },
    status: { userInfo: userInfo(userOf(exchange)) },
  }),
  'tokenreviews.authentication.k8s.io': async (_exchange, object) => ({
    ...object,
    status: await reviewToken(tokens, audiences, (object['spec'] ?? {}) as TokenReviewSpec),
  }),
  'selfsubjectaccessreviews.authorization.k8s.io': async (exchange, object) => {
    const spec = (object['spec'] ?? {}) as SelfSubjectAccessReviewSpec
    refuse('SelfSubjectAccessReview', attributeErrors(spec, FieldPath.of('spec')))
    return { ...object, status: await access(authorizer, userOf(exchange), spec) }
  },
  'subjectaccessreviews.authorization.k8s.io': async (_exchange, object) => {
    const spec = (object['spec'] ?? {}) as SubjectAccessReviewSpec
    refuse('SubjectAccessReview', [
      ...attributeErrors(spec, FieldPath.of('spec')),
      ...subjectErrors(spec),
    ])
    return { ...object, status: await access(authorizer, subjectOf(spec), spec) }
  },
  'localsubjectaccessreviews.authorization.k8s.io': async (exchange, object) => {
    const spec = (object['spec'] ?? {}) as SubjectAccessReviewSpec
    const namespace = exchange.info?.namespace ?? ''
    refuse('LocalSubjectAccessReview', [
      ...attributeErrors(spec, FieldPath.of('spec')),
      ...subjectErrors(spec),
      ...(spec.nonResourceAttributes
        ? [
            invalidValue(
              FieldPath.of('spec', 'nonResourceAttributes'),
              spec.nonResourceAttributes,
              'disallowed on this kind of request',
            ),
          ]
        : []),
      ...(spec.resourceAttributes && (spec.resourceAttributes.namespace ?? '') !== namespace
        ? [
            invalidValue(
              FieldPath.of('spec', 'resourceAttributes', 'namespace'),
              spec.resourceAttributes.namespace ?? '',
              'must match metadata.namespace',
            ),
          ]
        : []),
    ])
    return { ...object, status: await access(authorizer, subjectOf(spec), spec) }
  },
  'selfsubjectrulesreviews.authorization.k8s.io': async (exchange, object) => {
    const namespace = ((object['spec'] ?? {}) as { namespace?: string }).namespace ?? ''
    if (namespace === '') throw badRequest('no namespace on request')
    const rules = await authorizer.rules?.(userOf(exchange), namespace)
    return {
      ...object,
      status: rules ?? {
        resourceRules: [],
        nonResourceRules: [],
        incomplete: true,
        evaluationError: 'user info could not be determined',
      },
    }
  },
})

const userOf = (exchange: Exchange): RequestUser => exchange.user ?? anonymous

const userInfo = ({ name, uid, groups, extra }: RequestUser): JsonObject => ({
  username: name,
  ...(uid ? { uid } : {}),
  ...(groups.length > 0 ? { groups } : {}),
  ...(extra && Object.keys(extra).length > 0 ? { extra } : {}),
})

async function reviewToken(
  tokens: TokenAuthenticator,
  ownAudiences: readonly string[],
  { token, audiences = [] }: TokenReviewSpec,
): Promise<JsonObject> {
  if (!token) throw badRequest('token is required for TokenReview in authentication')
  const wanted = audiences.length > 0 ? audiences : ownAudiences
  try {
    const found = await tokens.authenticateToken(token, wanted)
    if (found === undefined) return { user: {}, error: 'invalid bearer token' }
    // A token that says nothing about its audience is meant for this server.
    const meant = found.audiences ?? wanted.filter((audience) => ownAudiences.includes(audience))
    if (audiences.length > 0 && meant.length === 0)
      return { user: {}, error: 'token audiences do not match the requested ones' }
    return {
      authenticated: true,
      user: userInfo(authenticated(found.user)),
      audiences: meant,
    }
  } catch {
    return { user: {}, error: 'invalid bearer token' }
  }
}

interface Asked {
  readonly resourceAttributes?: ResourceAttributes
  readonly nonResourceAttributes?: NonResourceAttributes
}

async function access(authorizer: Authorizer, user: RequestUser, spec: Asked): Promise<JsonObject> {
  const { verdict, reason } = await authorizer.authorize(attributesOf(user, spec))
  return {
    allowed: verdict === 'allow',
    ...(verdict === 'deny' ? { denied: true } : {}),
    ...(reason === '' ? {} : { reason }),
  }
}

function attributesOf(user: RequestUser, { resourceAttributes, ...spec }: Asked): Attributes {
  const none = { namespace: '', group: '', version: '', resource: '', subresource: '', name: '' }
  if (resourceAttributes === undefined)
    return {
      user,
      ...none,
      isResource: false,
      verb: spec.nonResourceAttributes?.verb ?? '',
      path: spec.nonResourceAttributes?.path ?? '',
    }
  const { namespace, verb, group, version, resource, subresource, name } = resourceAttributes
  const { fieldSelector, labelSelector } = resourceAttributes
  const fields = fieldSelector?.rawSelector ?? selectorText(fieldSelector?.requirements, fieldText)
  const labels = labelSelector?.rawSelector ?? selectorText(labelSelector?.requirements, labelText)
  return {
    user,
    isResource: true,
    verb: verb ?? '',
    namespace: namespace ?? '',
    group: group ?? '',
    version: version ?? '',
    resource: resource ?? '',
    subresource: subresource ?? '',
    name: name ?? '',
    path: '',
    ...(fields ? { fieldSelector: fields } : {}),
    ...(labels ? { labelSelector: labels } : {}),
  }
}

interface Requirement {
  readonly key: string
  readonly operator: string
  readonly values?: readonly string[]
}

/** A requirement that cannot be said is left out: the question is then about more, and never about less. */
const selectorText = (
  requirements: readonly Requirement[] = [],
  text: (requirement: Requirement) => string | undefined,
): string =>
  requirements
    .map(text)
    .filter((each) => each !== undefined)
    .join(',')

function fieldText({ key, operator, values = [] }: Requirement): string | undefined {
  const [value, ...more] = values
  if (value === undefined || more.length > 0) return undefined
  const escaped = value.replaceAll(/[\\,=]/g, String.raw`\$&`)
  if (operator === 'In') return `${key}=${escaped}`
  return operator === 'NotIn' ? `${key}!=${escaped}` : undefined
}

function labelText({ key, operator, values = [] }: Requirement): string | undefined {
  switch (operator) {
    case 'In':
      return `${key} in (${values.join(',')})`
    case 'NotIn':
      return `${key} notin (${values.join(',')})`
    case 'Exists':
      return key
    case 'DoesNotExist':
      return `!${key}`
    default:
      return undefined
  }
}

const subjectOf = ({ user, groups = [], uid, extra }: SubjectAccessReviewSpec): RequestUser => ({
  name: user ?? '',
  groups,
  ...(uid ? { uid } : {}),
  ...(extra ? { extra } : {}),
})

function attributeErrors(spec: Asked, path: FieldPath): readonly FieldError[] {
  if (spec.resourceAttributes && spec.nonResourceAttributes)
    return [
      invalidValue(
        path.child('nonResourceAttributes'),
        spec.nonResourceAttributes,
        'cannot be specified in combination with resourceAttributes',
      ),
    ]
  if (!spec.resourceAttributes && !spec.nonResourceAttributes)
    return [
      invalidValue(
        path.child('resourceAttributes'),
        undefined,
        'exactly one of nonResourceAttributes or resourceAttributes must be specified',
      ),
    ]
  return []
}

const subjectErrors = ({ user, groups }: SubjectAccessReviewSpec): readonly FieldError[] =>
  !user && !groups?.length
    ? [
        invalidValue(
          FieldPath.of('spec', 'user'),
          user ?? '',
          'at least one of user or group must be specified',
        ),
      ]
    : []

function refuse(kind: string, errors: readonly FieldError[]): void {
  if (errors.length > 0) throw invalid({ group: 'authorization.k8s.io', kind }, '', errors)
}
