/** Nobody gives away more than they have: checked when roles and bindings are written. */
import type { ClusterRole, PolicyRule, RoleBinding } from '#api'
import { forbidden, notFound, type RequestUser } from '#machinery'
import type { Attributes, Authorizer } from '../../access.ts'
import type { AdmissionPlugin, AdmissionRequest } from '../../admission.ts'
import { MASTERS } from '../users.ts'
import type { RbacAuthorizer } from './authorizer.ts'
import { compact, missingRules, showList, showRule } from './rules.ts'
import type { RbacSource } from './source.ts'

const GROUP = 'rbac.authorization.k8s.io'
const EVERYTHING: readonly PolicyRule[] = [
  { apiGroups: ['*'], resources: ['*'], verbs: ['*'] },
  { nonResourceURLs: ['*'], verbs: ['*'] },
]

export interface EscalationOptions {
  readonly source: RbacSource
  readonly rbac: Pick<RbacAuthorizer, 'rulesFor'>
  /** The whole chain: for the verbs `escalate` and `bind`. */
  readonly authorizer: Authorizer
}

/** Runs as a validating plugin, on the object as it will be stored. */
export function escalationCheck({ source, rbac, authorizer }: EscalationOptions): AdmissionPlugin {
  const allowed = async (
    request: AdmissionRequest,
    target: Pick<Attributes, 'verb' | 'resource' | 'name' | 'namespace'>,
  ): Promise<boolean> => {
    const decision = await authorizer.authorize({
      user: request.user,
      isResource: true,
      group: GROUP,
      version: 'v1',
      subresource: '',
      path: '',
      ...target,
    })
    return decision.verdict === 'allow'
  }

  const refuseMissing = (request: AdmissionRequest, wanted: readonly PolicyRule[]): void => {
    const missing = missingRules(rbac.rulesFor(request.user, request.namespace), wanted)
    if (missing.length === 0) return
    throw refusal(
      request,
      `user ${JSON.stringify(request.user.name)} (groups=${showList(request.user.groups)}) is attempting to grant RBAC permissions not currently held:\n${compact(
        missing,
      )
        .map(showRule)
        .toSorted()
        .join('\n')}`,
    )
  }

  const checkRole = async (request: AdmissionRequest): Promise<void> => {
    const role = request.object as unknown as ClusterRole
    const old = request.old as ClusterRole | undefined
    if (
      old !== undefined &&
      same(role.rules, old.rules) &&
      same(role.aggregationRule, old.aggregationRule)
    )
      return
    const { resource } = request.definition.facts
    const { name, namespace } = request
    if (await allowed(request, { verb: 'escalate', resource, name, namespace })) return
    if (role.aggregationRule !== undefined || old?.aggregationRule !== undefined)
      if (missingRules(rbac.rulesFor(request.user, ''), EVERYTHING).length > 0)
        throw refusal(request, 'must have cluster-admin privileges to use an aggregationRule')
    refuseMissing(request, role.rules ?? [])
  }

  const checkBinding = async (request: AdmissionRequest): Promise<void> => {
    const binding = request.object as unknown as RoleBinding
    const old = request.old as RoleBinding | undefined
    if (
      old !== undefined &&
      same(binding.roleRef, old.roleRef) &&
      same(binding.subjects, old.subjects)
    )
      return
    const { kind, name } = binding.roleRef
    const resource = kind === 'Role' ? 'roles' : 'clusterroles'
    if (await allowed(request, { verb: 'bind', resource, name, namespace: request.namespace }))
      return
    const rules = source.rulesOf(kind === 'Role' ? request.namespace : '', name)
    if (rules === undefined) throw notFound({ group: GROUP, resource }, name)
    refuseMissing(request, rules)
  }

  return {
    name: 'RBACEscalation',
    handles: ({ definition: { facts }, operation, subresource, user }) =>
      facts.group === GROUP &&
      subresource === '' &&
      (operation === 'CREATE' || operation === 'UPDATE') &&
      !isMaster(user),
    validate: (request) =>
      request.definition.facts.resource.endsWith('bindings')
        ? checkBinding(request)
        : checkRole(request),
  }
}

const isMaster = (user: RequestUser): boolean => user.groups.includes(MASTERS)

const refusal = (request: AdmissionRequest, why: string): Error =>
  forbidden({ group: GROUP, resource: request.definition.facts.resource }, request.name, why)

const same = (a: unknown, b: unknown): boolean =>
  JSON.stringify(a ?? null) === JSON.stringify(b ?? null)
