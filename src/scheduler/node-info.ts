/** A node with the pods on it, and what they leave. Changed only by the snapshot that owns it. */
import type { Node, Taint } from '#api'
import type { HostPort, PodInfo } from './pod-info.ts'
import { addTo, amountsOf, subtractFrom, type Resources } from './resources.ts'
import { labelsOf, type Labels } from './selectors.ts'

/** A node with its pods and what is left on it. */
export class NodeInfo {
  readonly name: string
  /** Absent while pods are known of a node that is not (yet, or any more). */
  node: Node | undefined
  labels: Labels = {}
  taints: readonly Taint[] = []
  allocatable: Resources = {}
  /** Bytes by image name. */
  images: ReadonlyMap<string, number> = NO_IMAGES
  readonly pods = new Map<string, PodInfo>()
  readonly requested: Record<string, number> = {}
  readonly scoringRequested: Record<string, number> = {}
  /** `protocol/port` to the addresses that hold it, with how many pods do. */
  readonly #ports = new Map<string, Map<string, number>>()
  /** Grows with every change. */
  generation = 0

  constructor(name: string) {
    this.name = name
  }

  set(node: Node | undefined): void {
    this.generation++
    this.node = node
    this.labels = node === undefined ? {} : labelsOf(node)
    this.taints = node?.spec?.taints ?? []
    this.allocatable = amountsOf(node?.status?.allocatable)
    const images = new Map<string, number>()
    for (const { names = [], sizeBytes = 0 } of node?.status?.images ?? [])
      for (const name of names) images.set(name, Number(sizeBytes))
    this.images = images
  }

  add(pod: PodInfo): void {
    this.generation++
    this.pods.set(pod.uid, pod)
    addTo(this.requested, pod.requests)
    addTo(this.scoringRequested, pod.scoringRequests)
    for (const port of pod.hostPorts) this.#count(port, 1)
  }

  remove(pod: PodInfo): void {
    if (!this.pods.delete(pod.uid)) return
    this.generation++
    subtractFrom(this.requested, pod.requests)
    subtractFrom(this.scoringRequested, pod.scoringRequests)
    for (const port of pod.hostPorts) this.#count(port, -1)
  }

  /** The wildcard address conflicts with every other. */
  hasPort({ ip, protocol, port }: HostPort): boolean {
    const addresses = this.#ports.get(`${protocol}/${port}`)
    if (addresses === undefined) return false
    return ip === '0.0.0.0' || addresses.has('0.0.0.0') || addresses.has(ip)
  }

  #count({ ip, protocol, port }: HostPort, by: 1 | -1): void {
    const key = `${protocol}/${port}`
    const addresses = this.#ports.get(key) ?? new Map<string, number>()
    const count = (addresses.get(ip) ?? 0) + by
    if (count > 0) addresses.set(ip, count)
    else addresses.delete(ip)
    if (addresses.size > 0) this.#ports.set(key, addresses)
    else this.#ports.delete(key)
  }
}

const NO_IMAGES: ReadonlyMap<string, number> = new Map()
