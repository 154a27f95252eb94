import {
  pods,
  replicationControllers,
  type Pod,
  type ReplicaSet,
  type ReplicationController,
} from '#api'
import { selectorMatches, type ResourceRef } from '#machinery'
import {
  defineController,
  orphanIndex,
  podsFor,
  sameJson,
  watchingOrphans,
  type Action,
  type Decision,
} from '../framework/index.ts'
import * as sets from '../replicaset/decide.ts'

export interface Observed {
  readonly controller: ReplicationController
  readonly pods: readonly Pod[]
}

/** The older form says the same in other words. */
const asReplicaSet = (controller: ReplicationController): ReplicaSet => {
  const { selector, template, ...rest } = controller.spec ?? {}
  return {
    ...controller,
    spec: {
      ...rest,
      selector: { matchLabels: selector ?? {} },
      ...(template === undefined ? {} : { template }),
    },
    // It knows nothing of pods on their way out.
    status: { replicas: 0, ...controller.status, terminatingReplicas: 0 },
  } as ReplicaSet
}

const view = ({ controller, pods: all }: Observed): sets.Observed => ({
  ref: replicationControllers as unknown as ResourceRef<ReplicaSet>,
  replicaSet: asReplicaSet(controller),
  pods: all,
})

/** Back into the older form. */
const restore =
  ({ controller }: Observed) =>
  (action: Action): readonly Action[] => {
    if (action.type !== 'updateStatus') return [action]
    const { terminatingReplicas: _, ...status } = (action.object as ReplicaSet).status ?? {
      replicas: 0,
    }
    return sameJson(controller.status ?? {}, status)
      ? []
      : [{ ...action, object: { ...controller, status } as ReplicationController }]
  }

export function decide(observed: Observed, now: Date): Decision {
  const decision = sets.decide(view(observed), now)
  return { ...decision, actions: decision.actions.flatMap(restore(observed)) }
}

const selects = ({ spec }: ReplicationController, pod: Pod): boolean =>
  selectorMatches({ matchLabels: spec?.selector ?? {} }, pod.metadata.labels) &&
  Object.keys(spec?.selector ?? {}).length > 0

/** Keeps as many pods running as a ReplicationController asks for: what ReplicaSets came from. */
export const replicationControllerController = defineController<Observed>({
  name: 'replicationcontroller',
  component: 'replication-controller',
  for: replicationControllers,
  owns: [pods],
  watches: [watchingOrphans(replicationControllers, selects)],
  indexes: [orphanIndex(pods)],
  observe(cache, key) {
    const controller = cache.get(replicationControllers, key)
    if (controller === undefined) return undefined
    return { controller, pods: podsFor(cache, controller, selects) }
  },
  decide,
  failed: (observed, failures, now) =>
    sets.failed(view(observed), failures, now).flatMap(restore(observed)),
})
