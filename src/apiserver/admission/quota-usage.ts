/** What an object uses of a ResourceQuota, and which quotas count it. Pure. */
import {
  PLAINLY_COUNTED,
  type PersistentVolumeClaim,
  type Pod,
  type PodSpec,
  type ResourceQuota,
  type ScopedResourceSelectorRequirement,
  type Service,
} from '#api'
import { addQuantities, quantityValue, type ResourceList } from '#machinery'
import { podTotal } from './pod-resources.ts'
import { amounts } from './words.ts'

const STORAGE_CLASS = '.storageclass.storage.k8s.io'

/** Amounts by the names that quotas use. `resource` has its group after a dot, core resources have none. */
export function usageOf(resource: string, object: unknown): ResourceList {
  const counts: Record<string, string> = {
    [`count/${resource}`]: '1',
    ...(PLAINLY_COUNTED.includes(resource) ? { [resource]: '1' } : {}),
  }
  if (resource === 'pods') return { ...counts, ...podUsage(object as Pod) }
  if (resource === 'services') return { ...counts, ...serviceUsage(object as Service) }
  if (resource === 'persistentvolumeclaims')
    return { ...counts, ...claimUsage(object as PersistentVolumeClaim) }
  return counts
}

function podUsage({ spec }: Pod): ResourceList {
  const usage: Record<string, string> = {}
  if (spec === undefined) return usage
  for (const [name, amount] of Object.entries(podTotal(spec, 'requests'))) {
    usage[`requests.${name}`] = amount
    if (name === 'cpu' || name === 'memory' || name === 'ephemeral-storage') usage[name] = amount
    else if (name.startsWith('hugepages-')) usage[name] = amount
  }
  for (const [name, amount] of Object.entries(podTotal(spec, 'limits')))
    usage[`limits.${name}`] = amount
  return usage
}

function serviceUsage({ spec }: Service): ResourceList {
  const ports = spec?.ports?.length ?? 0
  const balanced = spec?.type === 'LoadBalancer'
  const allocates = !balanced || spec?.allocateLoadBalancerNodePorts !== false
  const assigned = (spec?.ports ?? []).filter(({ nodePort }) => nodePort).length
  const nodePorts = spec?.type === 'NodePort' || balanced ? (allocates ? ports : assigned) : 0
  return {
    'services.nodeports': String(nodePorts),
    'services.loadbalancers': balanced ? '1' : '0',
  }
}

function claimUsage({ metadata, spec, status }: PersistentVolumeClaim): ResourceList {
  const asked = amounts(spec?.resources?.requests)['storage']
  const granted = amounts(status?.allocatedResources)['storage']
  const storage =
    asked !== undefined && granted !== undefined && quantityValue(granted) > quantityValue(asked)
      ? granted
      : asked
  const className =
    metadata.annotations?.['volume.beta.kubernetes.io/storage-class'] ?? spec?.storageClassName
  return {
    ...(storage === undefined ? {} : { 'requests.storage': storage }),
    ...(className
      ? {
          [`${className}${STORAGE_CLASS}/persistentvolumeclaims`]: '1',
          ...(storage === undefined
            ? {}
            : { [`${className}${STORAGE_CLASS}/requests.storage`]: storage }),
        }
      : {}),
  }
}

/** Whether the quota's scopes let it count the object. Scopes are about pods, and one about claims. */
export function inScope(quota: ResourceQuota, resource: string, object: unknown): boolean {
  const requirements: readonly ScopedResourceSelectorRequirement[] = [
    ...(quota.spec?.scopes ?? []).map(
      (scopeName) => ({ scopeName, operator: 'Exists' }) as ScopedResourceSelectorRequirement,
    ),
    ...(quota.spec?.scopeSelector?.matchExpressions ?? []),
  ]
  return requirements.every((requirement) => {
    if (resource === 'persistentvolumeclaims' && requirement.scopeName === 'VolumeAttributesClass')
      return matchesValue(
        requirement,
        (object as PersistentVolumeClaim).spec?.volumeAttributesClassName,
      )
    return resource === 'pods' && podInScope(requirement, (object as Pod).spec)
  })
}

function podInScope(
  requirement: ScopedResourceSelectorRequirement,
  spec: PodSpec | undefined,
): boolean {
  switch (requirement.scopeName) {
    case 'Terminating':
      return spec?.activeDeadlineSeconds !== undefined
    case 'NotTerminating':
      return spec?.activeDeadlineSeconds === undefined
    case 'BestEffort':
      return isBestEffort(spec)
    case 'NotBestEffort':
      return !isBestEffort(spec)
    case 'PriorityClass':
      return matchesValue(requirement, spec?.priorityClassName)
    case 'CrossNamespacePodAffinity':
      return crossesNamespaces(spec)
    default:
      return false
  }
}

function matchesValue(
  { operator, values = [] }: ScopedResourceSelectorRequirement,
  value: string | undefined,
): boolean {
  switch (operator) {
    case 'In':
      return value !== undefined && value !== '' && values.includes(value)
    case 'NotIn':
      return !values.includes(value ?? '')
    case 'Exists':
      return value !== undefined && value !== ''
    case 'DoesNotExist':
      return value === undefined || value === ''
    default:
      return false
  }
}

const isBestEffort = (spec: PodSpec | undefined): boolean =>
  [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].every(({ resources }) =>
    (['cpu', 'memory'] as const).every(
      (name) => !(name in amounts(resources?.requests)) && !(name in amounts(resources?.limits)),
    ),
  )

function crossesNamespaces(spec: PodSpec | undefined): boolean {
  return [spec?.affinity?.podAffinity, spec?.affinity?.podAntiAffinity].some((affinity) =>
    [
      ...(affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
      ...(affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(
        ({ podAffinityTerm }) => podAffinityTerm,
      ),
    ].some((term) => (term?.namespaces?.length ?? 0) > 0 || term?.namespaceSelector !== undefined),
  )
}

/** Compute resources that a quota limits and a container therefore must state. */
const MUST_STATE: Readonly<Record<string, readonly ['requests' | 'limits', string]>> = {
  cpu: ['requests', 'cpu'],
  memory: ['requests', 'memory'],
  'requests.cpu': ['requests', 'cpu'],
  'requests.memory': ['requests', 'memory'],
  'limits.cpu': ['limits', 'cpu'],
  'limits.memory': ['limits', 'memory'],
}

/** `must specify limits.cpu for: a,b; requests.memory for: a`; undefined when all is stated. */
export function unstated(spec: PodSpec, hard: ResourceList): string | undefined {
  const missing = Object.keys(hard)
    .toSorted()
    .flatMap((name) => {
      const [which, resource] = MUST_STATE[name] ?? []
      if (which === undefined || resource === undefined) return []
      if (resource in amounts(spec.resources?.[which])) return []
      const names = [...(spec.initContainers ?? []), ...(spec.containers ?? [])]
        .filter(({ resources }) => !(resource in amounts(resources?.[which])))
        .map((container) => container.name)
      return names.length === 0 ? [] : [`${name} for: ${names.toSorted().join(',')}`]
    })
  return missing.length === 0 ? undefined : `must specify ${missing.join('; ')}`
}

/** Only those amounts that the names pick. */
export const pick = (list: ResourceList, names: readonly string[]): ResourceList =>
  Object.fromEntries(Object.entries(list).filter(([name]) => names.includes(name)))

export const plus = (a: ResourceList, b: ResourceList): ResourceList => ({
  ...a,
  ...Object.fromEntries(Object.entries(b).map(([name, x]) => [name, addQuantities(a[name], x)])),
})

/** `cpu=1,pods=2` */
export const showAmounts = (list: ResourceList): string =>
  Object.entries(list)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, amount]) => `${name}=${amount}`)
    .join(',')
