/** Rules about volumes: one source each, and what each source needs. */
import {
  type FieldPath,
  duplicate,
  forbiddenField,
  invalidValue,
  required,
  type FieldError,
} from '#machinery'
import { pathsOf, validateBundleSource, validatePodCertificate } from '../../trust.ts'
import type {
  DownwardAPIVolumeFile,
  FCVolumeSource,
  KeyToPath,
  ProjectedVolumeSource,
  ServiceAccountTokenProjection,
  Volume,
} from '../../types.gen.ts'
import { isNegative } from '../../quantities.ts'
import { check, configKey, dnsLabel, dnsSubdomain } from '../../rules.ts'
import { validateClaimSpec } from '../volumes/claim.ts'
import { relativePath } from './validate-mounts.ts'
import { validateFieldRef, validateResourceRef } from './validate-env.ts'

const MODE = 'must be a number between 0 and 0777 (octal), both inclusive'

export function validateVolumes(
  volumes: readonly Volume[],
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const names = new Set<string>()
  for (const [i, volume] of volumes.entries()) {
    const at = path.index(i)
    const wrong: FieldError[] = [...validateVolumeSource(volume, at)]
    if (volume.name === '') wrong.push(required(at.child('name')))
    else wrong.push(...check(at.child('name'), volume.name, dnsLabel))
    if (names.has(volume.name)) wrong.push(duplicate(at.child('name'), volume.name))
    names.add(volume.name)
    errors.push(...wrong)
  }
  return errors
}

/** Kubernetes writes these so where there is one too many. */
const WRITTEN: Readonly<Record<string, string>> = { cephfs: 'cephFS', downwardAPI: 'downwarAPI' }

function validateVolumeSource(volume: Volume, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  let sources = 0
  const kinds = Object.keys(volume).filter((key) => key !== 'name')
  // Upstream looks for an empty directory first: the others are what is too much.
  for (const kind of kinds.toSorted(
    (a, b) => Number(b === 'emptyDir') - Number(a === 'emptyDir'),
  )) {
    if (sources > 0) {
      errors.push(
        forbiddenField(
          path.child(WRITTEN[kind] ?? kind),
          'may not specify more than 1 volume type',
        ),
      )
    } else errors.push(...validateSource(volume, kind, path.child(kind)))
    sources++
  }
  if (sources === 0) errors.push(required(path, 'must specify a volume type'))
  return errors
}

function validateSource(volume: Volume, kind: string, path: FieldPath): readonly FieldError[] {
  switch (kind) {
    case 'emptyDir': {
      const limit = volume.emptyDir?.sizeLimit
      return limit !== undefined && isNegative(limit)
        ? [
            forbiddenField(
              path.child('sizeLimit'),
              'SizeLimit field must be a valid resource quantity',
            ),
          ]
        : []
    }
    case 'hostPath':
      return noBacksteps(volume.hostPath?.path ?? '', path.child('path'))
    case 'nfs': {
      const directory = volume.nfs?.path ?? ''
      return directory === '' || directory.startsWith('/')
        ? []
        : [invalidValue(path.child('path'), directory, 'must be an absolute path')]
    }
    case 'secret': {
      const { secretName = '', items, defaultMode } = volume.secret ?? {}
      return [
        ...(secretName === '' ? [required(path.child('secretName'))] : []),
        ...mode(defaultMode, path.child('defaultMode')),
        ...validateItems(items, path.child('items')),
      ]
    }
    case 'configMap': {
      const { name = '', items, defaultMode } = volume.configMap ?? {}
      return [
        ...(name === '' ? [required(path.child('name'))] : []),
        ...mode(defaultMode, path.child('defaultMode')),
        ...validateItems(items, path.child('items')),
      ]
    }
    case 'downwardAPI':
      return [
        ...mode(volume.downwardAPI?.defaultMode, path.child('defaultMode')),
        ...validateFiles(volume.downwardAPI?.items, path.child('items')),
      ]
    case 'projected':
      return validateProjected(volume.projected, path)
    case 'ephemeral': {
      const template = volume.ephemeral?.volumeClaimTemplate
      return template === undefined
        ? [required(path.child('volumeClaimTemplate'))]
        : validateClaimSpec(template.spec, path.child('volumeClaimTemplate', 'spec'))
    }
    case 'iscsi': {
      const { iqn = '', lun = 0 } = volume.iscsi ?? {}
      return [
        ...(iqn === '' || IQN.test(iqn)
          ? []
          : [invalidValue(path.child('iqn'), iqn, 'must be valid format')]),
        ...(lun < 0 || lun > 255
          ? [invalidValue(path.child('lun'), lun, 'must be between 0 and 255, inclusive')]
          : []),
      ]
    }
    case 'fc':
      return validateFibreChannel(volume.fc ?? {}, path)
    case 'flocker': {
      const { datasetName = '', datasetUUID = '' } = volume.flocker ?? {}
      if (datasetName === '' && datasetUUID === '')
        return [required(path, 'one of datasetName and datasetUUID is required')]
      if (datasetName !== '' && datasetUUID !== '')
        return [
          invalidValue(
            path,
            'resource',
            'datasetName and datasetUUID can not be specified simultaneously',
          ),
        ]
      return datasetName.includes('/')
        ? [invalidValue(path.child('datasetName'), datasetName, "must not contain '/'")]
        : []
    }
    case 'storageos':
      return (volume.storageos?.volumeName ?? '') === '' ? [required(path.child('volumeName'))] : []
    case 'csi': {
      const driver = volume.csi?.driver ?? ''
      return driver === '' ? [] : check(path.child('driver'), driver.toLowerCase(), dnsSubdomain)
    }
    default:
      return []
  }
}

const IQN =
  /^(iqn\.\d{4}-\d{2}\.([a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)*)(:\S+)?|eui\.[0-9a-fA-F]{16}|naa\.[0-9a-fA-F]{32})$/

function validateFibreChannel(
  { targetWWNs = [], wwids = [], lun }: FCVolumeSource,
  path: FieldPath,
): readonly FieldError[] {
  const EITHER = 'must specify either targetWWNs or wwids'
  if (targetWWNs.length === 0 && wwids.length === 0)
    return [required(path.child('targetWWNs'), `${EITHER}, but not both`)]
  if (targetWWNs.length > 0 && wwids.length > 0)
    return [
      invalidValue(
        path.child('targetWWNs'),
        targetWWNs,
        'targetWWNs and wwids can not be specified simultaneously',
      ),
    ]
  if (targetWWNs.length === 0) return []
  if (lun === undefined)
    return [required(path.child('lun'), 'lun is required if targetWWNs is specified')]
  return lun < 0 || lun > 255
    ? [invalidValue(path.child('lun'), lun, 'must be between 0 and 255, inclusive')]
    : []
}

function noBacksteps(value: string, path: FieldPath): readonly FieldError[] {
  return value.split('/').includes('..') ? [invalidValue(path, value, "must not contain '..'")] : []
}

function mode(value: number | undefined, path: FieldPath): readonly FieldError[] {
  return value !== undefined && (value < 0 || value > 0o777)
    ? [invalidValue(path, value, MODE)]
    : []
}

function validateItems(
  items: readonly KeyToPath[] | undefined,
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  for (const [i, item] of (items ?? []).entries()) {
    const at = path.index(i)
    if (item.key !== '') errors.push(...check(at.child('key'), item.key, configKey))
    if (item.path !== '') errors.push(...localPath(item.path, at.child('path')))
    errors.push(...mode(item.mode, at.child('mode')))
  }
  return errors
}

/** Names beginning with two dots belong to the machinery that replaces the files at once. */
function localPath(value: string, path: FieldPath): readonly FieldError[] {
  const errors = [...relativePath(value, path)]
  if (value.startsWith('..') && !value.startsWith('../')) {
    errors.push(invalidValue(path, value, "must not start with '..'"))
  }
  return errors
}

function validateFiles(
  files: readonly DownwardAPIVolumeFile[] | undefined,
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  for (const [i, file] of (files ?? []).entries()) {
    const at = path.index(i)
    if (file.path !== '') errors.push(...localPath(file.path, at.child('path')))
    errors.push(...mode(file.mode, at.child('mode')))
    if (file.fieldRef) {
      errors.push(...validateFieldRef(file.fieldRef, at.child('fieldRef'), 'file'))
      if (file.resourceFieldRef) {
        errors.push(
          invalidValue(
            at,
            'resource',
            'fieldRef and resourceFieldRef can not be specified simultaneously',
          ),
        )
      }
    } else if (file.resourceFieldRef) {
      const ref = at.child('resourceFieldRef')
      errors.push(...validateResourceRef(file.resourceFieldRef, ref, { inVolume: true }))
    } else {
      errors.push(required(at, 'one of fieldRef and resourceFieldRef is required'))
    }
  }
  return errors
}

function validateProjected(
  volume: ProjectedVolumeSource | undefined,
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = [...mode(volume?.defaultMode, path.child('defaultMode'))]
  const paths = new Set<string>()
  const claim = (file: string, at: FieldPath): void => {
    if (file === '') return
    if (paths.has(file)) errors.push(invalidValue(at, file, 'conflicting duplicate paths'))
    paths.add(file)
  }
  for (const [i, source] of (volume?.sources ?? []).entries()) {
    const at = path.child('sources').index(i)
    const kinds = Object.keys(source)
    for (const kind of kinds.slice(1)) {
      errors.push(
        forbiddenField(at.child(kind), 'may not specify more than 1 volume type per source'),
      )
    }
    if (kinds.length === 0) {
      errors.push(required(at, 'must specify one of the volume sources'))
    }
    for (const kind of ['secret', 'configMap'] as const) {
      const projection = source[kind]
      if (projection === undefined) continue
      if ((projection.name ?? '') === '') errors.push(required(at.child(kind, 'name')))
      errors.push(...validateItems(projection.items, at.child(kind, 'items')))
      for (const item of projection.items ?? []) claim(item.path, at.child(kind, 'path'))
    }
    if (source.downwardAPI) {
      const items = at.child('downwardAPI', 'items')
      errors.push(...validateFiles(source.downwardAPI.items, items))
      for (const item of source.downwardAPI.items ?? [])
        claim(item.path, at.child('downwardAPI', 'path'))
    }
    if (source.serviceAccountToken) {
      const token = at.child('serviceAccountToken')
      errors.push(...validateToken(source.serviceAccountToken, token))
      claim(source.serviceAccountToken.path, token.child('path'))
    }
    if (source.clusterTrustBundle) {
      const bundle = at.child('clusterTrustBundle')
      errors.push(...validateBundleSource(source.clusterTrustBundle, bundle))
      const file = (source.clusterTrustBundle.path as string | undefined) ?? ''
      if (file !== '') errors.push(...localPath(file, bundle.child('path')))
      claim(file, bundle.child('path'))
    }
    if (source.podCertificate) {
      const certificate = at.child('podCertificate')
      errors.push(...validatePodCertificate(source.podCertificate, certificate))
      for (const [field, file] of pathsOf(source.podCertificate)) {
        errors.push(...localPath(file, certificate.child(field)))
        claim(file, certificate.child(field))
      }
    }
  }
  return errors
}

function validateToken(
  { expirationSeconds = 3600, path: file }: ServiceAccountTokenProjection,
  path: FieldPath,
): readonly FieldError[] {
  const at = path.child('expirationSeconds')
  const errors: FieldError[] = []
  if (expirationSeconds < 600) {
    errors.push(
      invalidValue(at, expirationSeconds, 'may not specify a duration less than 10 minutes'),
    )
  } else if (expirationSeconds > 2 ** 32) {
    errors.push(
      invalidValue(at, expirationSeconds, 'may not specify a duration larger than 2^32 seconds'),
    )
  }
  if (file !== '') errors.push(...localPath(file, path.child('path')))
  return errors
}
