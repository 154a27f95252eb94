/** A pod with all that scheduling asks of it, worked out once. */
import type { Pod, PodAffinityTerm, Toleration } from '#api'
import { keyOf, type LabelSelector } from '#machinery'
import { podRequests, podRequestsForScoring, type Resources } from './resources.ts'
import {
  compileNodeAffinity,
  compileSelector,
  labelsOf,
  type Labels,
  type Matches,
} from './selectors.ts'
import type { Node } from '#api'

export interface PodInfo {
  readonly pod: Pod
  /** `namespace/name`. */
  readonly key: string
  readonly uid: string
  readonly namespace: string
  readonly labels: Labels
  readonly priority: number
  readonly tolerations: readonly Toleration[]
  readonly requests: Resources
  /** With a minimum for containers that ask for nothing. */
  readonly scoringRequests: Resources
  readonly hostPorts: readonly HostPort[]
  /** Absent when any node will do. */
  readonly nodeAffinity: Matches<Node> | undefined
  readonly requiredAffinity: readonly AffinityTerm[]
  readonly requiredAntiAffinity: readonly AffinityTerm[]
  readonly preferredAffinity: readonly WeightedTerm[]
  readonly preferredAntiAffinity: readonly WeightedTerm[]
  readonly isTerminating: boolean
}

export interface HostPort {
  readonly ip: string
  readonly protocol: string
  readonly port: number
}

/** Which pods a term means, and over which topology it counts them. */
export interface AffinityTerm {
  /** The same for terms that mean the same pods. */
  readonly id: string
  readonly topologyKey: string
  readonly matches: PodMatcher
}

interface WeightedTerm extends AffinityTerm {
  readonly weight: number
}

/** Labels of a namespace, for terms that select namespaces by them. */
export type NamespaceLabels = (namespace: string) => Labels
type PodMatcher = (pod: PodInfo, namespaceLabels: NamespaceLabels) => boolean

export function createPodInfo(pod: Pod): PodInfo {
  const { metadata, spec } = pod
  const affinity = spec.affinity?.podAffinity
  const anti = spec.affinity?.podAntiAffinity
  const term = (from: PodAffinityTerm) => compileTerm(from, pod)
  const weighted = ({
    weight,
    podAffinityTerm,
  }: {
    weight: number
    podAffinityTerm: PodAffinityTerm
  }) => ({
    ...term(podAffinityTerm),
    weight,
  })
  return {
    pod,
    key: keyOf(pod),
    uid: metadata.uid ?? keyOf(pod),
    namespace: metadata.namespace ?? '',
    labels: labelsOf(pod),
    priority: spec.priority ?? 0,
    tolerations: spec.tolerations ?? NONE,
    requests: podRequests(pod),
    scoringRequests: podRequestsForScoring(pod),
    hostPorts: hostPortsOf(pod),
    nodeAffinity: compileNodeAffinity(pod),
    requiredAffinity: affinity?.requiredDuringSchedulingIgnoredDuringExecution?.map(term) ?? NONE,
    requiredAntiAffinity: anti?.requiredDuringSchedulingIgnoredDuringExecution?.map(term) ?? NONE,
    preferredAffinity:
      affinity?.preferredDuringSchedulingIgnoredDuringExecution?.map(weighted) ?? NONE,
    preferredAntiAffinity:
      anti?.preferredDuringSchedulingIgnoredDuringExecution?.map(weighted) ?? NONE,
    isTerminating: metadata.deletionTimestamp !== undefined,
  }
}

const NONE: readonly never[] = []

function hostPortsOf({ spec }: Pod): readonly HostPort[] {
  const ports: HostPort[] = []
  const sidecars = (spec.initContainers ?? []).filter(
    ({ restartPolicy }) => restartPolicy === 'Always',
  )
  for (const { ports: ofContainer = [] } of [...spec.containers, ...sidecars])
    for (const { hostPort = 0, hostIP, protocol = 'TCP' } of ofContainer)
      if (hostPort > 0)
        ports.push({
          ip: hostIP === undefined || hostIP === '' ? '0.0.0.0' : hostIP,
          protocol,
          port: hostPort,
        })
  return ports.length === 0 ? NONE : ports
}

function compileTerm(term: PodAffinityTerm, owner: Pod): AffinityTerm {
  const { topologyKey, namespaces = [], namespaceSelector } = term
  const selector = withLabelKeys(term, labelsOf(owner))
  const selects = compileSelector(selector)
  const own = owner.metadata.namespace ?? ''
  // Without names and selector, the pod's own namespace is meant.
  const names = namespaces.length === 0 && namespaceSelector === undefined ? [own] : namespaces
  const inNamespace = namespaceSelector && compileSelector(namespaceSelector)
  return {
    id: JSON.stringify([names, namespaceSelector ?? 0, selector ?? 0]),
    topologyKey,
    matches: (pod, namespaceLabels) =>
      (names.includes(pod.namespace) || inNamespace?.(namespaceLabels(pod.namespace)) === true) &&
      selects(pod.labels),
  }
}

/** The selector, narrowed to pods that have the same (or other) values as the owner for some keys. */
export function withLabelKeys(
  {
    labelSelector,
    matchLabelKeys = [],
    mismatchLabelKeys = [],
  }: {
    readonly labelSelector?: LabelSelector
    readonly matchLabelKeys?: readonly string[]
    readonly mismatchLabelKeys?: readonly string[]
  },
  labels: Labels,
): LabelSelector | undefined {
  if (
    labelSelector === undefined ||
    (matchLabelKeys.length === 0 && mismatchLabelKeys.length === 0)
  )
    return labelSelector
  const rule = (operator: string) => (key: string) => {
    const value = labels[key]
    return value === undefined ? [] : [{ key, operator, values: [value] }]
  }
  return {
    ...labelSelector,
    matchExpressions: [
      ...(labelSelector.matchExpressions ?? []),
      ...matchLabelKeys.flatMap(rule('In')),
      ...mismatchLabelKeys.flatMap(rule('NotIn')),
    ],
  }
}

/** Pods with this text in common are treated alike by all plugins that look at pod and node alone. */
export function classOf({ spec }: Pod): string {
  const {
    containers,
    initContainers,
    tolerations,
    nodeSelector,
    affinity,
    overhead,
    resources,
    nodeName,
  } = spec
  const asks = (container: {
    image?: string
    resources?: unknown
    ports?: unknown
    restartPolicy?: string
  }) => [container.image, container.resources, container.ports, container.restartPolicy]
  return JSON.stringify([
    containers.map(asks),
    initContainers?.map(asks),
    tolerations,
    nodeSelector,
    affinity,
    overhead,
    resources,
    nodeName,
    spec.priority,
  ])
}
