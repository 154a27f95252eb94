import { pods, replicaSets, type Pod, type ReplicaSet } from '#api'
import { selectorMatches } from '#machinery'
import {
  controllerOf,
  defineController,
  isReady,
  orphanIndex,
  podsFor,
  watchingOrphans,
} from '../framework/index.ts'
import { decide, failed, type Observed } from './decide.ts'

const selects = ({ spec }: ReplicaSet, { metadata }: Pod): boolean =>
  selectorMatches(spec.selector, metadata.labels)

/** Keeps as many pods running as a ReplicaSet asks for. */
export const replicaSetController = defineController<Observed>({
  name: 'replicaset',
  for: replicaSets,
  owns: [pods],
  watches: [watchingOrphans(replicaSets, selects)],
  indexes: [orphanIndex(pods)],
  workers: 5,
  observe(cache, key) {
    const replicaSet = cache.get(replicaSets, key)
    if (replicaSet === undefined) return undefined
    return {
      replicaSet,
      pods: podsFor(cache, replicaSet, selects),
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
