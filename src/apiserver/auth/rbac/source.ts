/** Roles and bindings as authorization needs them: looked up by whom they are for. */
import {
  clusterRoleBindings,
  clusterRoles,
  roleBindings,
  roles,
  type ClusterRoleBinding,
  type PolicyRule,
  type RoleBinding,
  type RbacV1Subject as Subject,
} from '#api'
import { keyOf, type RequestUser } from '#machinery'
import type { Reader } from '../../inside.ts'
import { parseServiceAccount } from '../users.ts'

export type AnyBinding = ClusterRoleBinding | RoleBinding

export interface BoundSubject {
  readonly binding: AnyBinding
  readonly subject: Subject
  /** '' for a ClusterRoleBinding. */
  readonly namespace: string
}

export interface RbacSource {
  /** Undefined when there is no such role. `namespace` '' for a ClusterRole. */
  rulesOf(namespace: string, name: string): readonly PolicyRule[] | undefined
  /** All bindings that name the user, one of its groups, or its service account: those of the cluster first. */
  bindingsOf(user: RequestUser): readonly BoundSubject[]
  /** Changes whenever any role or binding does: what was derived from older ones is stale. */
  generation(): number
}

const groupKey = (name: string): string => `group ${name}`
const userKey = (name: string): string => `user ${name}`
const accountKey = (namespace: string, name: string): string => `account ${namespace}/${name}`

function keyOfSubject(subject: Subject, bindingNamespace: string): string | undefined {
  if (subject.kind === 'User') return userKey(subject.name)
  if (subject.kind === 'Group') return groupKey(subject.name)
  if (subject.kind !== 'ServiceAccount') return undefined
  const namespace = subject.namespace || bindingNamespace
  return namespace === '' ? undefined : accountKey(namespace, subject.name)
}

/** Follows the four resources of the server's own cache: the index is read at the first question and then kept current. */
export function rbacSource(read: Pick<Reader, 'get' | 'list' | 'onChange'>): RbacSource {
  const bySubject = new Map<string, Map<string, BoundSubject>>()
  const subjectsOf = new Map<string, readonly string[]>()
  let generation = 0
  let loaded = false

  const remove = (id: string): void => {
    for (const key of subjectsOf.get(id) ?? []) {
      const bound = bySubject.get(key)
      bound?.delete(id)
      if (bound?.size === 0) bySubject.delete(key)
    }
    subjectsOf.delete(id)
  }
  const add = (id: string, binding: AnyBinding, namespace: string): void => {
    remove(id)
    const keys: string[] = []
    for (const subject of binding.subjects ?? []) {
      const key = keyOfSubject(subject, namespace)
      if (key === undefined) continue
      let bound = bySubject.get(key)
      if (bound === undefined) bySubject.set(key, (bound = new Map()))
      bound.set(id, { binding, subject, namespace })
      keys.push(key)
    }
    subjectsOf.set(id, keys)
  }
  const idOf = (binding: AnyBinding, namespaced: boolean): string =>
    `${namespaced ? 'namespace' : 'cluster'} ${keyOf(binding)}`
  const namespaceOf = (binding: AnyBinding, namespaced: boolean): string =>
    namespaced ? (binding.metadata.namespace ?? '') : ''

  const load = (): void => {
    loaded = true
    for (const binding of read.list(clusterRoleBindings)) add(idOf(binding, false), binding, '')
    for (const binding of read.list(roleBindings))
      add(idOf(binding, true), binding, namespaceOf(binding, true))
  }

  for (const [ref, namespaced] of [
    [clusterRoleBindings, false],
    [roleBindings, true],
  ] as const)
    read.onChange<AnyBinding>(ref, ({ type, object }) => {
      generation++
      if (!loaded) return
      const id = idOf(object, namespaced)
      if (type === 'DELETED') remove(id)
      else add(id, object, namespaceOf(object, namespaced))
    })
  for (const ref of [clusterRoles, roles])
    read.onChange(ref, () => {
      generation++
    })

  return {
    rulesOf: (namespace, name) => {
      const role =
        namespace === '' ? read.get(clusterRoles, '', name) : read.get(roles, namespace, name)
      return role && (role.rules ?? [])
    },
    bindingsOf(user) {
      if (!loaded) load()
      const account = parseServiceAccount(user.name)
      const keys = [
        userKey(user.name),
        ...user.groups.map(groupKey),
        ...(account === undefined ? [] : [accountKey(account.namespace, account.name)]),
      ]
      const found = keys.flatMap((key) => [...(bySubject.get(key)?.values() ?? [])])
      // A binding may name the user in several ways: the first counts.
      const unique = new Map(found.toReversed().map((bound) => [bound.binding, bound]))
      return [...unique.values()].toSorted(
        (a, b) =>
          order(a.namespace, b.namespace) ||
          order(a.binding.metadata.name, b.binding.metadata.name),
      )
    },
    generation: () => generation,
  }
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** As reasons name a subject: `User "jane"`, `ServiceAccount "builder/ci"`. */
export const showSubject = (subject: Subject, bindingNamespace: string): string =>
  subject.kind === 'ServiceAccount'
    ? `ServiceAccount "${subject.name}/${subject.namespace || bindingNamespace}"`
    : `${subject.kind} ${JSON.stringify(subject.name)}`
