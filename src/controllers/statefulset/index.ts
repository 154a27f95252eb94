import {
  controllerRevisions,
  persistentVolumeClaims,
  pods,
  statefulSets,
  type PersistentVolumeClaim,
  type Pod,
  type StatefulSet,
} from '#api'
import { keyOf, selectorMatches } from '#machinery'
import {
  defineController,
  event,
  orphanIndex,
  orphansIn,
  podsFor,
  watching,
  watchingOrphans,
} from '../framework/index.ts'
import { decide, type Observed } from './decide.ts'

const selects = ({ spec }: StatefulSet, { metadata }: Pod): boolean =>
  selectorMatches(spec.selector, metadata.labels)

/** Keeps the pods of a StatefulSet, each with its name and its claims. */
export const statefulSetController = defineController<Observed>({
  name: 'statefulset',
  component: 'statefulset-controller',
  for: statefulSets,
  owns: [pods, controllerRevisions],
  watches: [
    watchingOrphans(statefulSets, selects),
    // Only its absence or its owners matter.
    watching<PersistentVolumeClaim>(persistentVolumeClaims, (claim, old, cache) =>
      old !== undefined
        ? []
        : cache
            .list(statefulSets, claim.metadata.namespace)
            .filter(({ metadata, spec }) =>
              (spec.volumeClaimTemplates ?? []).some((template) =>
                claim.metadata.name.startsWith(`${template.metadata.name}-${metadata.name}-`),
              ),
            )
            .map(keyOf),
    ),
  ],
  indexes: [orphanIndex(pods), orphanIndex(controllerRevisions)],
  observe(cache, key) {
    const set = cache.get(statefulSets, key)
    if (set === undefined) return undefined
    const { namespace = '' } = set.metadata
    return {
      set,
      pods: podsFor(cache, set, selects),
      revisions: [
        ...cache.ownedBy(set, controllerRevisions),
        ...orphansIn(cache, controllerRevisions, namespace),
      ],
      claim: (name) => cache.get(persistentVolumeClaims, `${namespace}/${name}`),
    }
  },
  decide,
  failed({ set }, failures) {
    return failures.flatMap(({ action, error }) => {
      if (action.type !== 'create' && action.type !== 'remove') return []
      const { kind } = action.ref
      const [reason, verb] =
        action.type === 'create' ? ['FailedCreate', 'create'] : ['FailedDelete', 'delete']
      return [
        event(
          set,
          'Warning',
          reason ?? '',
          `${verb} ${kind === 'Pod' ? 'Pod' : 'Claim'} ${action.object.metadata.name} in StatefulSet ${set.metadata.name} failed error: ${error.message}`,
        ),
      ]
    })
  },
})
