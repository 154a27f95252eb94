import { nodes, pods, type Node, type Pod, type Taint, type Toleration } from '#api'
import { timestamp, keyOf } from '#machinery'
import {
  defineController,
  event,
  isTerminating,
  nothing,
  patch,
  remove,
  watching,
  type Controller,
  type Decision,
} from '../framework/index.ts'

export interface Observed {
  readonly pod: Pod
  /** NoExecute ones of its node, each with the time since when it counts. */
  readonly taints: readonly { readonly taint: Taint; readonly since: Date }[]
}

const tolerates = (toleration: Toleration, taint: Taint): boolean =>
  (toleration.effect === undefined || toleration.effect === taint.effect) &&
  (toleration.key === undefined || toleration.key === taint.key) &&
  (toleration.operator === 'Exists' ||
    ((toleration.operator ?? 'Equal') === 'Equal' &&
      (toleration.value ?? '') === (taint.value ?? '')))

/** A pod leaves when a taint is not tolerated, or no longer; the shortest tolerated time counts. */
export function decide({ pod, taints }: Observed, now: Date): Decision {
  if (taints.length === 0 || isTerminating(pod)) return nothing
  let leaveAt = Infinity
  for (const { taint, since } of taints) {
    const matching = (pod.spec.tolerations ?? []).filter((toleration) =>
      tolerates(toleration, taint),
    )
    if (matching.length === 0) leaveAt = 0
    const seconds = matching.map(({ tolerationSeconds }) => Number(tolerationSeconds ?? Infinity))
    if (matching.length > 0)
      leaveAt = Math.min(leaveAt, since.getTime() + Math.max(0, Math.min(...seconds)) * 1000)
  }
  if (leaveAt === Infinity) return nothing
  const left = leaveAt - now.getTime()
  if (left > 0) return { actions: [], requeueAfterMs: left }
  const condition = {
    type: 'DisruptionTarget',
    status: 'True',
    reason: 'DeletionByTaintManager',
    message: 'Taint manager: deleting due to NoExecute taint',
    lastTransitionTime: timestamp(now),
  }
  return {
    actions: [
      event(pod, 'Normal', 'TaintManagerEviction', `Marking for deletion Pod ${keyOf(pod)}`),
      patch(
        pods,
        pod,
        { status: { conditions: [condition] } },
        { patchType: 'strategic', subresource: 'status' },
      ),
      remove(pods, pod),
    ],
  }
}

const noExecute = (node: Node | undefined): readonly Taint[] =>
  (node?.spec.taints ?? []).filter(({ effect }) => effect === 'NoExecute')

/** Removes pods from nodes whose NoExecute taints they do not tolerate. */
export const taintEvictionController = (): Controller => {
  const seen = createTaintTimes()
  return defineController<Observed>({
    name: 'taint-eviction-controller',
    component: 'taint-eviction-controller',
    for: pods,
    concerns: (pod: Pod) => Boolean(pod.spec.nodeName),
    watches: [
      watching<Node>(nodes, (node, old, cache) =>
        JSON.stringify(noExecute(node)) === JSON.stringify(noExecute(old))
          ? []
          : cache.by(pods, 'node', node.metadata.name).map(keyOf),
      ),
    ],
    indexes: [
      {
        ref: pods,
        name: 'node',
        values: (pod: Pod) => (pod.spec.nodeName ? [pod.spec.nodeName] : []),
      },
    ],
    observe(cache, key, now) {
      const pod = cache.get(pods, key)
      return pod?.spec.nodeName
        ? { pod, taints: seen(cache.get(nodes, pod.spec.nodeName), now) }
        : undefined
    },
    decide,
  })
}

/** Most taints say when they were added; of the others it is remembered when they were first seen. */
function createTaintTimes(): (node: Node | undefined, now: Date) => Observed['taints'] {
  const times = new Map<string, Map<string, Date>>()
  return (node, now) => {
    if (node === undefined) return []
    const taints = noExecute(node)
    const before = times.get(node.metadata.uid)
    const after = new Map<string, Date>()
    const dated = taints.map((taint) => {
      const id = `${taint.key}=${taint.value ?? ''}`
      const since = taint.timeAdded ? new Date(taint.timeAdded) : (before?.get(id) ?? now)
      after.set(id, since)
      return { taint, since }
    })
    if (after.size > 0) times.set(node.metadata.uid, after)
    else times.delete(node.metadata.uid)
    return dated
  }
}
