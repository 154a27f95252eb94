import {
  endpoints,
  services,
  type Endpoints,
  type EndpointSubset,
  type Pod,
  type Service,
} from '#api'
import { keyOf } from '#machinery'
import { endpointOf, includes, portsFor } from '../endpointslice/endpoint.ts'
import {
  hasEndpoints,
  podsOf,
  selectionIndexes,
  watchingSelected,
} from '../endpointslice/selection.ts'
import {
  create,
  defineController,
  isTerminating,
  nothing,
  remove,
  sameJson,
  update,
  watching,
  type Decision,
} from '../framework/index.ts'

export interface Observed {
  readonly service: Service | undefined
  readonly current: Endpoints | undefined
  readonly pods: readonly Pod[]
}

const MANAGED = 'endpoints.kubernetes.io/managed-by'
const HEADLESS = 'service.kubernetes.io/headless'
const OVER_CAPACITY = 'endpoints.kubernetes.io/over-capacity'
const MAX_ADDRESSES = 1000

/** The older form of the same: one object for a Service, ready addresses and others. */
export function decide({ service, current, pods: selected }: Observed): Decision {
  if (service === undefined)
    return current?.metadata.labels?.[MANAGED] === 'endpoint-controller' && !isTerminating(current)
      ? { actions: [remove(endpoints, current)] }
      : nothing
  const { spec, metadata } = service
  if (!hasEndpoints(service)) return nothing
  const subsets = subsetsOf(service, selected)
  const { [HEADLESS]: _, ...inherited } = metadata.labels ?? {}
  const labels = {
    ...inherited,
    [MANAGED]: 'endpoint-controller',
    ...(spec.clusterIP === 'None' ? { [HEADLESS]: '' } : {}),
  }
  const truncated =
    subsets.reduce(
      (n, s) => n + (s.addresses?.length ?? 0) + (s.notReadyAddresses?.length ?? 0),
      0,
    ) > MAX_ADDRESSES
  const annotations = truncated ? { [OVER_CAPACITY]: 'truncated' } : undefined
  if (current === undefined) {
    return {
      actions: [
        create(endpoints, {
          metadata: {
            name: metadata.name,
            namespace: metadata.namespace ?? '',
            labels,
            ...(annotations === undefined ? {} : { annotations }),
          },
          ...(subsets.length > 0 ? { subsets } : {}),
        }),
      ],
    }
  }
  if (sameJson(current.subsets ?? [], subsets) && sameJson(current.metadata.labels ?? {}, labels))
    return nothing
  const { subsets: _old, ...rest } = current
  return {
    actions: [
      update(endpoints, {
        ...rest,
        metadata: { ...current.metadata, labels },
        ...(subsets.length > 0 ? { subsets } : {}),
      }),
    ],
  }
}

function subsetsOf(service: Service, selected: readonly Pod[]): readonly EndpointSubset[] {
  const groups = new Map<
    string,
    { ports: unknown; addresses: object[]; notReadyAddresses: object[] }
  >()
  for (const pod of selected) {
    if (!includes(service, pod)) continue
    const family = service.spec.ipFamilies?.[0] === 'IPv6' ? 'IPv6' : 'IPv4'
    const endpoint = endpointOf(service, pod, family, () => undefined)
    if (endpoint === undefined) continue
    // Terminating pods are only in the slices, unless they are wanted at any rate.
    if (endpoint.conditions?.terminating === true && service.spec.publishNotReadyAddresses !== true)
      continue
    const ports = portsFor(service, pod).map(({ name, ...port }) =>
      name === '' ? port : { name, ...port },
    )
    if (ports.length === 0 && (service.spec.ports ?? []).length > 0) continue
    const key = JSON.stringify(ports)
    const group = groups.get(key) ?? { ports, addresses: [], notReadyAddresses: [] }
    groups.set(key, group)
    const address = {
      ip: endpoint.addresses[0] ?? '',
      ...(endpoint.hostname === undefined ? {} : { hostname: endpoint.hostname }),
      ...(endpoint.nodeName === undefined ? {} : { nodeName: endpoint.nodeName }),
      targetRef: endpoint.targetRef,
    }
    if (endpoint.conditions?.ready === true) group.addresses.push(address)
    else if (pod.spec.restartPolicy !== 'Never' || pod.status?.phase !== 'Failed')
      group.notReadyAddresses.push(address)
  }
  const byIp = (a: object, b: object): number =>
    (a as { ip: string }).ip < (b as { ip: string }).ip ? -1 : 1
  return [...groups.entries()]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { ports, addresses, notReadyAddresses }]) => ({
      ...(addresses.length > 0
        ? { addresses: addresses.toSorted(byIp).slice(0, MAX_ADDRESSES) as never }
        : {}),
      ...(notReadyAddresses.length > 0
        ? { notReadyAddresses: notReadyAddresses.toSorted(byIp).slice(0, MAX_ADDRESSES) as never }
        : {}),
      ...((ports as unknown[]).length > 0 ? { ports: ports as never } : {}),
    }))
}

/** Keeps the Endpoints object of every Service with a selector. */
export const endpointsController = defineController<Observed>({
  name: 'endpoint',
  for: services,
  watches: [watchingSelected, watching<Endpoints>(endpoints, (object) => [keyOf(object)])],
  indexes: selectionIndexes,
  observe(cache, key) {
    const service = cache.get(services, key)
    return {
      service,
      current: cache.get(endpoints, key),
      pods: service === undefined ? [] : podsOf(service, cache),
    }
  },
  decide,
})
