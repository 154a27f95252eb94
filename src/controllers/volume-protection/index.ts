import {
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  volumeAttributesClasses,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  type VolumeAttributesClass,
} from '#api'
import { type KubeObject, type ResourceRef } from '#machinery'
import {
  defineController,
  isTerminating,
  nothing,
  patch,
  watching,
  type Decision,
} from '../framework/index.ts'

const CLAIM = 'kubernetes.io/pvc-protection'
const VOLUME = 'kubernetes.io/pv-protection'
const CLASS = 'kubernetes.io/vac-protection'

/** An object that is being deleted may go once nothing uses it; the version guards the list of finalizers. */
export const letGo =
  <T extends KubeObject>(ref: ResourceRef<T>, finalizer: string) =>
  ({ object, isUsed }: { readonly object: T; readonly isUsed: boolean }): Decision => {
    const { finalizers = [] } = object.metadata
    if (!isTerminating(object) || isUsed || !finalizers.includes(finalizer)) return nothing
    return {
      actions: [
        patch(
          ref,
          object,
          { metadata: { finalizers: finalizers.filter((name) => name !== finalizer) } },
          { whole: true },
        ),
      ],
    }
  }

const claimsOf = (pod: Pod): readonly string[] =>
  (pod.spec.volumes ?? []).flatMap(({ name, persistentVolumeClaim, ephemeral }) => {
    const claim =
      persistentVolumeClaim?.claimName ??
      (ephemeral === undefined ? undefined : `${pod.metadata.name}-${name}`)
    return claim === undefined ? [] : [`${pod.metadata.namespace}/${claim}`]
  })
const hasEnded = ({ status }: Pod): boolean =>
  status?.phase === 'Succeeded' || status?.phase === 'Failed'

/** A claim stays while a pod uses it. */
export const claimProtectionController = defineController({
  name: 'pvc-protection',
  for: persistentVolumeClaims,
  watches: [watching<Pod>(pods, (pod) => claimsOf(pod))],
  indexes: [
    { ref: pods, name: 'claims', values: (pod: Pod) => (hasEnded(pod) ? [] : claimsOf(pod)) },
  ],
  observe(cache, key) {
    const object = cache.get(persistentVolumeClaims, key)
    return object && { object, isUsed: cache.by(pods, 'claims', key).length > 0 }
  },
  decide: letGo<PersistentVolumeClaim>(persistentVolumeClaims, CLAIM),
})

/** A volume stays while it is bound to a claim. */
export const volumeProtectionController = defineController({
  name: 'pv-protection',
  for: persistentVolumes,
  observe(cache, key) {
    const object = cache.get(persistentVolumes, key)
    return object && { object, isUsed: object.status?.phase === 'Bound' }
  },
  decide: letGo<PersistentVolume>(persistentVolumes, VOLUME),
})

const classesOf = (claim: PersistentVolumeClaim): readonly string[] =>
  [claim.spec.volumeAttributesClassName, claim.status?.currentVolumeAttributesClassName].filter(
    (name) => name !== undefined && name !== '',
  ) as string[]

/** A class stays while a claim or a volume names it. */
export const attributesClassProtectionController = defineController({
  name: 'vac-protection',
  for: volumeAttributesClasses,
  watches: [
    watching<PersistentVolumeClaim>(persistentVolumeClaims, (claim, old) => [
      ...classesOf(claim),
      ...(old === undefined ? [] : classesOf(old)),
    ]),
    watching<PersistentVolume>(persistentVolumes, ({ spec }) =>
      spec.volumeAttributesClassName ? [spec.volumeAttributesClassName] : [],
    ),
  ],
  observe(cache, key) {
    const object = cache.get(volumeAttributesClasses, key)
    if (object === undefined) return undefined
    const isUsed =
      cache.list(persistentVolumeClaims).some((claim) => classesOf(claim).includes(key)) ||
      cache.list(persistentVolumes).some(({ spec }) => spec.volumeAttributesClassName === key)
    return { object, isUsed }
  },
  decide: letGo<VolumeAttributesClass>(volumeAttributesClasses, CLASS),
})

export const protectionControllers = [
  claimProtectionController,
  volumeProtectionController,
  attributesClassProtectionController,
]
