/** Role-based access control: allowed is what any role that is bound to the user allows. */
import type { PolicyRule } from '#api'
import type { RequestUser } from '#machinery'
import type { Attributes, Authorizer, Decision } from '../../access.ts'
import { BoundedMap } from '#base'
import { compact, ruleAllows } from './rules.ts'
import { showSubject, type BoundSubject, type RbacSource } from './source.ts'

/** Users whose rules are kept ready. */
const CACHED_USERS = 2048

/** One role that the user has, in the cluster or in a namespace. */
interface Grant {
  readonly rules: readonly PolicyRule[]
  readonly allowed: Decision
}

interface Grants {
  readonly generation: number
  readonly cluster: readonly Grant[]
  readonly namespaces: ReadonlyMap<string, readonly Grant[]>
  /** Bindings whose role is gone, by namespace. */
  readonly broken: ReadonlyMap<string, string>
}

export interface RbacAuthorizer extends Authorizer {
  readonly rules: NonNullable<Authorizer['rules']>
  /** Everything the user may do there: the roles of the cluster and those of the namespace ('' for none). */
  rulesFor(user: RequestUser, namespace: string): readonly PolicyRule[]
}

const NO_OPINION: Decision = { verdict: 'noOpinion', reason: '' }

export function rbacAuthorizer(source: RbacSource): RbacAuthorizer {
  // The same user object comes again with each request of a socket; equal ones with each token.
  const byObject = new WeakMap<RequestUser, Grants>()
  const byName = new BoundedMap<string, Grants>(CACHED_USERS)

  const grantsOf = (user: RequestUser): Grants => {
    const generation = source.generation()
    const known = byObject.get(user)
    if (known?.generation === generation) return known
    const name = `${user.name}\n${user.groups.join('\n')}`
    let grants = byName.get(name)
    if (grants?.generation !== generation) {
      grants = collect(source, user, generation)
      byName.set(name, grants)
    }
    byObject.set(user, grants)
    return grants
  }

  const decide = (attributes: Attributes): Decision => {
    const grants = grantsOf(attributes.user)
    for (const grant of grants.cluster)
      for (const rule of grant.rules) if (ruleAllows(rule, attributes)) return grant.allowed
    if (attributes.isResource && attributes.namespace !== '')
      for (const grant of grants.namespaces.get(attributes.namespace) ?? [])
        for (const rule of grant.rules) if (ruleAllows(rule, attributes)) return grant.allowed
    if (grants.broken.size === 0) return NO_OPINION
    const broken = ['', attributes.namespace].flatMap((namespace, i) =>
      i === 1 && namespace === '' ? [] : (grants.broken.get(namespace) ?? []),
    )
    return broken.length === 0
      ? NO_OPINION
      : {
          verdict: 'noOpinion',
          reason: `RBAC: ${broken.length === 1 ? broken[0] : `[${broken.join(', ')}]`}`,
        }
  }

  const rulesFor = (user: RequestUser, namespace: string): readonly PolicyRule[] => {
    const { cluster, namespaces } = grantsOf(user)
    const there = namespace === '' ? [] : (namespaces.get(namespace) ?? [])
    return [...cluster, ...there].flatMap(({ rules }) => rules)
  }

  return {
    authorize: (attributes) => decide(attributes),
    rulesFor,
    async rules(user, namespace) {
      const all = compact(rulesFor(user, namespace))
      return {
        resourceRules: all
          .filter(({ resources }) => resources?.length)
          .map(({ verbs, apiGroups = [], resources = [], resourceNames }) => ({
            verbs,
            apiGroups,
            resources,
            ...(resourceNames?.length ? { resourceNames } : {}),
          })),
        nonResourceRules: all
          .filter(({ nonResourceURLs }) => nonResourceURLs?.length)
          .map(({ verbs, nonResourceURLs = [] }) => ({ verbs, nonResourceURLs })),
        incomplete: false,
      }
    },
  }
}

function collect(source: RbacSource, user: RequestUser, generation: number): Grants {
  const cluster: Grant[] = []
  const namespaces = new Map<string, Grant[]>()
  const broken = new Map<string, string>()
  for (const bound of source.bindingsOf(user)) {
    const { kind, name } = bound.binding.roleRef
    const roleNamespace = kind === 'Role' ? bound.namespace : ''
    const rules = source.rulesOf(roleNamespace, name)
    if (rules === undefined) {
      const text = `${kind.toLowerCase()}.rbac.authorization.k8s.io ${JSON.stringify(name)} not found`
      const known = broken.get(bound.namespace)
      broken.set(bound.namespace, known === undefined ? text : `${known}, ${text}`)
      continue
    }
    const grant: Grant = { rules, allowed: { verdict: 'allow', reason: reasonOf(bound) } }
    if (bound.namespace === '') cluster.push(grant)
    else namespaces.set(bound.namespace, [...(namespaces.get(bound.namespace) ?? []), grant])
  }
  return { generation, cluster, namespaces, broken }
}

function reasonOf({ binding, subject, namespace }: BoundSubject): string {
  const { kind, name } = binding.roleRef
  const bindingName =
    namespace === ''
      ? `ClusterRoleBinding ${JSON.stringify(binding.metadata.name)}`
      : `RoleBinding ${JSON.stringify(`${binding.metadata.name}/${namespace}`)}`
  return `RBAC: allowed by ${bindingName} of ${kind} ${JSON.stringify(name)} to ${showSubject(subject, namespace)}`
}
