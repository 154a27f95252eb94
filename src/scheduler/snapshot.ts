/**
 * The cluster as one scheduling decision sees it. A decision runs without waiting, so that it reads the
 * live state; what it tries out (`without`, `with`) it takes back before it ends.
 */
import type { Node } from '#api'
import { NodeInfo } from './node-info.ts'
import { PodCounts } from './pod-counts.ts'
import type { AffinityTerm, NamespaceLabels, PodInfo } from './pod-info.ts'
import type { Labels } from './selectors.ts'

const ZONE = 'topology.kubernetes.io/zone'
const REGION = 'topology.kubernetes.io/region'
/** Counts kept; the least recently asked for are dropped. */
const MAX_COUNTS = 256

/** What pods ask of others, kept for the others' sake. */
export interface OwnedTerm {
  readonly term: AffinityTerm
  readonly weight: number
  /** Of the pods that ask, by node. */
  readonly owners: PodCounts
}
export type OwnedKind = 'requiredAffinity' | 'requiredAntiAffinity' | 'preferred'

/** All nodes with their pods as the scheduler sees them, changed with each event. */
export class Snapshot {
  readonly #nodes = new Map<string, NodeInfo>()
  #list: readonly NodeInfo[] | undefined
  readonly #placed = new Map<string, { pod: PodInfo; node: NodeInfo }>()
  readonly #counts = new Map<string, PodCounts>()
  readonly #owned: Record<OwnedKind, Map<string, OwnedTerm>> = {
    requiredAffinity: new Map(),
    requiredAntiAffinity: new Map(),
    preferred: new Map(),
  }
  readonly #namespaces = new Map<string, Labels>()
  readonly #nominated = new Map<string, { pod: PodInfo; nodeName: string }>()
  readonly #imageNodes = new Map<string, number>()
  #softTaints = 0
  /** Grows whenever a node may have become better for some pod: not when a pod is placed. */
  generation = 0

  /** Nodes that exist, zones taking turns, so that a partial look sees all zones. */
  get nodes(): readonly NodeInfo[] {
    return (this.#list ??= inTurns(
      [...this.#nodes.values()].filter(({ node }) => node !== undefined),
    ))
  }
  node(name: string): NodeInfo | undefined {
    const info = this.#nodes.get(name)
    return info?.node === undefined ? undefined : info
  }
  /** Where the pod is, or is assumed to be. */
  placeOf(uid: string): NodeInfo | undefined {
    return this.#placed.get(uid)?.node
  }
  podOf(uid: string): PodInfo | undefined {
    return this.#placed.get(uid)?.pod
  }

  readonly namespaceLabels: NamespaceLabels = (namespace) =>
    this.#namespaces.get(namespace) ?? NO_LABELS

  /** Some node has a taint that only discourages. */
  get hasSoftTaints(): boolean {
    return this.#softTaints > 0
  }
  /** How many nodes have the image. */
  nodesWithImage(name: string): number {
    return this.#imageNodes.get(name) ?? 0
  }

  setNode(node: Node): NodeInfo {
    const { name } = node.metadata
    let info = this.#nodes.get(name)
    if (info === undefined) {
      info = new NodeInfo(name)
      this.#nodes.set(name, info)
    }
    this.#changeNode(info, node)
    return info
  }

  removeNode(name: string): void {
    const info = this.#nodes.get(name)
    if (info === undefined) return
    this.#changeNode(info, undefined)
    if (info.pods.size === 0) this.#nodes.delete(name)
  }

  #changeNode(info: NodeInfo, node: Node | undefined): void {
    this.generation++
    const labels = node?.metadata.labels ?? {}
    const sameDomains =
      (info.node === undefined) === (node === undefined) && sameLabels(info.labels, labels)
    this.#noteNode(info, -1)
    if (sameDomains) info.set(node)
    else {
      // Its pods are in other domains now.
      const pods = [...info.pods.values()]
      for (const pod of pods) this.#countPod(pod, info, 'remove')
      info.set(node)
      for (const pod of pods) this.#countPod(pod, info, 'add')
      this.#list = undefined
    }
    this.#noteNode(info, 1)
  }

  #noteNode({ node, taints, images }: NodeInfo, by: 1 | -1): void {
    if (node === undefined) return
    for (const { effect } of taints) if (effect === 'PreferNoSchedule') this.#softTaints += by
    for (const name of images.keys())
      this.#imageNodes.set(name, (this.#imageNodes.get(name) ?? 0) + by)
  }

  setNamespace(name: string, labels: Labels | undefined): void {
    if (sameLabels(this.#namespaces.get(name) ?? NO_LABELS, labels ?? NO_LABELS)) return
    if (labels === undefined) this.#namespaces.delete(name)
    else this.#namespaces.set(name, labels)
    this.generation++
    // Which pods a term means may depend on it.
    this.#counts.clear()
  }

  /** Puts the pod on the node, instead of where and what it was before. */
  place(pod: PodInfo, nodeName: string): void {
    const before = this.#placed.get(pod.uid)
    if (before?.pod === pod && before.node.name === nodeName) return
    if (before !== undefined) {
      this.#take(before.pod, before.node)
      if (before.node.name !== nodeName || !sameLabels(before.pod.requests, pod.requests))
        this.generation++
    }
    let node = this.#nodes.get(nodeName)
    if (node === undefined) {
      node = new NodeInfo(nodeName)
      this.#nodes.set(nodeName, node)
    }
    this.#put(pod, node)
  }

  remove(uid: string): PodInfo | undefined {
    const placed = this.#placed.get(uid)
    if (placed === undefined) return undefined
    this.generation++
    const { pod, node } = placed
    this.#take(pod, node)
    if (node.node === undefined && node.pods.size === 0) this.#nodes.delete(node.name)
    return pod
  }

  #put(pod: PodInfo, node: NodeInfo): void {
    node.add(pod)
    this.#placed.set(pod.uid, { pod, node })
    this.#countPod(pod, node, 'add')
  }
  #take(pod: PodInfo, node: NodeInfo): void {
    this.#countPod(pod, node, 'remove')
    node.remove(pod)
    this.#placed.delete(pod.uid)
  }

  /** What `look` finds with these pods away. */
  without<T>(pods: readonly PodInfo[], node: NodeInfo, look: () => T): T {
    for (const pod of pods) this.#take(pod, node)
    try {
      return look()
    } finally {
      for (const pod of pods) this.#put(pod, node)
    }
  }

  /** What `look` finds with these pods there too. */
  with<T>(pods: readonly PodInfo[], node: NodeInfo, look: () => T): T {
    for (const pod of pods) this.#put(pod, node)
    try {
      return look()
    } finally {
      for (const pod of pods) this.#take(pod, node)
    }
  }

  /** Remembers that room was made for the pod on the node. */
  nominate(pod: PodInfo, nodeName: string | undefined): void {
    if (nodeName === undefined || nodeName === '') this.#nominated.delete(pod.uid)
    else this.#nominated.set(pod.uid, { pod, nodeName })
  }
  /** Pods that wait for room made for them on the node. */
  nominatedTo(nodeName: string): readonly PodInfo[] {
    if (this.#nominated.size === 0) return NO_PODS
    const found: PodInfo[] = []
    for (const { pod, nodeName: to } of this.#nominated.values())
      if (to === nodeName) found.push(pod)
    return found
  }
  nominationOf(uid: string): string | undefined {
    return this.#nominated.get(uid)?.nodeName
  }
  get hasNominations(): boolean {
    return this.#nominated.size > 0
  }

  /** How many pods match, in each domain. The id stands for what `matches` says. */
  count(id: string, matches: (pod: PodInfo) => boolean): PodCounts {
    let counts = this.#counts.get(id)
    if (counts === undefined) {
      counts = new PodCounts((pod) => (matches(pod) ? 1 : 0), this.#nodes.values())
      const [oldest] = this.#counts.keys()
      if (this.#counts.size >= MAX_COUNTS && oldest !== undefined) this.#counts.delete(oldest)
    } else this.#counts.delete(id)
    this.#counts.set(id, counts)
    return counts
  }
  countTerm({ id, matches }: AffinityTerm): PodCounts {
    return this.count(id, (pod) => matches(pod, this.namespaceLabels))
  }

  /** What pods that are placed ask of others. */
  owned(kind: OwnedKind): Iterable<OwnedTerm> {
    return this.#owned[kind].values()
  }

  #countPod(pod: PodInfo, node: NodeInfo, change: 'add' | 'remove'): void {
    for (const counts of this.#counts.values()) counts[change](pod, node)
    if (pod.pod.spec.affinity === undefined) return
    const own = (kind: OwnedKind, term: AffinityTerm, weight: number) => {
      const all = this.#owned[kind]
      const id = `${weight}${term.topologyKey}${term.id}`
      let owned = all.get(id)
      if (owned === undefined) {
        owned = { term, weight, owners: new PodCounts(() => 1, []) }
        all.set(id, owned)
      }
      owned.owners[change](pod, node)
      if (owned.owners.total === 0) all.delete(id)
    }
    for (const term of pod.requiredAffinity) own('requiredAffinity', term, 1)
    for (const term of pod.requiredAntiAffinity) own('requiredAntiAffinity', term, 1)
    for (const term of pod.preferredAffinity) own('preferred', term, term.weight)
    for (const term of pod.preferredAntiAffinity) own('preferred', term, -term.weight)
  }
}

const NO_LABELS: Labels = {}
const NO_PODS: readonly PodInfo[] = []

function sameLabels<V>(a: Readonly<Record<string, V>>, b: Readonly<Record<string, V>>): boolean {
  if (a === b) return true
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key])
}

function inTurns(nodes: readonly NodeInfo[]): readonly NodeInfo[] {
  const zones = Map.groupBy(nodes, ({ labels }) => `${labels[REGION] ?? ''}/${labels[ZONE] ?? ''}`)
  if (zones.size <= 1) return nodes
  const lists = [...zones.values()]
  const ordered: NodeInfo[] = []
  for (let at = 0; ordered.length < nodes.length; at++)
    for (const list of lists) {
      const node = list[at]
      if (node !== undefined) ordered.push(node)
    }
  return ordered
}
