import {
  storageClassOf,
  type Node,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  type StorageClass,
} from '#api'
import { definePlugin, failure, skip, success, unresolvable, unschedulable } from '../framework.ts'
import type { PodInfo } from '../pod-info.ts'
import { compileNodeTerm, type Matches } from '../selectors.ts'
import { planVolumes, type VolumePlan, type VolumeSupply } from './volume-plan.ts'

/** Reads what is known of volumes, and has them bound. */
export interface VolumeLister {
  claim(namespace: string, name: string): PersistentVolumeClaim | undefined
  volume(name: string): PersistentVolume | undefined
  /** All there are. */
  all(): readonly PersistentVolume[]
  storageClass(name: string): StorageClass | undefined
  /** Gives claims their volumes or lets those be made for the node, and waits until all claims are bound. */
  bind(plan: VolumePlan, nodeName: string, signal: AbortSignal): Promise<void>
}

const UNBOUND = unresolvable('pod has unbound immediate PersistentVolumeClaims')
const GONE = unresolvable(
  'node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)',
)
const ELSEWHERE = unresolvable("node(s) didn't match PersistentVolume's node affinity")
const NOT_FOUND = unresolvable("node(s) didn't find available persistent volumes to bind")
const IN_USE = unschedulable(
  'node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode',
)

/** Names of the claims that a pod mounts; an ephemeral volume's is made of the pod's and its own. */
export const claimNamesOf = ({ metadata, spec }: Pod): readonly string[] =>
  (spec.volumes ?? []).flatMap(({ name, persistentVolumeClaim, ephemeral }) => {
    if (persistentVolumeClaim !== undefined) return [persistentVolumeClaim.claimName]
    return ephemeral === undefined ? [] : [`${metadata.name}-${name}`]
  })

export const isBound = ({ metadata, spec }: PersistentVolumeClaim): boolean =>
  (spec?.volumeName ?? '') !== '' &&
  metadata.annotations?.['pv.kubernetes.io/bind-completed'] !== undefined

function nodesOf({ spec }: PersistentVolume): Matches<Node> | undefined {
  const terms = spec?.nodeAffinity?.required?.nodeSelectorTerms.map(compileNodeTerm)
  return terms && ((node) => terms.some((term) => term(node)))
}

interface Volumes {
  readonly allowed: readonly Matches<Node>[]
  readonly isGone: boolean
  /** Claims that get their volumes with their first pod. */
  readonly delayed: readonly PersistentVolumeClaim[]
  readonly supply: VolumeSupply | undefined
}

/** Waits for claims that are bound before their pods, keeps pods where their volumes are, and finds volumes for the others. */
export const volumeBinding = (volumes: VolumeLister) => {
  /** What pods that have a node are about to take, by the pod's uid. */
  const plans = new Map<string, VolumePlan>()
  /** What is there for these claims, and is nobody else's. */
  const supplyFor = (claims: readonly PersistentVolumeClaim[]): VolumeSupply => {
    const taken = new Set<string>()
    for (const { found } of plans.values())
      for (const { volume } of found) taken.add(volume.metadata.name)
    const classes = new Set(claims.map(storageClassOf))
    return {
      volumes: volumes
        .all()
        .filter(
          (volume) => classes.has(storageClassOf(volume)) && !taken.has(volume.metadata.name),
        ),
      classOf: volumes.storageClass,
    }
  }
  const isDelayed = (claim: PersistentVolumeClaim): boolean =>
    volumes.storageClass(storageClassOf(claim))?.volumeBindingMode === 'WaitForFirstConsumer'
  const unboundOf = ({ pod, namespace }: PodInfo) =>
    claimNamesOf(pod)
      .flatMap((name) => volumes.claim(namespace, name) ?? [])
      .filter((claim) => !isBound(claim))

  return definePlugin<Volumes>({
    name: 'VolumeBinding',
    retryOn: ['volume', 'node/add', 'node/labels'],
    preFilter({ pod, namespace }) {
      const names = claimNamesOf(pod)
      if (names.length === 0) return skip
      const allowed: Matches<Node>[] = []
      const delayed: PersistentVolumeClaim[] = []
      let isGone = false
      let isUnbound = false
      for (const name of names) {
        const claim = volumes.claim(namespace, name)
        if (claim === undefined) return unresolvable(`persistentvolumeclaim "${name}" not found`)
        if (claim.metadata.deletionTimestamp !== undefined)
          return unresolvable(`persistentvolumeclaim "${name}" is being deleted`)
        if (claim.status?.phase === 'Lost')
          return unresolvable(
            `persistentvolumeclaim "${name}" bound to non-existent persistentvolume "${claim.spec?.volumeName ?? ''}"`,
          )
        if (!isBound(claim)) {
          // One that names its volume is bound without a pod.
          if (isDelayed(claim) && !claim.spec?.volumeName) delayed.push(claim)
          else isUnbound = true
          continue
        }
        const volume = volumes.volume(claim.spec?.volumeName ?? '')
        const nodes = volume && nodesOf(volume)
        if (volume === undefined) isGone = true
        else if (nodes !== undefined) allowed.push(nodes)
      }
      if (isUnbound) return UNBOUND
      const supply = delayed.length === 0 ? undefined : supplyFor(delayed)
      return { state: { allowed, isGone, delayed, supply } }
    },
    filter(_pod, { node }, { allowed, isGone, delayed, supply }) {
      if (isGone) return GONE
      if (node === undefined || !allowed.every((matches) => matches(node))) return ELSEWHERE
      if (supply === undefined) return success
      return planVolumes(delayed, node, supply) === undefined ? NOT_FOUND : success
    },
    reserve(pod, { node }) {
      const unbound = unboundOf(pod)
      if (unbound.length === 0) return success
      const plan = node && planVolumes(unbound, node, supplyFor(unbound))
      if (plan === undefined) return NOT_FOUND
      plans.set(pod.uid, plan)
      return success
    },
    unreserve: (pod) => void plans.delete(pod.uid),
    async preBind(pod, { name: nodeName }, signal) {
      const plan = plans.get(pod.uid)
      if (plan === undefined) return success
      try {
        await volumes.bind(plan, nodeName, signal)
        return success
      } catch (error) {
        return failure(`binding volumes: ${error instanceof Error ? error.message : String(error)}`)
      }
    },
    postBind: (pod) => void plans.delete(pod.uid),
  })
}

/** A claim that one pod at a time may use is not given to a second. */
export const volumeRestrictions = (volumes: VolumeLister) =>
  definePlugin<readonly string[]>({
    name: 'VolumeRestrictions',
    retryOn: ['pod/deleted', 'volume', 'node/add'],
    preFilter({ pod, namespace }, snapshot) {
      const exclusive = claimNamesOf(pod).filter((name) =>
        volumes.claim(namespace, name)?.spec?.accessModes?.includes('ReadWriteOncePod'),
      )
      if (exclusive.length === 0) return skip
      const users = snapshot.count(
        `claims ${namespace} ${exclusive.join()}`,
        (other) =>
          other.namespace === namespace &&
          claimNamesOf(other.pod).some((name) => exclusive.includes(name)),
      )
      return users.total === 0 ? skip : { state: exclusive }
    },
    // Where the other pod is does not matter, but only there would its end help.
    filter: ({ namespace }, node, exclusive) => {
      for (const other of node.pods.values())
        if (
          other.namespace === namespace &&
          claimNamesOf(other.pod).some((name) => exclusive.includes(name))
        )
          return IN_USE
      return ELSEWHERE_IN_USE
    },
  })

const ELSEWHERE_IN_USE = unresolvable(...IN_USE.reasons)
