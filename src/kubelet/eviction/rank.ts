/** Who has to go first when a node runs short. */
import type { Pod } from '#api'
import { podRequests } from '../pod/resources.ts'
import type { Resource } from './signals.ts'

/** What a pod uses, in bytes, inodes and processes; absent where that is not known. */
export interface PodUse {
  readonly memoryBytes?: number
  readonly diskBytes?: number
  readonly inodes?: number
  readonly processes?: number
  /** By name. */
  readonly containers: ReadonlyMap<
    string,
    { readonly memoryBytes: number; readonly diskBytes: number }
  >
  /** Bytes, by name. */
  readonly volumes: ReadonlyMap<string, number>
}

/** Pods of this priority and above keep the cluster itself alive. */
const CRITICAL_PRIORITY = 2_000_000_000
const MIRROR = 'kubernetes.io/config.mirror'
const SOURCE = 'kubernetes.io/config.source'

export const isCritical = ({ metadata, spec }: Pod): boolean =>
  (spec.priority ?? 0) >= CRITICAL_PRIORITY ||
  metadata.annotations?.[MIRROR] !== undefined ||
  (metadata.annotations?.[SOURCE] ?? 'api') !== 'api'

/** First those that use more than they asked for, then by priority, then by how much more. What is unknown goes first. */
export function ranked(
  pods: readonly Pod[],
  uses: ReadonlyMap<string, PodUse>,
  resource: Resource,
): readonly Pod[] {
  const rows = pods.map((pod) => {
    const use = uses.get(pod.metadata.uid ?? '')
    const [used, asked] = amounts(pod, use, resource)
    return {
      pod,
      exceeds: resource === 'pids' ? 0 : used === undefined || used > asked ? 1 : 0,
      priority: pod.spec.priority ?? 0,
      above: used === undefined ? Number.POSITIVE_INFINITY : used - asked,
    }
  })
  return rows
    .toSorted(
      (a, b) => b.exceeds - a.exceeds || a.priority - b.priority || compare(b.above, a.above),
    )
    .map(({ pod }) => pod)
}

const compare = (a: number, b: number): number => (a === b ? 0 : a < b ? -1 : 1)

function amounts(
  pod: Pod,
  use: PodUse | undefined,
  resource: Resource,
): readonly [used: number | undefined, asked: number] {
  const asked = podRequests(pod)
  switch (resource) {
    case 'memory':
      return [use?.memoryBytes, asked['memory'] ?? 0]
    case 'ephemeral-storage':
      return [use?.diskBytes, asked['ephemeral-storage'] ?? 0]
    case 'inodes':
      return [use?.inodes, 0]
    case 'pids':
      return [use?.processes, 0]
  }
}
