import { pods, replicaSets, type Pod, type ReplicaSet } from '#api'
import { keyOf, selectorMatches } from '#machinery'
import { controllerOf, defineController, isReady, watching } from '../framework/index.ts'
import { decide, failed, type Observed } from './decide.ts'

/** Keeps as many pods running as a ReplicaSet asks for. */
export const replicaSetController = defineController<Observed>({
  name: 'replicaset',
  for: replicaSets,
  owns: [pods],
  watches: [
    // An orphan may be wanted by several: each looks, and the first to adopt it has it.
    watching<Pod>(pods, (pod, _, cache) =>
      controllerOf(pod) === undefined
        ? cache
            .list(replicaSets, pod.metadata.namespace)
            .filter(({ spec }) => selectorMatches(spec.selector, pod.metadata.labels))
            .map(keyOf)
        : [],
    ),
  ],
  indexes: [
    {
      ref: pods,
      name: 'orphans',
      values: (pod: Pod) => (controllerOf(pod) === undefined ? [pod.metadata.namespace ?? ''] : []),
    },
  ],
  workers: 5,
  observe(cache, key) {
    const replicaSet = cache.get(replicaSets, key)
    if (replicaSet === undefined) return undefined
    const orphans = cache
      .by(pods, 'orphans', replicaSet.metadata.namespace ?? '')
      .filter((pod) => selectorMatches(replicaSet.spec.selector, pod.metadata.labels))
    return {
      replicaSet,
      pods: [...cache.ownedBy(replicaSet, pods), ...orphans],
      relatedByNode: crowding(replicaSet, cache.ownedBy.bind(cache)),
    }

    /** Ready pods of all ReplicaSets of the same owner, by node. */
    function crowding(of: ReplicaSet, ownedBy: typeof cache.ownedBy): ReadonlyMap<string, number> {
      const owner = controllerOf(of)
      const siblings = owner === undefined ? [of] : cache.controlledBy(owner.uid, replicaSets)
      const counts = new Map<string, number>()
      for (const pod of siblings.flatMap((each) => ownedBy(each, pods))) {
        const node = pod.spec.nodeName
        if (node !== undefined && isReady(pod)) counts.set(node, (counts.get(node) ?? 0) + 1)
      }
      return counts
    }
  },
  decide,
  failed,
})
