/** Names that authentication and authorization agree on. */
import { StatusError, type RequestUser } from '#machinery'

export const AUTHENTICATED = 'system:authenticated'
const UNAUTHENTICATED = 'system:unauthenticated'
export const MASTERS = 'system:masters'
const NODES = 'system:nodes'
const SERVICE_ACCOUNTS = 'system:serviceaccounts'

export const anonymous: RequestUser = { name: 'system:anonymous', groups: [UNAUTHENTICATED] }

/** The server itself, for what it does in the course of other people's requests. */
export const apiServerUser: RequestUser = {
  name: 'system:apiserver',
  groups: [MASTERS, AUTHENTICATED],
}

export const serviceAccountName = (namespace: string, name: string): string =>
  `system:serviceaccount:${namespace}:${name}`

export const serviceAccountGroups = (namespace: string): readonly string[] => [
  SERVICE_ACCOUNTS,
  `${SERVICE_ACCOUNTS}:${namespace}`,
]

/** Undefined when the user is not a service account. */
export function parseServiceAccount(
  user: string,
): { readonly namespace: string; readonly name: string } | undefined {
  const parts = user.split(':')
  if (parts.length !== 4 || parts[0] !== 'system' || parts[1] !== 'serviceaccount') return undefined
  return { namespace: parts[2]!, name: parts[3]! }
}

/** The node's name when the user is a node; undefined otherwise. */
export const nodeOf = (user: RequestUser): string | undefined =>
  user.name.startsWith('system:node:') && user.groups.includes(NODES)
    ? user.name.slice('system:node:'.length)
    : undefined

export const unauthorized = (): StatusError => new StatusError('Unauthorized', 'Unauthorized')
