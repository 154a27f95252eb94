import {
  definePlugin,
  MAX_SCORE,
  skip,
  success,
  unschedulable,
  type Verdict,
} from '../framework.ts'
import type { NodeInfo } from '../node-info.ts'
import type { PodInfo } from '../pod-info.ts'
import { CPU, MEMORY, PODS } from '../resources.ts'

const TOO_MANY_PODS = unschedulable('Too many pods')

/** What a node lacks for the pod; a node that is too small even when empty cannot be helped by preemption. */
function lacks({ requests }: PodInfo, { allocatable, requested, pods }: NodeInfo): Verdict {
  const reasons: string[] = []
  let tooSmall = false
  if (pods.size + 1 > (allocatable[PODS] ?? 0)) reasons.push('Too many pods')
  for (const name in requests) {
    const asked = requests[name] as number
    const all = allocatable[name] ?? 0
    if (asked === 0 || asked <= all - (requested[name] ?? 0)) continue
    reasons.push(`Insufficient ${name}`)
    if (asked > all) tooSmall = true
  }
  if (reasons.length === 0) return success
  return { code: tooSmall ? 'unresolvable' : 'unschedulable', reasons }
}

function fits({ requests }: PodInfo, { allocatable, requested, pods }: NodeInfo): boolean {
  if (pods.size + 1 > (allocatable[PODS] ?? 0)) return false
  for (const name in requests) {
    const asked = requests[name] as number
    if (asked !== 0 && asked > (allocatable[name] ?? 0) - (requested[name] ?? 0)) return false
  }
  return true
}

/** How much of the resource is free with the pod there, of 100. */
function freeShare(name: string, { scoringRequests }: PodInfo, node: NodeInfo): number | undefined {
  const all = node.allocatable[name] ?? 0
  if (all === 0) return undefined
  const used = (node.scoringRequested[name] ?? 0) + (scoringRequests[name] ?? 0)
  return used > all ? 0 : Math.floor(((all - used) * MAX_SCORE) / all)
}

/** Keeps pods off nodes that lack what they ask for, and prefers nodes with more left. */
export const nodeResourcesFit = definePlugin({
  name: 'NodeResourcesFit',
  weight: 1,
  isLocal: true,
  retryOn: ['node/add', 'node/allocatable', 'pod/deleted', 'pod/scaled-down'],
  mayHelp: (pod, { name, node }) =>
    name.startsWith('pod/') || node?.node === undefined || fits(pod, node),
  filter: (pod, node) => {
    if (fits(pod, node)) return success
    const verdict = lacks(pod, node)
    return verdict.reasons.length === 1 && verdict.reasons[0] === 'Too many pods'
      ? TOO_MANY_PODS
      : verdict
  },
  score(pod, node) {
    const cpu = freeShare(CPU, pod, node)
    const memory = freeShare(MEMORY, pod, node)
    if (cpu === undefined || memory === undefined) return cpu ?? memory ?? 0
    return Math.floor((cpu + memory) / 2)
  },
})

/** Prefers nodes where cpu and memory are used to about the same share. */
export const nodeResourcesBalancedAllocation = definePlugin({
  name: 'NodeResourcesBalancedAllocation',
  weight: 1,
  isLocal: true,
  // A pod that asks for nothing leaves the balance as it is.
  preScore: ({ requests }) =>
    (requests[CPU] ?? 0) === 0 && (requests[MEMORY] ?? 0) === 0 ? skip : { state: undefined },
  score({ requests }, { allocatable, requested }) {
    const share = (name: string) => {
      const all = allocatable[name] ?? 0
      return all === 0
        ? undefined
        : Math.min(1, ((requested[name] ?? 0) + (requests[name] ?? 0)) / all)
    }
    const cpu = share(CPU)
    const memory = share(MEMORY)
    // Of two numbers the standard deviation is half of their distance.
    const deviation = cpu === undefined || memory === undefined ? 0 : Math.abs(cpu - memory) / 2
    return Math.floor((1 - deviation) * MAX_SCORE)
  },
})
