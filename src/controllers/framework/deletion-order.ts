/** Which of several pods to stop first. */
import type { Pod } from '#api'
import { isReady, readySince } from './pods.ts'

const PHASES: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 }
const DELETION_COST = 'controller.kubernetes.io/pod-deletion-cost'

const costOf = (pod: Pod): number => {
  const text = pod.metadata.annotations?.[DELETION_COST] ?? '0'
  return /^(0|-?[1-9]\d*)$/.test(text) ? Number(text) : 0
}

/** Those that are least missed come first: unassigned, pending, not ready, cheap, crowded, young, restarted. */
export function byDeletionOrder(
  now: Date,
  relatedByNode?: ReadonlyMap<string, number>,
): (a: Pod, b: Pod) => number {
  const rank = (pod: Pod): readonly number[] => [
    pod.spec.nodeName ? 1 : 0,
    PHASES[pod.status?.phase ?? 'Pending'] ?? 1,
    isReady(pod) ? 1 : 0,
    costOf(pod),
    -(relatedByNode?.get(pod.spec.nodeName ?? '') ?? 0),
    // The one that became ready last goes first; times are compared by their order of magnitude.
    isReady(pod) ? logarithmicAge(readySince(pod), now) : 0,
    -Math.max(0, ...(pod.status?.containerStatuses ?? []).map(({ restartCount }) => restartCount)),
    logarithmicAge(Date.parse(pod.metadata.creationTimestamp), now),
  ]
  return (a, b) => {
    const [left, right] = [rank(a), rank(b)]
    for (const [i, value] of left.entries()) {
      const difference = value - (right[i] ?? 0)
      if (difference !== 0) return difference
    }
    return a.metadata.uid < b.metadata.uid ? -1 : 1
  }
}

const logarithmicAge = (since: number, now: Date): number =>
  Math.floor(Math.log2(Math.max(1, now.getTime() - since)))
