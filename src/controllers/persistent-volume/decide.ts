/** Claims find volumes: two halves that each can be repeated at any time. */
import {
  bestVolume,
  isVolumeFor,
  persistentVolumeClaims,
  persistentVolumes,
  storageClassOf,
  volumeMismatch,
  type Node,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type PersistentVolumeClaimStatus,
  type StorageClass,
} from '#api'
import { timestamp, keyOf } from '#machinery'
import {
  event,
  isTerminating,
  nothing,
  remove,
  update,
  updateStatus,
  type Action,
  type Decision,
} from '../framework/index.ts'

const COMPLETED = 'pv.kubernetes.io/bind-completed'
const BY_US = 'pv.kubernetes.io/bound-by-controller'
const PROVISIONED_BY = 'pv.kubernetes.io/provisioned-by'
const PROVISIONER = 'volume.kubernetes.io/storage-provisioner'
const OLD_PROVISIONER = 'volume.beta.kubernetes.io/storage-provisioner'
export const SELECTED_NODE = 'volume.kubernetes.io/selected-node'
const NO_PROVISIONER = 'kubernetes.io/no-provisioner'

export interface ObservedClaim {
  readonly claim: PersistentVolumeClaim
  readonly volumes: readonly PersistentVolume[]
  /** Its class, when that exists. */
  readonly storageClass: StorageClass | undefined
  /** The node that the scheduler chose for its first pod. */
  readonly node: Node | undefined
}

const withAnnotations = <T extends PersistentVolume | PersistentVolumeClaim>(
  object: T,
  more: Readonly<Record<string, string>>,
): T['metadata'] => ({
  ...object.metadata,
  annotations: { ...object.metadata.annotations, ...more },
})

const phase = (
  claim: PersistentVolumeClaim,
  status: PersistentVolumeClaimStatus,
): readonly Action[] => {
  const { accessModes: _, capacity: __, ...before } = claim.status ?? {}
  return updateStatus(persistentVolumeClaims, claim, { ...before, ...status })
}

export function decideClaim(observed: ObservedClaim): Decision {
  const { claim, volumes } = observed
  if (isTerminating(claim)) return nothing
  const name = claim.spec.volumeName ?? ''
  if (name === '') return { actions: seek(observed) }
  const volume = volumes.find(({ metadata }) => metadata.name === name)
  const wasBound = claim.metadata.annotations?.[COMPLETED] !== undefined
  if (volume === undefined)
    return {
      actions: wasBound
        ? lost(
            claim,
            'ClaimLost',
            'Bound claim has lost its PersistentVolume. Data on the volume is lost!',
          )
        : phase(claim, { phase: 'Pending' }),
    }
  if (volume.spec?.claimRef === undefined && !wasBound) {
    const why = volumeMismatch(volume, claim)
    const message = `Cannot bind to requested volume "${name}": ${why}`
    if (why !== undefined) return { actions: waits(claim, 'VolumeMismatch', message) }
  }
  if (
    volume.spec?.claimRef === undefined ||
    (isVolumeFor(volume, claim) && !volume.spec.claimRef.uid)
  )
    return { actions: [reserve(volume, claim)] }
  if (!isVolumeFor(volume, claim))
    return {
      actions: wasBound
        ? lost(
            claim,
            'ClaimMisbound',
            'Two claims are bound to the same volume, this one is bound incorrectly',
          )
        : waits(claim, 'FailedBinding', `volume "${name}" already bound to a different claim.`),
    }
  return { actions: complete(claim, volume) }
}

const waits = (
  claim: PersistentVolumeClaim,
  reason: string,
  message: string,
): readonly Action[] => [
  ...phase(claim, { phase: 'Pending' }),
  event(claim, 'Warning', reason, message),
]

const lost = (claim: PersistentVolumeClaim, reason: string, message: string): readonly Action[] => {
  const changes = phase(claim, { phase: 'Lost' })
  return changes.length === 0 ? [] : [...changes, event(claim, 'Warning', reason, message)]
}

/** First the volume is told whose it is: of two claims that want it, one loses this race and looks again. */
const reserve = (volume: PersistentVolume, claim: PersistentVolumeClaim): Action =>
  update(persistentVolumes, {
    ...volume,
    metadata:
      volume.spec?.claimRef === undefined
        ? withAnnotations(volume, { [BY_US]: 'yes' })
        : volume.metadata,
    spec: {
      ...volume.spec,
      claimRef: {
        kind: 'PersistentVolumeClaim',
        apiVersion: 'v1',
        namespace: claim.metadata.namespace ?? '',
        name: claim.metadata.name,
        uid: claim.metadata.uid,
        resourceVersion: claim.metadata.resourceVersion,
      },
    },
  })

/** Then the claim is told its volume, and then that it is done. */
function complete(claim: PersistentVolumeClaim, volume: PersistentVolume): readonly Action[] {
  const { name } = volume.metadata
  const unnamed = (claim.spec.volumeName ?? '') === ''
  if (unnamed || claim.metadata.annotations?.[COMPLETED] === undefined)
    return [
      update(persistentVolumeClaims, {
        ...claim,
        metadata: withAnnotations(claim, {
          [COMPLETED]: 'yes',
          ...(unnamed ? { [BY_US]: 'yes' } : {}),
        }),
        spec: { ...claim.spec, volumeName: name },
      }),
    ]
  // What a resize has made of it since stays.
  const isBound = claim.status?.phase === 'Bound'
  return isBound
    ? []
    : phase(claim, {
        phase: 'Bound',
        ...(volume.spec?.accessModes === undefined ? {} : { accessModes: volume.spec.accessModes }),
        ...(volume.spec?.capacity === undefined ? {} : { capacity: volume.spec.capacity }),
      })
}

/** A claim without a volume: takes one, has one made, or waits and says why. */
function seek({ claim, volumes, storageClass, node }: ObservedClaim): readonly Action[] {
  const delayed =
    storageClass?.volumeBindingMode === 'WaitForFirstConsumer' &&
    claim.metadata.annotations?.[SELECTED_NODE] === undefined
  const reserved = volumes.find((volume) => isVolumeFor(volume, claim))
  if (!delayed || reserved !== undefined) {
    const found = bestVolume(claim, volumes, node)
    if (found !== undefined)
      return found.spec?.claimRef?.uid === claim.metadata.uid
        ? complete(claim, found)
        : [reserve(found, claim)]
  }
  const pending = phase(claim, { phase: 'Pending' })
  if (delayed)
    return [
      ...pending,
      event(
        claim,
        'Normal',
        'WaitForFirstConsumer',
        'waiting for first consumer to be created before binding',
      ),
    ]
  const provisioner = storageClass?.provisioner
  if (provisioner === undefined || provisioner === NO_PROVISIONER)
    return [
      ...pending,
      storageClassOf(claim) !== '' && storageClass === undefined
        ? event(
            claim,
            'Warning',
            'ProvisioningFailed',
            `storageclass.storage.k8s.io "${storageClassOf(claim)}" not found`,
          )
        : event(
            claim,
            'Normal',
            'FailedBinding',
            'no persistent volumes available for this claim and no storage class is set',
          ),
    ]
  if (claim.metadata.annotations?.[PROVISIONER] !== provisioner)
    return [
      ...pending,
      update(persistentVolumeClaims, {
        ...claim,
        metadata: withAnnotations(claim, {
          [PROVISIONER]: provisioner,
          [OLD_PROVISIONER]: provisioner,
        }),
      }),
    ]
  return [
    ...pending,
    event(
      claim,
      'Normal',
      'ExternalProvisioning',
      `Waiting for a volume to be created either by the external provisioner '${provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.`,
    ),
  ]
}

export interface ObservedVolume {
  readonly volume: PersistentVolume
  /** Of the name in its reference. */
  readonly claim: PersistentVolumeClaim | undefined
}

/** A volume that is being deleted still follows its claim: it may only go once it's released. */
export function decideVolume({ volume, claim }: ObservedVolume, now: Date): Decision {
  const { claimRef, persistentVolumeReclaimPolicy: policy } = volume.spec ?? {}
  if (claimRef === undefined || !claimRef.uid) return { actions: become(volume, 'Available', now) }
  if (claim?.metadata.uid === claimRef.uid) {
    const { volumeName } = claim.spec
    if (!volumeName) return nothing
    if (volumeName === volume.metadata.name) return { actions: become(volume, 'Bound', now) }
    // The claim has taken another one.
    if (volume.metadata.annotations?.[BY_US] === undefined) return nothing
    const { claimRef: _, ...spec } = volume.spec ?? {}
    const { [BY_US]: __, ...annotations } = volume.metadata.annotations
    return {
      actions: [
        update(persistentVolumes, {
          ...volume,
          metadata: { ...volume.metadata, annotations },
          spec,
        }),
      ],
    }
  }
  if (volume.status?.phase !== 'Released' && volume.status?.phase !== 'Failed')
    return { actions: become(volume, 'Released', now) }
  if (isTerminating(volume)) return nothing
  // Wiping somebody's folder by a pod is long deprecated: nobody does it here, and the volume says so.
  if (policy === 'Recycle')
    return failed(volume, now, 'VolumeFailedRecycle', 'No recycler plugin found for the volume!')
  if (policy !== 'Delete' || volume.metadata.annotations?.[PROVISIONED_BY] !== undefined)
    return nothing
  // A host's folder is the user's own: the object goes, what is in the folder stays.
  if (volume.spec?.hostPath !== undefined || volume.spec?.local !== undefined)
    return { actions: [remove(persistentVolumes, volume)] }
  return failed(
    volume,
    now,
    'VolumeFailedDelete',
    `error getting deleter volume plugin for volume "${volume.metadata.name}": no deletable volume plugin matched`,
  )
}

/** Told once: with the phase. */
function failed(volume: PersistentVolume, now: Date, reason: string, message: string): Decision {
  const changes = become(volume, 'Failed', now)
  if (changes.length === 0) return nothing
  return { actions: [...changes, event(volume, 'Warning', reason, message)] }
}

const become = (
  volume: PersistentVolume,
  state: 'Available' | 'Bound' | 'Released' | 'Failed',
  now: Date,
): readonly Action[] =>
  volume.status?.phase === state
    ? []
    : updateStatus(persistentVolumes, volume, {
        ...volume.status,
        phase: state,
        lastPhaseTransitionTime: timestamp(now),
      })

export const claimKeyOf = ({ spec }: PersistentVolume): string | undefined =>
  spec?.claimRef === undefined
    ? undefined
    : keyOf({
        metadata: { namespace: spec.claimRef.namespace, name: spec.claimRef.name ?? '' },
      })
