import {
  endpointSlices,
  nodes,
  pods,
  services,
  type EndpointSlice,
  type Pod,
  type Service,
} from '#api'
import { keyOf } from '#machinery'
import { defineController, watching, type Cache } from '../framework/index.ts'
import { decide, MANAGED_BY, MANAGER, SERVICE_NAME, type Observed } from './decide.ts'

const selects = (
  { spec }: Service,
  labels: Readonly<Record<string, string>> | undefined,
): boolean => {
  const selector = Object.entries(spec.selector ?? {})
  return selector.length > 0 && selector.every(([name, value]) => labels?.[name] === value)
}

/** Services that select the pod as it is or as it was. */
export function servicesOf(pod: Pod, old: Pod | undefined, cache: Cache): readonly string[] {
  return cache
    .list(services, pod.metadata.namespace)
    .filter(
      (service) =>
        selects(service, pod.metadata.labels) ||
        (old !== undefined &&
          old.metadata.labels !== pod.metadata.labels &&
          selects(service, old.metadata.labels)),
    )
    .map(keyOf)
}

/** What of a pod an endpoint shows: other changes need no look. */
export const endpointView = (pod: Pod | undefined): string =>
  pod === undefined
    ? ''
    : JSON.stringify([
        pod.metadata.labels,
        pod.metadata.deletionTimestamp !== undefined,
        pod.spec.nodeName,
        pod.status?.podIPs,
        pod.status?.podIP,
        pod.status?.phase,
        pod.status?.conditions?.find(({ type }) => type === 'Ready')?.status,
      ])

export const podsOf = (service: Service, cache: Cache): readonly Pod[] =>
  cache
    .list(pods, service.metadata.namespace)
    .filter((pod) => selects(service, pod.metadata.labels))

/** Keeps the slices of every Service with a selector. */
export const endpointSliceController = defineController<Observed>({
  name: 'endpointslice',
  for: services,
  watches: [
    watching<Pod>(pods, (pod, old, cache) =>
      old !== undefined && endpointView(pod) === endpointView(old)
        ? []
        : servicesOf(pod, old, cache),
    ),
    watching<EndpointSlice>(endpointSlices, ({ metadata }) =>
      metadata.labels?.[MANAGED_BY] === MANAGER && metadata.labels[SERVICE_NAME] !== undefined
        ? [`${metadata.namespace}/${metadata.labels[SERVICE_NAME]}`]
        : [],
    ),
  ],
  reads: [nodes],
  indexes: [
    {
      ref: endpointSlices,
      name: 'service',
      values: ({ metadata }: EndpointSlice) =>
        metadata.labels?.[MANAGED_BY] === MANAGER
          ? [`${metadata.namespace}/${metadata.labels[SERVICE_NAME]}`]
          : [],
    },
  ],
  observe(cache, key) {
    const service = cache.get(services, key)
    if (service === undefined) return undefined
    return {
      service,
      pods: podsOf(service, cache),
      slices: cache.by(endpointSlices, 'service', key),
      zoneOf: (node) => cache.get(nodes, node)?.metadata.labels?.['topology.kubernetes.io/zone'],
    }
  },
  decide,
})
