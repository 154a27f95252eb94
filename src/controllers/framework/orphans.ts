/** Objects that nobody controls: those who select them may adopt them. */
import { pods, type Pod } from '#api'
import { keyOf, type KubeObject, type ResourceRef } from '#machinery'
import { watching, type Cache, type ControllerDefinition, type Watch } from './controller.ts'
import { controllerOf } from './ownership.ts'

const ORPHANS = 'orphans'

/** What `orphansIn` and `podsFor` look things up by. */
export const orphanIndex = (
  ref: ResourceRef,
): NonNullable<ControllerDefinition<unknown>['indexes']>[number] => ({
  ref,
  name: ORPHANS,
  values: (object: KubeObject) =>
    controllerOf(object) === undefined ? [object.metadata.namespace ?? ''] : [],
})

/** Those of one namespace. */
export const orphansIn = <T extends KubeObject>(
  cache: Cache,
  ref: ResourceRef<T>,
  namespace = '',
): readonly T[] => cache.by(ref, ORPHANS, namespace)

/** An orphan may be wanted by several: each looks, and the first to adopt it has it. */
export const watchingOrphans = <T extends KubeObject>(
  ref: ResourceRef<T>,
  selects: (owner: T, pod: Pod) => boolean,
): Watch =>
  watching<Pod>(pods, (pod, _, cache) => {
    if (controllerOf(pod) !== undefined) return NOBODY
    const owners = cache.list(ref, pod.metadata.namespace)
    // In most namespaces there are none of most kinds, and every pod comes by here.
    return owners.length === 0 ? NOBODY : owners.filter((owner) => selects(owner, pod)).map(keyOf)
  })

const NOBODY: readonly string[] = []

/** Its own pods, and the orphans that it selects. */
export const podsFor = <T extends KubeObject>(
  cache: Cache,
  owner: T,
  selects: (owner: T, pod: Pod) => boolean,
): readonly Pod[] => [
  ...cache.ownedBy(owner, pods),
  ...orphansIn(cache, pods, owner.metadata.namespace).filter((pod) => selects(owner, pod)),
]
