/** Which pods are the endpoints of which Services. */
import { pods, services, type Pod, type Service } from '#api'
import { keyOf } from '#machinery'
import { isTerminating, watching, type Cache, type Watch } from '../framework/index.ts'

/** Services without a selector have endpoints of somebody else's making, those that are names elsewhere have none. */
export const hasEndpoints = (service: Service): boolean =>
  !isTerminating(service) &&
  Object.keys(service.spec.selector ?? {}).length > 0 &&
  service.spec.type !== 'ExternalName'

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
const pairsOf = ({ metadata: { namespace, labels } }: Pod): readonly string[] => {
  if (labels === undefined) return NO_PAIRS
  // A pod that has changed is put into the index, and then its Services are looked for.
  if (labels !== last.labels || namespace !== last.namespace) {
    const pairs = Object.entries(labels).map(([key, value]) => `${namespace}/${key}=${value}`)
    last = { labels, namespace, pairs }
  }
  return last.pairs
}
const NO_PAIRS: readonly string[] = []
let last: {
  readonly labels: Pod['metadata']['labels']
  readonly namespace: string | undefined
  readonly pairs: readonly string[]
} = { labels: undefined, namespace: undefined, pairs: NO_PAIRS }

/** What pods and Services are looked up by. */
export const selectionIndexes = [
  { ref: services, name: 'selector-pair', values: pairOf },
  { ref: pods, name: 'label-pairs', values: pairsOf },
] as const

/** Services that select the pod as it is or as it was. */
function servicesOf(pod: Pod, old: Pod | undefined, cache: Cache): readonly string[] {
  const selecting = (each: Pod): readonly string[] => {
    const keys: string[] = []
    for (const pair of pairsOf(each))
      for (const service of cache.by(services, 'selector-pair', pair))
        if (selects(service, each.metadata.labels)) keys.push(keyOf(service))
    return keys
  }
  return old === undefined || old.metadata.labels === pod.metadata.labels
    ? selecting(pod)
    : [...new Set([...selecting(pod), ...selecting(old)])]
}

/** What of a pod an endpoint shows: other changes need no look. */
const endpointView = (pod: Pod | undefined): string =>
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

/** The pods that the Service selects. */
export const podsOf = (service: Service, cache: Cache): readonly Pod[] =>
  pairOf(service)
    .flatMap((pair) => cache.by(pods, 'label-pairs', pair))
    .filter((pod) => selects(service, pod.metadata.labels))

/** A Service is looked at when a pod that it selects has changed, as far as endpoints show it. */
export const watchingSelected: Watch = watching<Pod>(pods, (pod, old, cache) =>
  old !== undefined && endpointView(pod) === endpointView(old) ? [] : servicesOf(pod, old, cache),
)
