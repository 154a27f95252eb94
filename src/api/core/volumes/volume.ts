/** Persistent volumes: pieces of storage that claims bind to. */
import {
  FieldPath,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
  tooLong,
  unifiedDiff,
  type FieldError,
} from '#machinery'
import { UNSET } from '../../columns.ts'
import { defineResource } from '../../define.ts'
import { equal } from '../../equal.ts'
import { goForm } from '../../go-form.ts'
import { isNegative, isZeroQuantity } from '../../quantities.ts'
import { persistentVolumes as volumesRef } from '../../resources.gen.ts'
import { check, dnsSubdomain } from '../../rules.ts'
import type { PersistentVolume, PersistentVolumeSpec } from '../../types.gen.ts'
import { validateNodeSelector } from '../pod/validate-scheduling.ts'
import { nodeTermWarnings } from '../node-labels.ts'
import { oldVolumeWarnings } from '../pod/warnings.ts'
import { accessModesText, validateAccessModes } from './claim.ts'

const path = FieldPath.of('spec')
const NOT_SOURCES = new Set([
  'accessModes',
  'capacity',
  'claimRef',
  'mountOptions',
  'nodeAffinity',
  'persistentVolumeReclaimPolicy',
  'storageClassName',
  'volumeAttributesClassName',
  'volumeMode',
])

/** The path on the host is looked for first: the others are what is too much. */
const sourcesOf = (spec: PersistentVolumeSpec): readonly string[] =>
  Object.keys(spec)
    .filter((key) => !NOT_SOURCES.has(key))
    .toSorted((a, b) => Number(b === 'hostPath') - Number(a === 'hostPath'))

const OLD_ANNOTATIONS: Readonly<Record<string, string>> = {
  'volume.beta.kubernetes.io/storage-class':
    'deprecated since v1.8; use "storageClassName" attribute instead',
  'volume.beta.kubernetes.io/mount-options':
    'deprecated since v1.31; use "mountOptions" attribute instead',
}

function volumeWarnings({ spec, metadata }: PersistentVolume): readonly string[] {
  const terms = spec.nodeAffinity?.required?.nodeSelectorTerms ?? []
  const recycles = spec.persistentVolumeReclaimPolicy === 'Recycle'
  return [
    ...terms.flatMap((term, i) =>
      nodeTermWarnings(term, `spec.nodeAffinity.required.nodeSelectorTerms[${i}]`),
    ),
    ...Object.entries(OLD_ANNOTATIONS).flatMap(([key, what]) =>
      metadata.annotations?.[key] === undefined ? [] : [`metadata.annotations[${key}]: ${what}`],
    ),
    ...(recycles
      ? [
          'spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.',
        ]
      : []),
    ...oldVolumeWarnings(spec, 'spec'),
  ]
}

function validate({ spec }: PersistentVolume): readonly FieldError[] {
  const errors: FieldError[] = []
  const { accessModes = [], capacity, storageClassName = '', nodeAffinity } = spec
  if (accessModes.length === 0) errors.push(required(path.child('accessModes')))
  errors.push(...validateAccessModes(accessModes, path.child('accessModes')))
  if (accessModes.includes('ReadWriteOncePod') && accessModes.length > 1) {
    errors.push(
      forbiddenField(
        path.child('accessModes'),
        'may not use ReadWriteOncePod with other access modes',
      ),
    )
  }
  const at = path.child('capacity')
  if (capacity === undefined) errors.push(required(at))
  if (capacity?.['storage'] === undefined || Object.keys(capacity).length > 1)
    errors.push(notSupported(at, capacity, ['storage']))
  for (const [name, size] of Object.entries(capacity ?? {}))
    if (isNegative(size) || isZeroQuantity(size))
      errors.push(invalidValue(at.key(name), size, 'must be greater than zero'))
  const sources = sourcesOf(spec)
  if (sources.length === 0) errors.push(required(path, 'must specify a volume type'))
  for (const source of sources.slice(1)) {
    const name = source === 'cephfs' ? 'cephFS' : source
    errors.push(forbiddenField(path.child(name), 'may not specify more than 1 volume type'))
  }
  if (spec.hostPath?.path.split('/').includes('..') === true) {
    errors.push(
      invalidValue(path.child('hostPath', 'path'), spec.hostPath.path, "must not contain '..'"),
    )
  }
  if (spec.hostPath?.path === '/' && spec.persistentVolumeReclaimPolicy === 'Recycle') {
    errors.push(
      forbiddenField(
        path.child('persistentVolumeReclaimPolicy'),
        "may not be 'recycle' for a hostPath mount of '/'",
      ),
    )
  }
  if (spec.local?.path.split('/').includes('..') === true) {
    errors.push(invalidValue(path.child('local', 'path'), spec.local.path, "must not contain '..'"))
  }
  const driver = spec.csi?.driver ?? ''
  if (driver !== '') {
    const at = path.child('csi', 'driver')
    if (driver.length > 63) errors.push(tooLong(at, 63))
    errors.push(...check(at, driver.toLowerCase(), dnsSubdomain))
  }
  if (spec.local && nodeAffinity?.required === undefined) {
    errors.push(required(path.child('nodeAffinity'), 'Local volume requires node affinity'))
  }
  if (nodeAffinity?.required) {
    errors.push(
      ...validateNodeSelector(nodeAffinity.required, path.child('nodeAffinity', 'required')),
    )
  } else if (nodeAffinity) {
    errors.push(
      required(path.child('nodeAffinity', 'required'), 'must specify required node constraints'),
    )
  }
  if (storageClassName !== '') {
    errors.push(...check(path.child('storageClassName'), storageClassName, dnsSubdomain))
  }
  const { volumeAttributesClassName: attributes } = spec
  if (attributes !== undefined) {
    const where = path.child('volumeAttributesClassName')
    errors.push(
      ...(attributes === ''
        ? [required(where, 'an empty string is disallowed')]
        : check(where, attributes, dnsSubdomain)),
    )
    if (spec.csi === undefined)
      errors.push(
        required(path.child('csi'), 'has to be specified when using volumeAttributesClassName'),
      )
  }
  return errors
}

function validateUpdate(now: PersistentVolume, old: PersistentVolume): readonly FieldError[] {
  const errors: FieldError[] = []
  const sources = (spec: PersistentVolumeSpec): unknown =>
    Object.fromEntries(Object.entries(spec).filter(([key]) => !NOT_SOURCES.has(key)))
  if (!equal(withoutSecrets(sources(now.spec ?? {})), withoutSecrets(sources(old.spec ?? {})))) {
    errors.push(
      forbiddenField(
        path.child('persistentvolumesource'),
        `spec.persistentvolumesource is immutable after creation\n${sourceDiff(old, now)}`,
      ),
    )
  }
  if (!equal(now.spec?.volumeMode, old.spec?.volumeMode)) {
    errors.push(
      invalidValue(FieldPath.of('volumeMode'), now.spec?.volumeMode, 'field is immutable'),
    )
  }
  if (old.spec?.nodeAffinity && !equal(now.spec?.nodeAffinity, old.spec.nodeAffinity)) {
    const affinity = now.spec?.nodeAffinity
    errors.push(
      invalidValue(
        FieldPath.of('nodeAffinity'),
        affinity && goForm('core.v1.VolumeNodeAffinity', affinity),
        'field is immutable, except for updating from beta label to GA',
      ),
    )
  }
  return errors
}

/** The sources alone, as lines of their form. */
function sourceDiff(old: PersistentVolume, now: PersistentVolume): string {
  const text = ({ spec }: PersistentVolume): string => {
    const form = goForm('core.v1.PersistentVolumeSpec', spec) as Readonly<Record<string, unknown>>
    const own = Object.entries(form).filter(([name]) => !NOT_SOURCES.has(lower(name)))
    return JSON.stringify(Object.fromEntries(own), null, 1)
  }
  return unifiedDiff(text(old), text(now))
}
const lower = (name: string): string => name.charAt(0).toLowerCase() + name.slice(1)

/** The secrets of a CSI volume may be replaced. */
function withoutSecrets(sources: unknown): unknown {
  const { csi, ...rest } = sources as { csi?: Readonly<Record<string, unknown>> }
  if (csi === undefined) return rest
  const kept = Object.entries(csi).filter(([key]) => !key.endsWith('SecretRef'))
  return { ...rest, csi: Object.fromEntries(kept) }
}

const seconds = (time: Date): string => `${time.toISOString().slice(0, 19)}Z`

export const persistentVolumes = defineResource(volumesRef, {
  defaults({ spec, status }) {
    if (spec) {
      spec.persistentVolumeReclaimPolicy ??= 'Retain'
      spec.volumeMode ??= 'Filesystem'
      if (spec.hostPath) spec.hostPath.type ??= ''
    }
    if (status) status.phase ??= 'Pending'
  },
  validate,
  validateUpdate: (now, old, { subresource }) =>
    subresource === '' ? validateUpdate(now, old) : [],
  prepareForCreate(volume, { now }) {
    volume.status = { phase: 'Pending', lastPhaseTransitionTime: seconds(now) }
  },
  prepareForUpdate(volume, old, { subresource, now }) {
    if (subresource !== 'status' || volume.status === undefined) return
    if (volume.status.phase !== old.status?.phase) {
      volume.status.lastPhaseTransitionTime = seconds(now)
    }
  },
  warnings: volumeWarnings,
  cells: {
    Capacity: ({ spec }) => spec?.capacity?.['storage'] ?? '',
    'Access Modes': ({ spec }) => accessModesText(spec?.accessModes),
    'Reclaim Policy': ({ spec }) => spec?.persistentVolumeReclaimPolicy ?? '',
    Status: ({ metadata, status }) =>
      metadata.deletionTimestamp === undefined ? (status?.phase ?? '') : 'Terminating',
    Claim: ({ spec }) =>
      spec?.claimRef ? `${spec.claimRef.namespace ?? ''}/${spec.claimRef.name ?? ''}` : '',
    StorageClass: ({ spec, metadata }) =>
      metadata.annotations?.['volume.beta.kubernetes.io/storage-class'] ??
      spec?.storageClassName ??
      '',
    VolumeAttributesClass: ({ spec }) => spec?.volumeAttributesClassName ?? UNSET,
    Reason: ({ status }) => status?.reason ?? '',
    VolumeMode: ({ spec }) => spec?.volumeMode ?? UNSET,
  },
})
