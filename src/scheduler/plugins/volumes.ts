import type { Node, PersistentVolume, PersistentVolumeClaim, Pod } from '#api'
import { definePlugin, failure, skip, success, unresolvable, unschedulable } from '../framework.ts'
import { compileNodeTerm, type Matches } from '../selectors.ts'

/** Reads what is known of volumes; the class `binding` of a claim without class is immediate. */
export interface VolumeLister {
  claim(namespace: string, name: string): PersistentVolumeClaim | undefined
  volume(name: string): PersistentVolume | undefined
  /** `volumeBindingMode` of a storage class; undefined when there is no such class. */
  bindingMode(storageClass: string): 'Immediate' | 'WaitForFirstConsumer' | undefined
  /** Lets the claim's volume be made for the node, and waits until it is bound. */
  bindFor(claim: PersistentVolumeClaim, nodeName: string, signal: AbortSignal): Promise<void>
}

const UNBOUND = unresolvable('pod has unbound immediate PersistentVolumeClaims')
const GONE = unresolvable(
  'node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)',
)
const ELSEWHERE = unresolvable("node(s) didn't match PersistentVolume's node affinity")
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
}

/** Waits for claims that are bound before their pods, and keeps pods where their volumes are. */
export const volumeBinding = (volumes: VolumeLister) =>
  definePlugin<Volumes>({
    name: 'VolumeBinding',
    retryOn: ['volume', 'node/add', 'node/labels'],
    preFilter({ pod, namespace }) {
      const names = claimNamesOf(pod)
      if (names.length === 0) return skip
      const allowed: Matches<Node>[] = []
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
          const mode = volumes.bindingMode(claim.spec?.storageClassName ?? '')
          if (mode !== 'WaitForFirstConsumer') isUnbound = true
          continue
        }
        const volume = volumes.volume(claim.spec?.volumeName ?? '')
        const nodes = volume && nodesOf(volume)
        if (volume === undefined) isGone = true
        else if (nodes !== undefined) allowed.push(nodes)
      }
      if (isUnbound) return UNBOUND
      return { state: { allowed, isGone } }
    },
    filter(_pod, { node }, { allowed, isGone }) {
      if (isGone) return GONE
      return node !== undefined && allowed.every((matches) => matches(node)) ? success : ELSEWHERE
    },
    async preBind({ pod, namespace }, { name: nodeName }, signal) {
      const claims = claimNamesOf(pod).flatMap((name) => volumes.claim(namespace, name) ?? [])
      const unbound = claims.filter((claim) => !isBound(claim))
      try {
        await Promise.all(unbound.map((claim) => volumes.bindFor(claim, nodeName, signal)))
        return success
      } catch (error) {
        return failure(`binding volumes: ${error instanceof Error ? error.message : String(error)}`)
      }
    },
  })

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
