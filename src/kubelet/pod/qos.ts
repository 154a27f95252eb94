/** Quality of service: who is killed first when a node runs out of memory. */
import type { Pod } from '#api'
import { amountOf, bytesOf } from '../amounts.ts'

export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort'

const COUNTED = ['cpu', 'memory'] as const

export function qosClassOf({ spec }: Pod): QosClass {
  const own = spec.resources
  const all =
    own?.requests !== undefined || own?.limits !== undefined
      ? [own]
      : [...spec.containers, ...(spec.initContainers ?? [])].map(({ resources }) => resources ?? {})
  let stated = false
  let guaranteed = true
  for (const { requests = {}, limits = {} } of all) {
    for (const name of COUNTED) {
      const request = amountOf(requests[name] ?? limits[name])
      const limit = amountOf(limits[name])
      if (request > 0 || limit > 0) stated = true
      if (limit === 0 || request !== limit) guaranteed = false
    }
  }
  if (!stated) return 'BestEffort'
  return guaranteed ? 'Guaranteed' : 'Burstable'
}

const CRITICAL_PRIORITY = 2_000_000_000

/** The kernel's out-of-memory score: the less memory a burstable container asked for, the sooner it goes. */
export function oomScoreAdjustment(
  pod: Pod,
  memoryRequest: string | undefined,
  nodeMemoryBytes: number,
): number {
  if ((pod.spec.priority ?? 0) >= CRITICAL_PRIORITY) return -997
  switch (qosClassOf(pod)) {
    case 'Guaranteed':
      return -997
    case 'BestEffort':
      return 1000
    case 'Burstable': {
      const score =
        1000 - Math.floor((1000 * bytesOf(memoryRequest)) / Math.max(1, nodeMemoryBytes))
      // Between a guaranteed pod's and a best-effort pod's.
      return Math.min(Math.max(score, 3), 999)
    }
  }
}
