import {
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  storageClasses,
  storageClassOf,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type StorageClass,
} from '#api'
import { keyOf } from '#machinery'
import { defineController, watching, type Cache } from '../framework/index.ts'
import {
  claimKeyOf,
  decideClaim,
  decideVolume,
  SELECTED_NODE,
  type ObservedClaim,
  type ObservedVolume,
} from './decide.ts'

const isSeeking = ({ spec }: PersistentVolumeClaim): boolean => !spec.volumeName

/** Claims that a change of the volume may concern: its own, and those that seek one of its class. */
function claimsNear(volume: PersistentVolume, cache: Cache): readonly string[] {
  const own = claimKeyOf(volume)
  return [
    ...(own === undefined ? [] : [own]),
    ...cache.by(persistentVolumeClaims, 'volume', volume.metadata.name).map(keyOf),
    ...(own === undefined
      ? cache.by(persistentVolumeClaims, 'seeking', storageClassOf(volume)).map(keyOf)
      : []),
  ]
}

/** Finds a volume for each claim. */
export const claimBindingController = defineController<ObservedClaim>({
  name: 'persistent-volume-claim-binder',
  component: 'persistentvolume-controller',
  for: persistentVolumeClaims,
  watches: [
    watching<PersistentVolume>(persistentVolumes, (volume, _, cache) => claimsNear(volume, cache)),
    watching<StorageClass>(storageClasses, ({ metadata }, _, cache) =>
      cache.by(persistentVolumeClaims, 'seeking', metadata.name).map(keyOf),
    ),
  ],
  reads: [nodes],
  indexes: [
    {
      ref: persistentVolumeClaims,
      name: 'seeking',
      values: (claim: PersistentVolumeClaim) => (isSeeking(claim) ? [storageClassOf(claim)] : []),
    },
    {
      ref: persistentVolumeClaims,
      name: 'volume',
      values: ({ spec }: PersistentVolumeClaim) => (spec.volumeName ? [spec.volumeName] : []),
    },
  ],
  observe(cache, key) {
    const claim = cache.get(persistentVolumeClaims, key)
    if (claim === undefined) return undefined
    const selected = claim.metadata.annotations?.[SELECTED_NODE]
    return {
      claim,
      volumes: cache.list(persistentVolumes),
      storageClass: cache.get(storageClasses, storageClassOf(claim)),
      node: selected === undefined ? undefined : cache.get(nodes, selected),
    }
  },
  decide: decideClaim,
})

/** Says of each volume whether it is free, bound or released, and deletes it when that is asked for. */
export const volumePhaseController = defineController<ObservedVolume>({
  name: 'persistent-volume-phase',
  component: 'persistentvolume-controller',
  for: persistentVolumes,
  watches: [
    watching<PersistentVolumeClaim>(persistentVolumeClaims, (claim, _, cache) =>
      cache.by(persistentVolumes, 'claim', keyOf(claim)).map(keyOf),
    ),
  ],
  indexes: [
    {
      ref: persistentVolumes,
      name: 'claim',
      values: (volume: PersistentVolume) => {
        const key = claimKeyOf(volume)
        return key === undefined ? [] : [key]
      },
    },
  ],
  observe(cache, key) {
    const volume = cache.get(persistentVolumes, key)
    if (volume === undefined) return undefined
    const claim = claimKeyOf(volume)
    return {
      volume,
      claim: claim === undefined ? undefined : cache.get(persistentVolumeClaims, claim),
    }
  },
  decide: decideVolume,
})
