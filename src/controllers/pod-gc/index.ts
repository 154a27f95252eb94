import { nodes, pods, type Node, type Pod } from '#api'
import { timestamp, keyOf } from '#machinery'
import {
  defineController,
  isFinished,
  isTerminating,
  nothing,
  patch,
  remove,
  watching,
  type Decision,
} from '../framework/index.ts'

export interface Observed {
  readonly pod: Pod
  readonly node: Node | undefined
  /** Ended pods in the cluster, the oldest first, beyond the number that is kept. */
  readonly isSurplus: boolean
}

/** A node may come back within this; then its pods are as they were. */
const NODE_GRACE_MS = 40_000
export const KEPT_TERMINATED = 12_500

export function decide({ pod, node, isSurplus }: Observed, now: Date): Decision {
  const { nodeName } = pod.spec
  const finished = isFinished(pod)
  if (isTerminating(pod) && !nodeName)
    return { actions: [remove(pods, pod, { gracePeriodSeconds: 0 })] }
  if (nodeName && node === undefined) {
    const since = Date.parse(pod.metadata.deletionTimestamp ?? pod.metadata.creationTimestamp)
    const left = since + NODE_GRACE_MS - now.getTime()
    if (left > 0) return { actions: [], requeueAfterMs: left }
    const time = timestamp(now)
    const mark = {
      status: {
        phase: 'Failed',
        conditions: [
          {
            type: 'DisruptionTarget',
            status: 'True',
            reason: 'DeletionByPodGC',
            message: 'PodGC: node no longer exists',
            lastTransitionTime: time,
          },
        ],
      },
    }
    return {
      actions: [
        ...(finished
          ? []
          : [patch(pods, pod, mark, { patchType: 'strategic', subresource: 'status' })]),
        remove(pods, pod, { gracePeriodSeconds: 0 }),
      ],
    }
  }
  const outOfService =
    node?.spec.taints?.some(({ key }) => key === 'node.kubernetes.io/out-of-service') === true
  if (isTerminating(pod) && outOfService)
    return { actions: [remove(pods, pod, { gracePeriodSeconds: 0 })] }
  return isSurplus && finished && !isTerminating(pod)
    ? { actions: [remove(pods, pod, { gracePeriodSeconds: 0 })] }
    : nothing
}

/** Removes pods that nobody else will: of nodes that are gone, never assigned, or ended too many. */
export const podGcController = defineController<Observed>({
  name: 'pod-garbage-collector',
  for: pods,
  concerns: (pod: Pod) => Boolean(pod.spec.nodeName) || isFinished(pod) || isTerminating(pod),
  watches: [
    watching<Node>(nodes, (node, old, cache) =>
      old === undefined || node.spec.taints !== old.spec.taints
        ? cache.by(pods, 'node', node.metadata.name).map(keyOf)
        : [],
    ),
  ],
  indexes: [
    {
      ref: pods,
      name: 'node',
      values: (pod: Pod) => (pod.spec.nodeName ? [pod.spec.nodeName] : []),
    },
    {
      ref: pods,
      name: 'finished',
      values: (pod: Pod) => (isFinished(pod) ? ['yes'] : []),
    },
  ],
  observe(cache, key) {
    const pod = cache.get(pods, key)
    if (pod === undefined) return undefined
    const finished = isFinished(pod) ? cache.by(pods, 'finished', 'yes') : []
    const surplus = finished.length - KEPT_TERMINATED
    const isSurplus =
      surplus > 0 &&
      finished
        .toSorted((a, b) => (a.metadata.creationTimestamp < b.metadata.creationTimestamp ? -1 : 1))
        .slice(0, surplus)
        .includes(pod)
    return {
      pod,
      node: pod.spec.nodeName ? cache.get(nodes, pod.spec.nodeName) : undefined,
      isSurplus,
    }
  },
  decide,
})
