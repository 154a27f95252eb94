import {
  controllerRevisions,
  persistentVolumeClaims,
  pods,
  statefulSets,
  type ControllerRevision,
  type PersistentVolumeClaim,
  type Pod,
} from '#api'
import { keyOf, selectorMatches } from '#machinery'
import { controllerOf, defineController, event, watching } from '../framework/index.ts'
import { decide, type Observed } from './decide.ts'

const orphaned = (object: Pod | ControllerRevision): readonly string[] =>
  controllerOf(object) === undefined ? [object.metadata.namespace ?? ''] : []

/** Keeps the pods of a StatefulSet, each with its name and its claims. */
export const statefulSetController = defineController<Observed>({
  name: 'statefulset',
  component: 'statefulset-controller',
  for: statefulSets,
  owns: [pods, controllerRevisions],
  watches: [
    watching<Pod>(pods, (pod, _, cache) =>
      controllerOf(pod) === undefined
        ? cache
            .list(statefulSets, pod.metadata.namespace)
            .filter(({ spec }) => selectorMatches(spec.selector, pod.metadata.labels))
            .map(keyOf)
        : [],
    ),
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
  indexes: [
    { ref: pods, name: 'orphans', values: orphaned },
    { ref: controllerRevisions, name: 'orphans', values: orphaned },
  ],
  observe(cache, key) {
    const set = cache.get(statefulSets, key)
    if (set === undefined) return undefined
    const { namespace = '' } = set.metadata
    const orphans = cache
      .by(pods, 'orphans', namespace)
      .filter((pod) => selectorMatches(set.spec.selector, pod.metadata.labels))
    return {
      set,
      pods: [...cache.ownedBy(set, pods), ...orphans],
      revisions: [
        ...cache.ownedBy(set, controllerRevisions),
        ...cache.by(controllerRevisions, 'orphans', namespace),
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
