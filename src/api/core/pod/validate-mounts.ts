/** Rules about what a container sees of its pod's volumes: folders, files and block devices. */
import {
  type FieldError,
  type FieldPath,
  fieldNotFound,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
} from '#machinery'
import type { Container, EphemeralContainer, VolumeDevice, VolumeMount } from '../../types.gen.ts'

/** The pod's volumes by name; only claims may be block devices. */
export type NamedVolumes = ReadonlyMap<string, { readonly isClaim: boolean }>

export function validateMounts(
  container: Container | EphemeralContainer,
  volumes: NamedVolumes,
  path: FieldPath,
): readonly FieldError[] {
  const { volumeMounts = [], volumeDevices = [] } = container
  if (volumeMounts.length === 0 && volumeDevices.length === 0) return []
  const errors: FieldError[] = []
  const paths = new Set<string>()
  for (const [i, mount] of volumeMounts.entries()) {
    const at = path.child('volumeMounts').index(i)
    errors.push(...validateMount(mount, volumes, at))
    if (paths.has(mount.mountPath)) {
      errors.push(invalidValue(at.child('mountPath'), mount.mountPath, 'must be unique'))
    }
    paths.add(mount.mountPath)
    const privileged = container.securityContext?.privileged === true
    if (mount.mountPropagation === 'Bidirectional' && !privileged) {
      errors.push(
        forbiddenField(
          at.child('mountPropagation'),
          'Bidirectional mount propagation is available only to privileged containers',
        ),
      )
    }
  }
  errors.push(...validateDevices(volumeDevices, volumes, paths, path.child('volumeDevices')))
  return errors
}

function validateMount(
  mount: VolumeMount,
  volumes: NamedVolumes,
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const { name, mountPath, subPath = '', subPathExpr = '', recursiveReadOnly } = mount
  if (name === '') errors.push(required(path.child('name')))
  if (name !== '' && !volumes.has(name)) errors.push(fieldNotFound(path.child('name'), name))
  if (mountPath.includes(':')) {
    errors.push(invalidValue(path.child('mountPath'), mountPath, "must not contain ':'"))
  }
  if (subPath !== '') errors.push(...relativePath(subPath, path.child('subPath')))
  if (subPathExpr !== '') {
    if (subPath !== '') {
      errors.push(
        invalidValue(
          path.child('subPathExpr'),
          subPathExpr,
          'subPathExpr and subPath are mutually exclusive',
        ),
      )
    }
    errors.push(...relativePath(subPathExpr, path.child('subPathExpr')))
  }
  if (recursiveReadOnly !== undefined) {
    const at = path.child('recursiveReadOnly')
    const values = ['Disabled', 'Enabled', 'IfPossible']
    if (!values.includes(recursiveReadOnly)) {
      errors.push(notSupported(at, recursiveReadOnly, values))
    } else if (recursiveReadOnly !== 'Disabled' && mount.readOnly !== true) {
      errors.push(forbiddenField(at, 'may only be specified when readOnly is true'))
    }
  }
  return errors
}

/** Inside the volume, and not above it. */
export function relativePath(value: string, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  if (value.startsWith('/')) errors.push(invalidValue(path, value, 'must be a relative path'))
  if (value.split('/').includes('..')) {
    errors.push(invalidValue(path, value, "must not contain '..'"))
  }
  return errors
}

function validateDevices(
  devices: readonly VolumeDevice[],
  volumes: NamedVolumes,
  mountPaths: ReadonlySet<string>,
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const paths = new Set<string>()
  const names = new Set<string>()
  for (const [i, { name, devicePath }] of devices.entries()) {
    const at = path.index(i)
    const volume = volumes.get(name)
    if (names.has(name)) errors.push(invalidValue(at.child('name'), name, 'must be unique'))
    if (name !== '' && volume === undefined) errors.push(fieldNotFound(at.child('name'), name))
    if (volume?.isClaim === false) {
      errors.push(
        invalidValue(
          at.child('name'),
          name,
          'can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode',
        ),
      )
    }
    if (paths.has(devicePath)) {
      errors.push(invalidValue(at.child('devicePath'), devicePath, 'must be unique'))
    }
    if (devicePath.split('/').includes('..')) {
      errors.push(
        invalidValue(at.child('devicePath'), devicePath, 'can not contain backsteps (..)'),
      )
    }
    if (mountPaths.has(devicePath)) {
      errors.push(
        invalidValue(at.child('devicePath'), devicePath, 'must not already exist in volumeMounts'),
      )
    }
    names.add(name)
    paths.add(devicePath)
  }
  return errors
}
