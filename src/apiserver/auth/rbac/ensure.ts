/** Brings the roles and bindings that every cluster begins with into being, and mends what is missing from them. */
import type {
  ClusterRole,
  ClusterRoleBinding,
  PolicyRule,
  RbacV1Subject as Subject,
  Role,
  RoleBinding,
} from '#api'
import type { Transport } from '#client'
import { isStatus, type Draft, type KubeObject, type ObjectMeta } from '#machinery'
import {
  bootstrapClusterRoleBindings,
  bootstrapClusterRoles,
  bootstrapRoleBindings,
  bootstrapRoles,
} from './bootstrap.ts'
import { compact, missingRules } from './rules.ts'

const BASE = '/apis/rbac.authorization.k8s.io/v1'
const AUTO_UPDATE = 'rbac.authorization.kubernetes.io/autoupdate'

/** What has to be done to one object; undefined when it is as it should be. */
export type Mending<T extends KubeObject> =
  | { readonly type: 'create' | 'replace'; readonly object: Draft<T> }
  | { readonly type: 'update'; readonly object: T }
  | undefined

/** Adds rules and labels that are missing; what people added stays. A role with its annotation off is left alone. */
function mendRole<T extends Role | ClusterRole>(
  wanted: Draft<T>,
  found: T | undefined,
): Mending<T> {
  if (found === undefined) return { type: 'create', object: wanted }
  if (found.metadata.annotations?.[AUTO_UPDATE] === 'false') return undefined
  const aggregationRule = aggregationOf(wanted)
  const aggregated = aggregationRule !== undefined
  // The aggregated ones get their rules from the others.
  const missing = aggregated ? [] : missingRules(found.rules ?? [], (wanted as Role).rules ?? [])
  const metadata = mendMetadata(wanted.metadata, found.metadata)
  const unaggregated =
    aggregated && JSON.stringify(aggregationRule) !== JSON.stringify(aggregationOf(found))
  if (missing.length === 0 && metadata === undefined && !unaggregated) return undefined
  const rules: readonly PolicyRule[] = [...(found.rules ?? []), ...compact(missing)]
  return {
    type: 'update',
    object: {
      ...found,
      metadata: metadata ?? found.metadata,
      rules,
      ...(unaggregated ? { aggregationRule } : {}),
    },
  }
}

const aggregationOf = (role: object): unknown =>
  'aggregationRule' in role ? role.aggregationRule : undefined

/** Adds missing subjects. A binding of another role is made anew, because its role cannot be changed. */
function mendBinding<T extends RoleBinding | ClusterRoleBinding>(
  wanted: Draft<T>,
  found: T | undefined,
): Mending<T> {
  if (found === undefined) return { type: 'create', object: wanted }
  if (found.metadata.annotations?.[AUTO_UPDATE] === 'false') return undefined
  const { roleRef, subjects = [] } = wanted as unknown as T
  if (found.roleRef.kind !== roleRef.kind || found.roleRef.name !== roleRef.name)
    return { type: 'replace', object: wanted }
  const known = new Set((found.subjects ?? []).map(subjectKey))
  const missing = subjects.filter((subject) => !known.has(subjectKey(subject)))
  const metadata = mendMetadata(wanted.metadata, found.metadata)
  if (missing.length === 0 && metadata === undefined) return undefined
  return {
    type: 'update',
    object: {
      ...found,
      metadata: metadata ?? found.metadata,
      subjects: [...(found.subjects ?? []), ...missing],
    },
  }
}

const subjectKey = ({ kind, name, namespace = '' }: Subject): string =>
  `${kind} ${namespace}/${name}`

function mendMetadata(wanted: Partial<ObjectMeta>, found: ObjectMeta): ObjectMeta | undefined {
  const lacks = (
    want: Readonly<Record<string, string>> = {},
    have: Readonly<Record<string, string>> = {},
  ): boolean => Object.entries(want).some(([key, value]) => have[key] !== value)
  if (!lacks(wanted.labels, found.labels) && !lacks(wanted.annotations, found.annotations))
    return undefined
  return {
    ...found,
    labels: { ...found.labels, ...wanted.labels },
    annotations: { ...found.annotations, ...wanted.annotations },
  }
}

/** One list of each resource, and a write for each object that is not as it should be. Resolves to the number of writes. */
export async function ensureRbac(transport: Transport): Promise<number> {
  const listed = async <T extends KubeObject>(resource: string): Promise<readonly T[]> =>
    (
      (await transport.request({ method: 'GET', path: `${BASE}/${resource}` })) as {
        readonly items: readonly T[]
      }
    ).items
  const [clusterRoles, roles, clusterRoleBindings, roleBindings] = await Promise.all([
    listed<ClusterRole>('clusterroles'),
    listed<Role>('roles'),
    listed<ClusterRoleBinding>('clusterrolebindings'),
    listed<RoleBinding>('rolebindings'),
  ])
  const rolesFirst = [
    ...plan('ClusterRole', 'clusterroles', bootstrapClusterRoles, clusterRoles, mendRole),
    ...plan('Role', 'roles', bootstrapRoles, roles, mendRole),
  ]
  const bindings = [
    ...plan(
      'ClusterRoleBinding',
      'clusterrolebindings',
      bootstrapClusterRoleBindings,
      clusterRoleBindings,
      mendBinding,
    ),
    ...plan('RoleBinding', 'rolebindings', bootstrapRoleBindings, roleBindings, mendBinding),
  ]
  for (const batch of [rolesFirst, bindings])
    await Promise.all(batch.map((mending) => carryOut(transport, mending)))
  return rolesFirst.length + bindings.length
}

interface Planned {
  readonly kind: string
  readonly resource: string
  readonly type: 'create' | 'update' | 'replace'
  readonly object: { readonly metadata: Partial<ObjectMeta> }
}

function plan<T extends KubeObject>(
  kind: string,
  resource: string,
  wanted: readonly Draft<T>[],
  found: readonly T[],
  mend: (wanted: Draft<T>, found: T | undefined) => Mending<T>,
): readonly Planned[] {
  const keyOf = ({ namespace = '', name = '' }: Partial<ObjectMeta>): string =>
    `${namespace}/${name}`
  const byKey = new Map(found.map((object) => [keyOf(object.metadata), object]))
  return wanted.flatMap((object) => {
    const mending = mend(object, byKey.get(keyOf(object.metadata)))
    return mending === undefined ? [] : [{ kind, resource, ...mending }]
  })
}

async function carryOut(
  transport: Transport,
  { kind, resource, type, object }: Planned,
): Promise<void> {
  const { name = '', namespace } = object.metadata
  const collection =
    namespace === undefined ? `${BASE}/${resource}` : `${BASE}/namespaces/${namespace}/${resource}`
  const path = `${collection}/${encodeURIComponent(name)}`
  const body = { ...object, apiVersion: 'rbac.authorization.k8s.io/v1', kind }
  const cause = 'rbac-bootstrap'
  try {
    if (type === 'update') {
      await transport.request({ method: 'PUT', path, body, cause })
      return
    }
    if (type === 'replace') await transport.request({ method: 'DELETE', path, cause })
    await transport.request({ method: 'POST', path: collection, body, cause })
  } catch (error) {
    // Another server of the same cluster was faster: it wanted the same.
    if (!isStatus(error, 'AlreadyExists') && !isStatus(error, 'Conflict')) throw error
  }
}
