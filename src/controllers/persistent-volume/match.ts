/** Which volume suits a claim. */
import { matchesNodeTerm, type Node, type PersistentVolume, type PersistentVolumeClaim } from '#api'
import { quantityValue, selectorMatches } from '#machinery'
import { isTerminating } from '../framework/index.ts'

const LEGACY_CLASS = 'volume.beta.kubernetes.io/storage-class'

/** '' when it names none. */
export const classOf = ({
  metadata,
  spec,
}: {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> }
  readonly spec?: { readonly storageClassName?: string }
}): string => metadata.annotations?.[LEGACY_CLASS] ?? spec?.storageClassName ?? ''

const sizeOf = (amounts: Readonly<Record<string, string>> | undefined): number =>
  quantityValue(amounts?.['storage'])

/** The volume's claim is this one, or may become it: a claim that was reserved by name only has no uid yet. */
export function isFor(volume: PersistentVolume, claim: PersistentVolumeClaim): boolean {
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
export function mismatch(
  volume: PersistentVolume,
  claim: PersistentVolumeClaim,
): string | undefined {
  const { spec, metadata } = volume
  if (isTerminating(volume)) return `the volume is marked for deletion "${metadata.name}"`
  if (sizeOf(spec?.capacity) < sizeOf(claim.spec.resources?.requests))
    return 'requested PV is too small'
  if (classOf(volume) !== classOf(claim)) return 'storageClassName does not match'
  if ((spec?.volumeAttributesClassName ?? '') !== (claim.spec.volumeAttributesClassName ?? ''))
    return 'volumeAttributesClassName does not match'
  if (modeOf(spec) !== modeOf(claim.spec)) return 'incompatible volumeMode'
  return allows(volume, claim) ? undefined : 'incompatible accessMode'
}

function suits(
  volume: PersistentVolume,
  claim: PersistentVolumeClaim,
  node: Node | undefined,
): boolean {
  const { spec, metadata } = volume
  if (spec === undefined || isTerminating(volume)) return false
  const wanted = claim.spec
  return (
    modeOf(spec) === modeOf(wanted) &&
    allows(volume, claim) &&
    sizeOf(spec.capacity) >= sizeOf(wanted.resources?.requests) &&
    (spec.volumeAttributesClassName ?? '') === (wanted.volumeAttributesClassName ?? '') &&
    (wanted.selector === undefined || selectorMatches(wanted.selector, metadata.labels)) &&
    (node === undefined || reaches(volume, node))
  )
}

/** The volume that is reserved for the claim, or else the smallest that will do. */
export function bestVolume(
  claim: PersistentVolumeClaim,
  volumes: readonly PersistentVolume[],
  node?: Node,
): PersistentVolume | undefined {
  const candidates = volumes.filter((volume) => classOf(volume) === classOf(claim))
  const reserved = volumes.find((volume) => isFor(volume, claim) && suits(volume, claim, node))
  if (reserved !== undefined) return reserved
  return candidates
    .filter(
      (volume) =>
        volume.spec?.claimRef === undefined &&
        (volume.status?.phase ?? 'Available') === 'Available' &&
        suits(volume, claim, node),
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
