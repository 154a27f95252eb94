/** The group rbac.authorization.k8s.io: who may do what. */
import { FieldPath, invalidValue, notSupported, required, type FieldError } from '#machinery'
import { defineResource } from './define.ts'
import { equal } from './equal.ts'
import { goForm } from './go-form.ts'
import type { Mutable } from './mutable.ts'
import {
  clusterRoleBindings as clusterRoleBindingsRef,
  clusterRoles as clusterRolesRef,
  roleBindings as roleBindingsRef,
  roles as rolesRef,
} from './resources.gen.ts'
import { check, dnsSubdomain, validateLabelSelector, type Rule } from './rules.ts'
import type {
  ClusterRole,
  ClusterRoleBinding,
  PolicyRule,
  RbacV1Subject as Subject,
  RoleBinding,
} from './types.gen.ts'

const GROUP = 'rbac.authorization.k8s.io'

/** Names of roles may hold anything that fits in one part of a path. */
const pathSegment: Rule = (name) => {
  if (name === '.' || name === '..') return [`may not be '${name}'`]
  return ['/', '%'].filter((char) => name.includes(char)).map((char) => `may not contain '${char}'`)
}

function validateRule(
  rule: PolicyRule,
  path: FieldPath,
  { namespaced }: { readonly namespaced: boolean },
): readonly FieldError[] {
  const { verbs, apiGroups = [], resources = [], resourceNames = [], nonResourceURLs = [] } = rule
  const errors: FieldError[] = []
  if (verbs.length === 0) {
    errors.push(required(path.child('verbs'), 'verbs must contain at least one value'))
  }
  if (nonResourceURLs.length > 0) {
    const at = path.child('nonResourceURLs')
    if (namespaced) {
      errors.push(
        invalidValue(at, nonResourceURLs, 'namespaced rules cannot apply to non-resource URLs'),
      )
    }
    if (apiGroups.length > 0 || resources.length > 0 || resourceNames.length > 0) {
      errors.push(
        invalidValue(
          at,
          nonResourceURLs,
          'rules cannot apply to both regular resources and non-resource URLs',
        ),
      )
    }
    return errors
  }
  if (apiGroups.length === 0) {
    errors.push(
      required(path.child('apiGroups'), 'resource rules must supply at least one api group'),
    )
  }
  if (resources.length === 0) {
    errors.push(
      required(path.child('resources'), 'resource rules must supply at least one resource'),
    )
  }
  return errors
}

function validateRules(
  rules: readonly PolicyRule[] | undefined,
  namespaced: boolean,
): readonly FieldError[] {
  return (rules ?? []).flatMap((rule, i) =>
    validateRule(rule, FieldPath.of('rules').index(i), { namespaced }),
  )
}

const roles = defineResource(rolesRef, {
  validate: ({ rules }) => validateRules(rules, true),
  cells: {},
})

const clusterRoles = defineResource(clusterRolesRef, {
  validate: ({ rules, aggregationRule }: ClusterRole) => {
    const errors = [...validateRules(rules, false)]
    if (aggregationRule === undefined) return errors
    const path = FieldPath.of('aggregationRule', 'clusterRoleSelectors')
    const selectors = aggregationRule.clusterRoleSelectors ?? []
    if (selectors.length === 0) {
      errors.push(
        required(path, 'at least one clusterRoleSelector required if aggregationRule is non-nil'),
      )
    }
    errors.push(
      ...selectors.flatMap((selector, i) => {
        const wrong = validateLabelSelector(selector, path.index(i))
        return wrong.length === 0
          ? []
          : [...wrong, invalidValue(path.index(i), undefined, 'invalid label selector.')]
      }),
    )
    return errors
  },
  cells: {},
})

type Binding = RoleBinding | ClusterRoleBinding

function defaultBinding({ roleRef, subjects }: Mutable<Binding>): void {
  roleRef.apiGroup ||= GROUP
  for (const subject of subjects ?? []) {
    if (subject.kind === 'User' || subject.kind === 'Group') subject.apiGroup ??= GROUP
  }
}

function validateBinding(binding: Binding, namespaced: boolean): readonly FieldError[] {
  const { roleRef, subjects = [] } = binding
  const path = FieldPath.of('roleRef')
  const errors: FieldError[] = []
  if (roleRef.apiGroup !== GROUP) {
    errors.push(notSupported(path.child('apiGroup'), roleRef.apiGroup, [GROUP]))
  }
  const kinds = namespaced ? ['Role', 'ClusterRole'] : ['ClusterRole']
  if (!kinds.includes(roleRef.kind)) {
    errors.push(notSupported(path.child('kind'), roleRef.kind, kinds))
  }
  if (roleRef.name === '') errors.push(required(path.child('name')))
  else errors.push(...check(path.child('name'), roleRef.name, pathSegment))
  for (const [i, subject] of subjects.entries()) {
    errors.push(...validateSubject(subject, FieldPath.of('subjects').index(i), namespaced))
  }
  return errors
}

function validateSubject(
  { kind, name, apiGroup = '', namespace = '' }: Subject,
  path: FieldPath,
  namespaced: boolean,
): readonly FieldError[] {
  const errors: FieldError[] = []
  if (name === '') errors.push(required(path.child('name')))
  switch (kind) {
    case 'ServiceAccount':
      if (name !== '') errors.push(...check(path.child('name'), name, dnsSubdomain))
      if (apiGroup !== '') errors.push(notSupported(path.child('apiGroup'), apiGroup, ['']))
      if (namespace === '' && !namespaced) errors.push(required(path.child('namespace')))
      break
    case 'User':
    case 'Group':
      if (apiGroup !== GROUP) errors.push(notSupported(path.child('apiGroup'), apiGroup, [GROUP]))
      break
    default:
      errors.push(notSupported(path.child('kind'), kind, ['ServiceAccount', 'User', 'Group']))
  }
  return errors
}

/** Another role would be another grant: delete the binding and make a new one. */
const sameRole = (now: Binding, old: Binding): readonly FieldError[] =>
  equal(now.roleRef, old.roleRef)
    ? []
    : [
        invalidValue(
          FieldPath.of('roleRef'),
          goForm('rbac.v1.RoleRef', now.roleRef),
          'cannot change roleRef',
        ),
      ]

const named = (kind: string) => (binding: Binding) =>
  (binding.subjects ?? [])
    .filter((subject) => subject.kind === kind)
    .map(({ name, namespace }) => (kind === 'ServiceAccount' ? `${namespace ?? ''}/${name}` : name))
    .join(', ')

const cells = {
  Role: ({ roleRef }: Binding) => `${roleRef.kind}/${roleRef.name}`,
  Users: named('User'),
  Groups: named('Group'),
  ServiceAccounts: named('ServiceAccount'),
}

const roleBindings = defineResource(roleBindingsRef, {
  defaults: defaultBinding,
  validate: (binding) => validateBinding(binding, true),
  validateUpdate: sameRole,
  cells,
})

const clusterRoleBindings = defineResource(clusterRoleBindingsRef, {
  defaults: defaultBinding,
  validate: (binding) => validateBinding(binding, false),
  validateUpdate: sameRole,
  cells,
})

export const rbac = [clusterRoleBindings, clusterRoles, roleBindings, roles]
