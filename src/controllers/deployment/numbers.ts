/** The arithmetic of a rollout. */
import type { Deployment, ReplicaSet } from '#api'

export const DESIRED = 'deployment.kubernetes.io/desired-replicas'
export const MAX = 'deployment.kubernetes.io/max-replicas'

/** `25%` of a total, rounded up or down; a plain number is itself. */
export function resolvePercent(
  value: number | string | undefined,
  total: number,
  round: 'up' | 'down',
): number {
  if (value === undefined) return 0
  if (typeof value === 'number') return value
  const exact = (Number.parseInt(value, 10) * total) / 100
  return round === 'up' ? Math.ceil(exact) : Math.floor(exact)
}

export interface Bounds {
  readonly maxSurge: number
  readonly maxUnavailable: number
}

/** Both may round to zero, and then nothing could ever move: one pod may be missing. */
export function boundsOf({ spec }: Deployment): Bounds {
  const replicas = spec.replicas ?? 1
  if (spec.strategy?.type === 'Recreate' || replicas === 0)
    return { maxSurge: 0, maxUnavailable: 0 }
  const rolling = spec.strategy?.rollingUpdate
  const maxSurge = resolvePercent(rolling?.maxSurge, replicas, 'up')
  let maxUnavailable = resolvePercent(rolling?.maxUnavailable, replicas, 'down')
  if (maxSurge === 0 && maxUnavailable === 0) maxUnavailable = 1
  return { maxSurge, maxUnavailable: Math.min(maxUnavailable, replicas) }
}

export const wantedOf = ({ spec }: ReplicaSet): number => spec.replicas ?? 1
export const sum = (sets: readonly ReplicaSet[], of: (set: ReplicaSet) => number): number =>
  sets.reduce((total, set) => total + of(set), 0)
export const availableOf = ({ status }: ReplicaSet): number => status?.availableReplicas ?? 0

/** When the number changes in the middle of a rollout, each ReplicaSet gets its share of the change, the largest first. */
export function proportionalSizes(
  deployment: Deployment,
  sets: readonly ReplicaSet[],
): ReadonlyMap<ReplicaSet, number> {
  const sizes = new Map<ReplicaSet, number>()
  const replicas = deployment.spec.replicas ?? 1
  const allowed = replicas > 0 ? replicas + boundsOf(deployment).maxSurge : 0
  const total = sum(sets, wantedOf)
  const toAdd = allowed - total
  const byGrowth = sets.toSorted((a, b) => {
    const bySize = wantedOf(b) - wantedOf(a)
    if (bySize !== 0) return bySize
    const [left, right] = [
      Date.parse(a.metadata.creationTimestamp),
      Date.parse(b.metadata.creationTimestamp),
    ]
    return toAdd > 0 ? right - left : left - right
  })
  let added = 0
  for (const set of byGrowth) {
    let share = 0
    const left = toAdd - added
    if (toAdd !== 0 && wantedOf(set) > 0 && left !== 0) {
      const before =
        Number(set.metadata.annotations?.[MAX] ?? 0) || deployment.status?.replicas || total
      const exact = (wantedOf(set) * allowed) / before
      share = Math.round(exact) - wantedOf(set)
      share = toAdd > 0 ? Math.min(Math.max(share, 0), left) : Math.max(Math.min(share, 0), left)
    }
    sizes.set(set, wantedOf(set) + share)
    added += share
  }
  const [largest] = byGrowth
  if (largest !== undefined && added !== toAdd)
    sizes.set(largest, Math.max(0, (sizes.get(largest) ?? 0) + toAdd - added))
  return sizes
}
