/** Acting as somebody else, by the Impersonate-* headers. */
import { StatusError, type RequestUser } from '#machinery'
import type { Attributes, Authorizer } from '../access.ts'
import {
  headerFamily,
  headerValues,
  type Exchange,
  type Filter,
  type Handler,
  type Reply,
} from '../exchange.ts'
import { forbiddenFor } from './authorization.ts'
import { ANONYMOUS, requireUser } from './user.ts'

/** Lets those who may act as somebody else, by the Impersonate-* headers. */
export const withImpersonation = (authorizer: Authorizer): Filter => {
  const impersonate = async (
    exchange: Exchange,
    wanted: RequestUser,
    next: Handler,
  ): Promise<Reply> => {
    const user = requireUser(exchange)
    for (const check of impersonationChecks(wanted)) {
      const attributes: Attributes = {
        version: '',
        namespace: '',
        subresource: '',
        group: '',
        ...check,
        user,
        verb: 'impersonate',
        isResource: true,
        path: exchange.path,
      }
      const { verdict, reason } = await authorizer.authorize(attributes)
      if (verdict !== 'allow') throw forbiddenFor(attributes, reason)
    }
    exchange.user = completed(wanted)
    return next(exchange)
  }
  // Few do: all others go on without a wait.
  return (next) => (exchange) => {
    const wanted = exchange.trustedUser === undefined ? impersonated(exchange) : undefined
    return wanted === undefined ? next(exchange) : impersonate(exchange, wanted, next)
  }
}

const EXTRA = 'impersonate-extra-'

function impersonated(exchange: Exchange): RequestUser | undefined {
  const [name] = headerValues(exchange, 'impersonate-user')
  const [uid] = headerValues(exchange, 'impersonate-uid')
  const groups = headerValues(exchange, 'impersonate-group')
  const family = headerFamily(exchange, EXTRA)
  const extra = Object.keys(family).length === 0 ? undefined : family
  if (name === undefined || name === '') {
    if (groups.length > 0 || uid !== undefined || extra !== undefined)
      throw new StatusError(
        'BadRequest',
        'a group, UID or extra field is impersonated without a user: Impersonate-User is missing',
      )
    return undefined
  }
  return {
    name,
    groups,
    ...(uid === undefined ? {} : { uid }),
    ...(extra === undefined ? {} : { extra }),
  }
}

const SERVICE_ACCOUNT = 'system:serviceaccount:'
const serviceAccountOf = (user: string): readonly [namespace: string, name: string] | undefined => {
  if (!user.startsWith(SERVICE_ACCOUNT)) return undefined
  const [namespace, name, ...more] = user.slice(SERVICE_ACCOUNT.length).split(':')
  return namespace !== undefined && name !== undefined && name !== '' && more.length === 0
    ? [namespace, name]
    : undefined
}

function* impersonationChecks(
  user: RequestUser,
): Generator<
  Pick<Attributes, 'resource' | 'name'> &
    Partial<Pick<Attributes, 'group' | 'version' | 'namespace' | 'subresource'>>
> {
  const account = serviceAccountOf(user.name)
  if (account !== undefined)
    yield { resource: 'serviceaccounts', version: 'v1', namespace: account[0], name: account[1] }
  else yield { resource: 'users', version: 'v1', name: user.name }
  for (const name of user.groups) yield { resource: 'groups', version: 'v1', name }
  const group = 'authentication.k8s.io'
  for (const [key, values] of Object.entries(user.extra ?? {}))
    for (const name of values)
      yield { group, version: 'v1', resource: 'userextras', subresource: key, name }
  if (user.uid !== undefined) yield { group, version: 'v1', resource: 'uids', name: user.uid }
}

/** The groups that a login of this user would have brought. */
function completed(user: RequestUser): RequestUser {
  const account = serviceAccountOf(user.name)
  const groups =
    user.groups.length === 0 && account !== undefined
      ? ['system:serviceaccounts', `system:serviceaccounts:${account[0]}`]
      : [...user.groups]
  const known = user.name === ANONYMOUS ? 'system:unauthenticated' : 'system:authenticated'
  if (!groups.includes('system:unauthenticated') && !groups.includes(known)) groups.push(known)
  return { ...user, groups }
}
