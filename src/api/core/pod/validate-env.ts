/** Rules about environment variables and where their values come from. */
import { type FieldPath, invalidValue, notSupported, required, type FieldError } from '#machinery'
import type {
  EnvFromSource,
  EnvVar,
  ObjectFieldSelector,
  ResourceFieldSelector,
} from '../../types.gen.ts'
import { check, configKey, dnsSubdomain, envName, qualifiedName } from '../../rules.ts'

const ENV_FIELDS = [
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'spec.nodeName',
  'spec.serviceAccountName',
  'status.hostIP',
  'status.hostIPs',
  'status.podIP',
  'status.podIPs',
]
const FILE_FIELDS = [
  'metadata.annotations',
  'metadata.labels',
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
]
const CONTAINER_RESOURCES = [
  'limits.cpu',
  'limits.ephemeral-storage',
  'limits.memory',
  'requests.cpu',
  'requests.ephemeral-storage',
  'requests.memory',
]

export function validateEnv(variables: readonly EnvVar[], path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  for (const [i, variable] of variables.entries()) {
    const at = path.index(i)
    if (variable.name === '') errors.push(required(at.child('name')))
    else errors.push(...check(at.child('name'), variable.name, envName))
    if (variable.valueFrom) errors.push(...validateSource(variable, at.child('valueFrom')))
  }
  return errors
}

function validateSource({ value = '', valueFrom }: EnvVar, path: FieldPath): readonly FieldError[] {
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef } = valueFrom ?? {}
  const errors: FieldError[] = []
  let sources = 0
  if (fieldRef) {
    sources++
    errors.push(...validateFieldRef(fieldRef, path.child('fieldRef'), 'env'))
  }
  if (resourceFieldRef) {
    sources++
    errors.push(
      ...validateResourceRef(resourceFieldRef, path.child('resourceFieldRef'), { inVolume: false }),
    )
  }
  for (const [name, ref] of Object.entries({ configMapKeyRef, secretKeyRef })) {
    if (ref === undefined) continue
    sources++
    const at = path.child(name)
    errors.push(...check(at.child('name'), ref.name ?? '', dnsSubdomain))
    if (ref.key !== '') errors.push(...check(at.child('key'), ref.key, configKey))
  }
  if (fileKeyRef) sources++
  if (sources === 0) {
    errors.push(
      invalidValue(
        path,
        '',
        'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`',
      ),
    )
  } else if (value !== '') {
    errors.push(invalidValue(path, '', 'may not be specified when `value` is not empty'))
  } else if (sources > 1) {
    errors.push(invalidValue(path, '', 'may not have more than one field specified at a time'))
  }
  return errors
}

export function validateFieldRef(
  { apiVersion = '', fieldPath }: ObjectFieldSelector,
  path: FieldPath,
  use: 'env' | 'file',
): readonly FieldError[] {
  if (apiVersion === '') return [required(path.child('apiVersion'))]
  if (fieldPath === '') return []
  const at = path.child('fieldPath')
  const subscript = /^(metadata\.(?:labels|annotations))\['(.*)'\]$/.exec(fieldPath)
  if (subscript) return check(at, subscript[2] ?? '', qualifiedName)
  const fields = use === 'env' ? ENV_FIELDS : FILE_FIELDS
  if (fields.includes(fieldPath)) return []
  const known = ENV_FIELDS.includes(fieldPath) || FILE_FIELDS.includes(fieldPath)
  if (known) return [notSupported(at, fieldPath, fields)]
  return [
    invalidValue(
      at,
      fieldPath,
      `error converting fieldPath: field label not supported: ${fieldPath}`,
    ),
  ]
}

const CPU_UNITS = new Set(['0', '1', '1m'])
const BYTE_UNITS = new Set(
  ['0', '1', '1k', '1M', '1G', '1T', '1P', '1E'].concat(['1Ki', '1Mi', '1Gi', '1Ti', '1Pi', '1Ei']),
)

export function validateResourceRef(
  { containerName = '', resource, divisor }: ResourceFieldSelector,
  path: FieldPath,
  { inVolume }: { readonly inVolume: boolean },
): readonly FieldError[] {
  if (inVolume && containerName === '') return [required(path.child('containerName'))]
  if (resource === '') return [required(path.child('resource'))]
  const isHugePages = /^(?:requests|limits)\.hugepages-/.test(resource)
  if (!CONTAINER_RESOURCES.includes(resource) && !isHugePages) {
    return [notSupported(path.child('resource'), resource, CONTAINER_RESOURCES)]
  }
  if (divisor === undefined) return []
  const isCpu = resource.endsWith('.cpu')
  const units = isCpu ? CPU_UNITS : BYTE_UNITS
  if (units.has(divisor)) return []
  const kind = isCpu ? 'cpu' : isHugePages ? 'hugepages' : resource.split('.')[1]
  const allowed = isCpu ? '1m and 1' : '1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei'
  return [
    invalidValue(
      path.child('divisor'),
      divisor,
      `only divisor's values ${allowed} are supported with the ${kind} resource`,
    ),
  ]
}

export function validateEnvFrom(
  sources: readonly EnvFromSource[],
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  for (const [i, { prefix = '', configMapRef, secretRef }] of sources.entries()) {
    const at = path.index(i)
    if (prefix !== '') errors.push(...check(at.child('prefix'), prefix, envName))
    for (const [name, ref] of Object.entries({ configMapRef, secretRef })) {
      if (ref === undefined) continue
      const text = ref.name ?? ''
      if (text === '') errors.push(required(at.child(name, 'name')))
      else errors.push(...check(at.child(name, 'name'), text, dnsSubdomain))
    }
    if (configMapRef === undefined && secretRef === undefined) {
      errors.push(invalidValue(path, '', 'must specify one of: `configMapRef` or `secretRef`'))
    } else if (configMapRef !== undefined && secretRef !== undefined) {
      errors.push(invalidValue(path, '', 'may not have more than one field specified at a time'))
    }
  }
  return errors
}
