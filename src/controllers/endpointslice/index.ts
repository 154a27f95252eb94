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

/** One of the selector's pairs, so that pods and Services find each other without looking at all of them. */
const pairOf = ({ metadata, spec }: Service): readonly string[] => {
  const [pair] = Object.entries(spec.selector ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return pair === undefined ? [] : [`${metadata.namespace}/${pair[0]}=${pair[1]}`]
}
const pairsOf = ({ metadata }: Pod): readonly string[] =>
  Object.entries(metadata.labels ?? {}).map(
    ([key, value]) => `${metadata.namespace}/${key}=${value}`,
  )

/** What `servicesOf` and `podsOf` look things up by. */
export const selectionIndexes = [
  { ref: services, name: 'selector-pair', values: pairOf },
  { ref: pods, name: 'label-pairs', values: pairsOf },
] as const

/** Services that select the pod as it is or as it was. */
export function servicesOf(pod: Pod, old: Pod | undefined, cache: Cache): readonly string[] {
  const selecting = (each: Pod): readonly string[] =>
    pairsOf(each)
      .flatMap((pair) => cache.by(services, 'selector-pair', pair))
      .filter((service) => selects(service, each.metadata.labels))
      .map(keyOf)
  return old === undefined || old.metadata.labels === pod.metadata.labels
    ? selecting(pod)
    : [...new Set([...selecting(pod), ...selecting(old)])]
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
  pairOf(service)
    .flatMap((pair) => cache.by(pods, 'label-pairs', pair))
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
    ...selectionIndexes,
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
