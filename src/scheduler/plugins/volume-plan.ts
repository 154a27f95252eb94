/** Which volumes a pod's claims would get on a node: those that are there, and those that can be made. Pure. */
import {
  bestVolume,
  isVolumeFor,
  storageClassOf,
  type Node,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type StorageClass,
} from '#api'
import { quantityValue } from '#machinery'

export const SELECTED_NODE = 'volume.kubernetes.io/selected-node'
const NO_PROVISIONER = 'kubernetes.io/no-provisioner'

export interface VolumePlan {
  /** Claims with the volumes that they take. */
  readonly found: readonly {
    readonly claim: PersistentVolumeClaim
    readonly volume: PersistentVolume
  }[]
  /** Claims whose volumes are to be made for the node. */
  readonly made: readonly PersistentVolumeClaim[]
}

export interface VolumeSupply {
  /** Those that no other pod is about to take. */
  readonly volumes: readonly PersistentVolume[]
  readonly classOf: (name: string) => StorageClass | undefined
}

/** Undefined when the node cannot have them all. The smallest claims choose first, so that they leave large volumes. */
export function planVolumes(
  claims: readonly PersistentVolumeClaim[],
  node: Node,
  { volumes, classOf }: VolumeSupply,
): VolumePlan | undefined {
  const found: VolumePlan['found'][number][] = []
  const made: PersistentVolumeClaim[] = []
  let left = volumes
  for (const claim of claims.toSorted((a, b) => sizeOf(a) - sizeOf(b))) {
    const selected = claim.metadata.annotations?.[SELECTED_NODE]
    // Its volume is being made for a node already.
    if (selected !== undefined && selected !== node.metadata.name) return undefined
    const volume = selected === undefined ? bestVolume(claim, left, node) : undefined
    if (volume !== undefined) {
      found.push({ claim, volume })
      left = left.filter((other) => other !== volume)
    } else {
      // One is reserved for it, elsewhere.
      if (selected === undefined && left.some((other) => isVolumeFor(other, claim)))
        return undefined
      if (!canBeMade(classOf(storageClassOf(claim)), node)) return undefined
      made.push(claim)
    }
  }
  return { found, made }
}

const sizeOf = ({ spec }: PersistentVolumeClaim): number =>
  quantityValue(spec?.resources?.requests?.['storage'])

function canBeMade(storageClass: StorageClass | undefined, { metadata }: Node): boolean {
  const { provisioner = '', allowedTopologies = [] } = storageClass ?? {}
  if (provisioner === '' || provisioner === NO_PROVISIONER) return false
  return (
    allowedTopologies.length === 0 ||
    allowedTopologies.some(({ matchLabelExpressions = [] }) =>
      matchLabelExpressions.every(({ key, values }) =>
        values.includes(metadata.labels?.[key] ?? ''),
      ),
    )
  )
}
