/**
 * How many pods that match something are in each topology domain, kept up to date as pods come and go:
 * affinity and spreading ask for the same counts pod after pod, and counting anew costs a pass over all.
 */
import type { NodeInfo } from './node-info.ts'
import type { PodInfo } from './pod-info.ts'

/** Counts by the value of a topology label. */
export type DomainCounts = ReadonlyMap<string, number>

export class PodCounts {
  readonly #weightOf: (pod: PodInfo) => number
  readonly #byNode = new Map<NodeInfo, number>()
  readonly #byKey = new Map<string, Map<string, number>>()
  /** Over all nodes. */
  total = 0

  /** `weightOf` says how much a pod counts: 0 when it does not match. */
  constructor(weightOf: (pod: PodInfo) => number, nodes: Iterable<NodeInfo>) {
    this.#weightOf = weightOf
    for (const node of nodes) for (const pod of node.pods.values()) this.add(pod, node)
  }

  add(pod: PodInfo, node: NodeInfo): void {
    this.#change(this.#weightOf(pod), node)
  }
  remove(pod: PodInfo, node: NodeInfo): void {
    this.#change(-this.#weightOf(pod), node)
  }

  onNode(node: NodeInfo): number {
    return this.#byNode.get(node) ?? 0
  }

  /** Nodes that have any. */
  get nodes(): Iterable<readonly [NodeInfo, number]> {
    return this.#byNode
  }

  /** Nodes without the label are in no domain. */
  domains(topologyKey: string): DomainCounts {
    let counts = this.#byKey.get(topologyKey)
    if (counts !== undefined) return counts
    counts = new Map()
    this.#byKey.set(topologyKey, counts)
    for (const [node, count] of this.#byNode) raise(counts, domainOf(node, topologyKey), count)
    return counts
  }

  #change(by: number, node: NodeInfo): void {
    if (by === 0) return
    this.total += by
    raise(this.#byNode, node, by)
    for (const [key, counts] of this.#byKey) raise(counts, domainOf(node, key), by)
  }
}

/** The value of the node's label; a node that is not there is in no domain. */
const domainOf = ({ node, labels }: NodeInfo, topologyKey: string): string | undefined =>
  node === undefined ? undefined : labels[topologyKey]

function raise<K>(counts: Map<K, number>, key: K | undefined, by: number): void {
  if (key === undefined) return
  const count = (counts.get(key) ?? 0) + by
  if (count === 0) counts.delete(key)
  else counts.set(key, count)
}
