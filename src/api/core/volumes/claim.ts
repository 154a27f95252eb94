/** Persistent volume claims: what a user asks of storage. */
import {
  compareQuantities,
  FieldPath,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
  type FieldError,
} from '#machinery'
import { UNSET } from '../../columns.ts'
import { claimWarnings } from '../pod/warnings.ts'
import { defineResource } from '../../define.ts'
import { equal } from '../../equal.ts'
import { formDiff } from '../../go-form.ts'
import type { Mutable } from '../../mutable.ts'
import { isNegative, isZeroQuantity } from '../../quantities.ts'
import { persistentVolumeClaims as claimsRef } from '../../resources.gen.ts'
import { check, dnsLabel, dnsSubdomain, validateLabelSelector } from '../../rules.ts'
import type { PersistentVolumeClaim, PersistentVolumeClaimSpec } from '../../types.gen.ts'

const root = FieldPath.of('spec')
const MODES: Readonly<Record<string, string>> = {
  ReadWriteOnce: 'RWO',
  ReadOnlyMany: 'ROX',
  ReadWriteMany: 'RWX',
  ReadWriteOncePod: 'RWOP',
}

/** `RWO,RWX`, each mode once. */
const ACCESS_MODES = ['ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod']
/** The path does not say which mode it is. */
export const validateAccessModes = (
  modes: readonly string[],
  path: FieldPath,
): readonly FieldError[] =>
  modes
    .filter((mode) => !ACCESS_MODES.includes(mode))
    .map((mode) => notSupported(path, mode, ACCESS_MODES))

export const accessModesText = (modes: readonly string[] | undefined): string =>
  Object.keys(MODES)
    .filter((mode) => modes?.includes(mode))
    .map((mode) => MODES[mode])
    .join(',')

export function validateClaimSpec(
  spec: PersistentVolumeClaimSpec | undefined,
  path: FieldPath,
): readonly FieldError[] {
  if (spec === undefined) return [required(path)]
  const errors: FieldError[] = []
  const { accessModes = [], storageClassName = '', resources, volumeMode } = spec
  const modesPath = path.child('accessModes')
  if (accessModes.length === 0) {
    errors.push(required(modesPath, 'at least 1 access mode is required'))
  }
  errors.push(...validateAccessModes(accessModes, modesPath))
  if (accessModes.includes('ReadWriteOncePod') && accessModes.length > 1) {
    errors.push(forbiddenField(modesPath, 'may not use ReadWriteOncePod with other access modes'))
  }
  errors.push(...validateLabelSelector(spec.selector, path.child('selector')))
  const asked = resources?.requests?.['storage']
  const at = path.child('resources').key('storage')
  if (asked === undefined) errors.push(required(at))
  else if (isNegative(asked) || isZeroQuantity(asked)) {
    errors.push(invalidValue(at, asked, 'must be greater than zero'))
  }
  if (storageClassName !== '') {
    errors.push(...check(path.child('storageClassName'), storageClassName, dnsSubdomain))
  }
  const attributes = spec.volumeAttributesClassName ?? ''
  if (attributes !== '') {
    errors.push(...check(path.child('volumeAttributesClassName'), attributes, dnsSubdomain))
  }
  const { dataSource, dataSourceRef } = spec
  if (dataSource && dataSourceRef && dataSourceRef.namespace === undefined) {
    const same = (['apiGroup', 'kind', 'name'] as const).every(
      (field) => (dataSource[field] ?? '') === (dataSourceRef[field] ?? ''),
    )
    if (!same) errors.push(invalidValue(path, {}, 'must match dataSourceRef'))
  }
  if (volumeMode !== undefined && !['Block', 'Filesystem'].includes(volumeMode)) {
    errors.push(notSupported(path.child('volumeMode'), volumeMode, ['Block', 'Filesystem']))
  }
  for (const name of ['dataSource', 'dataSourceRef'] as const) {
    const source = spec[name]
    if (source === undefined) continue
    const from = path.child(name)
    const { apiGroup = '', kind } = source
    if (apiGroup === '' && kind !== 'PersistentVolumeClaim')
      errors.push(
        invalidValue(
          from,
          kind,
          "must be 'PersistentVolumeClaim' when referencing the default apiGroup",
        ),
      )
    if ('namespace' in source && (source.namespace ?? '') !== '')
      errors.push(...check(from.child('namespace'), source.namespace ?? '', dnsLabel))
  }
  return errors
}

/** Claims of old may hold other groups. */
function validateNew({ spec }: PersistentVolumeClaim): readonly FieldError[] {
  return (['dataSource', 'dataSourceRef'] as const).flatMap((name) => {
    const group = spec?.[name]?.apiGroup ?? ''
    return group === '' ? [] : check(root.child(name, 'apiGroup'), group, dnsSubdomain)
  })
}

/** The older field may name a claim or a snapshot; what else it names has always been dropped. */
function dropOldSource(spec: Mutable<PersistentVolumeClaimSpec> | undefined): void {
  const { dataSource, dataSourceRef } = spec ?? {}
  if (spec === undefined || dataSource === undefined || dataSourceRef !== undefined) return
  const { apiGroup = '', kind } = dataSource
  const isClaim = kind === 'PersistentVolumeClaim' && apiGroup === ''
  const isSnapshot = kind === 'VolumeSnapshot' && apiGroup === 'snapshot.storage.k8s.io'
  if (!isClaim && !isSnapshot) delete spec.dataSource
}

/** Two fields for one thing; the newer one can name more. */
function mirrorSources(spec: Mutable<PersistentVolumeClaimSpec> | undefined): void {
  if (spec === undefined) return
  const { dataSource, dataSourceRef } = spec
  if (dataSource && !dataSourceRef) spec.dataSourceRef = { ...dataSource }
  else if (dataSourceRef && !dataSource && dataSourceRef.namespace === undefined) {
    const { namespace: _, ...rest } = dataSourceRef
    spec.dataSource = { ...rest }
  }
}

/** A bound claim may grow, and change its class of attributes. */
function validateUpdate(
  now: PersistentVolumeClaim,
  old: PersistentVolumeClaim,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const changed: Mutable<PersistentVolumeClaimSpec> = {
    ...(now.spec as Mutable<PersistentVolumeClaimSpec>),
  }
  const before = old.spec as Mutable<PersistentVolumeClaimSpec>
  // Binding fills the name of the volume in.
  if ((before.volumeName ?? '') === '') copy(changed, before, 'volumeName')
  const after = now.spec.resources?.requests?.['storage']
  const was = old.spec.resources?.requests?.['storage']
  const bound = old.status?.phase === 'Bound'
  if (bound && after !== was) copy(changed, before, 'resources')
  copy(changed, before, 'volumeAttributesClassName')
  if (
    before.storageClassName === undefined &&
    (old.metadata.annotations ?? {})['volume.beta.kubernetes.io/storage-class'] === undefined
  ) {
    // A default class may be filled in later.
    copy(changed, before, 'storageClassName')
  }
  if (!equal(changed, before)) {
    const where = formDiff('core.v1.PersistentVolumeClaimSpec', before, changed)
    errors.push(
      forbiddenField(
        root,
        `spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n${where}`,
      ),
    )
  }
  if (bound && after !== undefined && was !== undefined && compareQuantities(after, was) < 0) {
    const capacity = old.status?.capacity?.['storage']
    if (capacity === undefined || compareQuantities(after, capacity) <= 0) {
      errors.push(
        forbiddenField(
          root.child('resources', 'requests', 'storage'),
          'field can not be less than status.capacity',
        ),
      )
    }
  }
  return errors
}

function copy<T extends object, Key extends keyof T>(to: T, from: T, key: Key): void {
  const value = from[key]
  if (value === undefined) delete to[key]
  else to[key] = value
}

export const persistentVolumeClaims = defineResource(claimsRef, {
  defaults({ spec, status }) {
    if (spec) spec.volumeMode ??= 'Filesystem'
    if (status) status.phase ??= 'Pending'
  },
  validate: ({ spec }) => validateClaimSpec(spec, root),
  validateNew,
  validateUpdate: (now, old, { subresource }) =>
    subresource === '' ? validateUpdate(now, old) : [],
  prepareForCreate(claim) {
    claim.status = { phase: 'Pending' }
    dropOldSource(claim.spec)
    mirrorSources(claim.spec)
  },
  prepareForUpdate(claim, _old, { subresource }) {
    if (subresource === '') mirrorSources(claim.spec)
  },
  warnings: ({ spec }) => claimWarnings(spec, 'spec'),
  cells: {
    Status: ({ metadata, status }) =>
      metadata.deletionTimestamp === undefined ? (status?.phase ?? '') : 'Terminating',
    Volume: ({ spec }) => spec.volumeName ?? '',
    Capacity: ({ spec, status }) =>
      (spec.volumeName ?? '') === '' ? '' : (status?.capacity?.['storage'] ?? ''),
    'Access Modes': ({ spec, status }) =>
      (spec.volumeName ?? '') === '' ? '' : accessModesText(status?.accessModes),
    StorageClass: ({ spec, metadata }) =>
      metadata.annotations?.['volume.beta.kubernetes.io/storage-class'] ??
      spec.storageClassName ??
      '',
    VolumeAttributesClass: ({ spec }) => spec.volumeAttributesClassName ?? UNSET,
    VolumeMode: ({ spec }) => spec.volumeMode ?? UNSET,
  },
})
