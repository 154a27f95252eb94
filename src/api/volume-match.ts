/** Which volume suits a claim. */
import { quantityValue, selectorMatches } from '#machinery'
import { matchesNodeTerm } from './node-terms.ts'
import type { Node, PersistentVolume, PersistentVolumeClaim } from './types.gen.ts'

const LEGACY_CLASS = 'volume.beta.kubernetes.io/storage-class'

/** The storage class of a claim or a volume: '' when it names none. */
export const storageClassOf = ({
  metadata,
  spec,
}: {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> }
  readonly spec?: { readonly storageClassName?: string }
}): string => metadata.annotations?.[LEGACY_CLASS] ?? spec?.storageClassName ?? ''

const isTerminating = ({ metadata }: PersistentVolume): boolean =>
  metadata.deletionTimestamp !== undefined

const sizeOf = (amounts: Readonly<Record<string, string>> | undefined): number =>
  quantityValue(amounts?.['storage'])

/** The volume's claim is this one, or may become it: a claim that was reserved by name only has no uid yet. */
export function isVolumeFor(volume: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  const reference = volume.spec?.claimRef
  return (
    reference !== undefined &&
    reference.namespace === claim.metadata.namespace &&
    reference.name === claim.metadata.name &&
    (!reference.uid || reference.uid === claim.metadata.uid)
  )
}

const modeOf = (spec: { readonly volumeMode?: string } | undefined): string =>
  spec?.volumeMode ?? 'Filesystem'

const allows = ({ spec }: PersistentVolume, claim: PersistentVolumeClaim): boolean => {
  const modes: readonly string[] = spec?.accessModes ?? []
  return (claim.spec.accessModes ?? []).every((mode) => modes.includes(mode))
}

/** Why a claim cannot have the very volume that it asks for; undefined when it can. */
export function volumeMismatch(
  volume: PersistentVolume,
  claim: PersistentVolumeClaim,
): string | undefined {
  const { spec, metadata } = volume
  if (isTerminating(volume)) return `the volume is marked for deletion "${metadata.name}"`
  if (sizeOf(spec?.capacity) < sizeOf(claim.spec.resources?.requests))
    return 'requested PV is too small'
  if (storageClassOf(volume) !== storageClassOf(claim)) return 'storageClassName does not match'
  if ((spec?.volumeAttributesClassName ?? '') !== (claim.spec.volumeAttributesClassName ?? ''))
    return 'volumeAttributesClassName does not match'
  if (modeOf(spec) !== modeOf(claim.spec)) return 'incompatible volumeMode'
  return allows(volume, claim) ? undefined : 'incompatible accessMode'
}

function suits(volume: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  const { spec, metadata } = volume
  if (spec === undefined || isTerminating(volume)) return false
  const wanted = claim.spec
  return (
    modeOf(spec) === modeOf(wanted) &&
    allows(volume, claim) &&
    sizeOf(spec.capacity) >= sizeOf(wanted.resources?.requests) &&
    (spec.volumeAttributesClassName ?? '') === (wanted.volumeAttributesClassName ?? '') &&
    (wanted.selector === undefined || selectorMatches(wanted.selector, metadata.labels))
  )
}

/** The volume that is reserved for the claim, though it cannot be reached from everywhere; else the smallest that will do. */
export function bestVolume(
  claim: PersistentVolumeClaim,
  volumes: readonly PersistentVolume[],
  node?: Node,
): PersistentVolume | undefined {
  const candidates = volumes.filter((volume) => storageClassOf(volume) === storageClassOf(claim))
  const isWithin = (volume: PersistentVolume): boolean =>
    node === undefined || reaches(volume, node)
  const reserved = volumes.find((volume) => isVolumeFor(volume, claim) && suits(volume, claim))
  if (reserved !== undefined) return isWithin(reserved) ? reserved : undefined
  return candidates
    .filter(
      (volume) =>
        volume.spec?.claimRef === undefined &&
        (volume.status?.phase ?? 'Available') === 'Available' &&
        suits(volume, claim) &&
        isWithin(volume),
    )
    .toSorted(
      (a, b) =>
        sizeOf(a.spec?.capacity) - sizeOf(b.spec?.capacity) ||
        (a.metadata.name < b.metadata.name ? -1 : 1),
    )[0]
}

function reaches({ spec }: PersistentVolume, node: Node): boolean {
  const terms = spec?.nodeAffinity?.required?.nodeSelectorTerms
  return terms === undefined || terms.some((term) => matchesNodeTerm(term, node))
}
