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

/** Upstream tells some of these of the list, and not of the entry: clients find its words there. */
export function validateMounts(
  container: Container | EphemeralContainer,
  volumes: NamedVolumes,
  path: FieldPath,
): readonly FieldError[] {
  const { volumeMounts = [], volumeDevices = [] } = container
  if (volumeMounts.length === 0 && volumeDevices.length === 0) return []
  const list = path.child('volumeMounts')
  const errors: FieldError[] = []
  const paths = new Set<string>()
  const devices = placesOf(volumeDevices.map(({ name, devicePath }) => [name, devicePath]))
  for (const [i, mount] of volumeMounts.entries()) {
    // Required of clients, and not of those that send nothing.
    const name = mount.name ?? ''
    const mountPath = mount.mountPath ?? ''
    const at = list.index(i)
    if (name === '') errors.push(required(at.child('name')))
    if (!volumes.has(name)) errors.push(fieldNotFound(at.child('name'), name))
    if (mountPath === '') errors.push(required(at.child('mountPath')))
    if (paths.has(mountPath)) {
      errors.push(invalidValue(at.child('mountPath'), mountPath, 'must be unique'))
    }
    paths.add(mountPath)
    errors.push(...notTaken(at, { name, mountPath }, devices, 'volumeDevices'))
    errors.push(...validateSubPath(mount, list))
    const privileged = container.securityContext?.privileged === true
    if (mount.mountPropagation === 'Bidirectional' && !privileged) {
      errors.push(
        forbiddenField(
          list.child('mountPropagation'),
          'Bidirectional mount propagation is available only to privileged containers',
        ),
      )
    }
    errors.push(...validateRecursiveReadOnly(mount, list.child('recursiveReadOnly')))
  }
  const mounts = placesOf(volumeMounts.map(({ name, mountPath }) => [name, mountPath]))
  errors.push(...validateDevices(volumeDevices, volumes, mounts, path.child('volumeDevices')))
  return errors
}

interface Places {
  readonly names: ReadonlySet<string>
  readonly paths: ReadonlySet<string>
}

const placesOf = (
  entries: readonly (readonly [name: string | undefined, path: string | undefined])[],
): Places => ({
  names: new Set(entries.map(([name = '']) => name)),
  paths: new Set(entries.map(([, path = '']) => path)),
})

/** A volume is a folder or a device of a container, and a path leads to one of them. */
function notTaken(
  at: FieldPath,
  place: Readonly<Record<string, string>>,
  { names, paths }: Places,
  by: 'volumeDevices' | 'volumeMounts',
): readonly FieldError[] {
  return Object.entries(place).flatMap(([field, value]) => {
    const isName = field === 'name'
    if (!(isName ? names : paths).has(value)) return []
    const what = isName ? '' : 'as a path '
    return [invalidValue(at.child(field), value, `must not already exist ${what}in ${by}`)]
  })
}

function validateSubPath(
  { subPath = '', subPathExpr = '' }: VolumeMount,
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  if (subPath !== '') errors.push(...relativePath(subPath, path.child('subPath')))
  if (subPathExpr === '') return errors
  const at = path.child('subPathExpr')
  if (subPath !== '') {
    const why = 'subPathExpr and subPath are mutually exclusive'
    errors.push(invalidValue(at, subPathExpr, why))
  }
  return [...errors, ...relativePath(subPathExpr, at)]
}

const RECURSIVE = ['Disabled', 'Enabled', 'IfPossible']

function validateRecursiveReadOnly(
  { recursiveReadOnly, readOnly, mountPropagation = 'None' }: VolumeMount,
  at: FieldPath,
): readonly FieldError[] {
  if (recursiveReadOnly === undefined || recursiveReadOnly === 'Disabled') return []
  if (!RECURSIVE.includes(recursiveReadOnly)) {
    return [notSupported(at, recursiveReadOnly, RECURSIVE)]
  }
  const errors: FieldError[] = []
  if (readOnly !== true) {
    errors.push(forbiddenField(at, 'may only be specified when readOnly is true'))
  }
  if (mountPropagation !== 'None') {
    const why = 'may only be specified when mountPropagation is None or not specified'
    errors.push(forbiddenField(at, why))
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
  mounts: Places,
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const paths = new Set<string>()
  const names = new Set<string>()
  for (const [i, { name = '', devicePath = '' }] of devices.entries()) {
    const at = path.index(i)
    const volume = volumes.get(name)
    if (name === '') errors.push(required(at.child('name')))
    if (names.has(name)) errors.push(invalidValue(at.child('name'), name, 'must be unique'))
    if (volume?.isClaim === false) {
      errors.push(
        invalidValue(
          at.child('name'),
          name,
          'can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode',
        ),
      )
    }
    if (volume === undefined) errors.push(fieldNotFound(at.child('name'), name))
    if (devicePath === '') errors.push(required(at.child('devicePath')))
    if (paths.has(devicePath)) {
      errors.push(invalidValue(at.child('devicePath'), devicePath, 'must be unique'))
    }
    if (devicePath.split('/').includes('..')) {
      const why = "can not contain backsteps ('..')"
      errors.push(invalidValue(at.child('devicePath'), devicePath, why))
    } else paths.add(devicePath)
    errors.push(...notTaken(at, { name, devicePath }, mounts, 'volumeMounts'))
    names.add(name)
  }
  return errors
}
