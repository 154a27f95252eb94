import { deployments, pods, replicaSets, type Pod, type ReplicaSet } from '#api'
import { keyOf, selectorMatches } from '#machinery'
import { controllerOf, defineController, watching } from '../framework/index.ts'
import { decide, failed, type Observed } from './decide.ts'

/** Rolls a Deployment from one template to the next. */
export const deploymentController = defineController<Observed>({
  name: 'deployment',
  for: deployments,
  owns: [replicaSets],
  watches: [
    watching<ReplicaSet>(replicaSets, (set, _, cache) =>
      controllerOf(set) === undefined
        ? cache
            .list(deployments, set.metadata.namespace)
            .filter(({ spec }) => selectorMatches(spec.selector, set.metadata.labels))
            .map(keyOf)
        : [],
    ),
    // Recreate waits for the last old pod to go.
    watching<Pod>(pods, (pod, old, cache) => {
      const owner = controllerOf(pod)
      if (owner?.kind !== 'ReplicaSet' || old !== undefined) return []
      const set = cache.get(replicaSets, `${pod.metadata.namespace}/${owner.name}`)
      const deployment = set === undefined ? undefined : controllerOf(set)
      return deployment?.kind === 'Deployment'
        ? [`${pod.metadata.namespace}/${deployment.name}`]
        : []
    }),
  ],
  observe(cache, key) {
    const deployment = cache.get(deployments, key)
    if (deployment === undefined) return undefined
    const orphans = cache
      .list(replicaSets, deployment.metadata.namespace)
      .filter(
        (set) =>
          controllerOf(set) === undefined &&
          selectorMatches(deployment.spec.selector, set.metadata.labels),
      )
    return {
      deployment,
      replicaSets: [...cache.ownedBy(deployment, replicaSets), ...orphans],
      podsOf: (set) => cache.ownedBy(set, pods),
      setNamed: (name) => cache.get(replicaSets, `${deployment.metadata.namespace}/${name}`),
    }
  },
  decide,
  failed,
})
