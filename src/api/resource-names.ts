/** Names of resources that are counted: what a container may ask for, what a quota may limit. */
import {
  type FieldError,
  type FieldPath,
  invalidValue,
  qualifiedName as qualified,
} from '#machinery'
import { isNegative, isWhole } from './quantities.ts'
import { check, qualifiedName } from './rules.ts'

const FOR_CONTAINERS = ['cpu', 'memory', 'ephemeral-storage']
/** Core resources that a quota counts under their plain name too: `pods` as well as `count/pods`. */
export const PLAINLY_COUNTED: readonly string[] = [
  'pods',
  'services',
  'replicationcontrollers',
  'resourcequotas',
  'secrets',
  'configmaps',
  'persistentvolumeclaims',
]
const COUNTED = new Set([...PLAINLY_COUNTED, 'services.nodeports', 'services.loadbalancers'])
const FOR_QUOTAS = new Set([
  ...COUNTED,
  ...['', 'requests.', 'limits.'].flatMap((of) => FOR_CONTAINERS.map((name) => of + name)),
  'requests.storage',
])

const isHugePages = (name: string): boolean => name.startsWith('hugepages-')
const isQuotaHugePages = (name: string): boolean => /^(?:requests\.)?hugepages-/.test(name)
/** In the namespace of Kubernetes; names without one are. */
const isNative = (name: string): boolean => !name.includes('/') || name.includes('kubernetes.io/')
/** A device of somebody's, which is there in whole. */
const isExtendedResource = (name: string): boolean =>
  !isNative(name) && !name.startsWith('requests.') && qualified(`requests.${name}`).length === 0
export const isQuotaResource = (name: string): boolean =>
  FOR_QUOTAS.has(name) || isQuotaHugePages(name)
/** Devices and huge pages cannot be promised twice: what is asked for is the limit. */
export const mayOvercommit = (name: string): boolean => isNative(name) && !isHugePages(name)

/** The name of any resource. */
export function checkResourceName(name: string, path: FieldPath): readonly FieldError[] {
  const wrong = check(path, name, qualifiedName)
  if (wrong.length > 0 || name.includes('/') || isQuotaResource(name) || name === 'storage')
    return wrong
  return [invalidValue(path, name, 'must be a standard resource type or fully qualified')]
}

/** The name of what a container asks for. */
export function checkContainerResourceName(name: string, path: FieldPath): readonly FieldError[] {
  const wrong = checkResourceName(name, path)
  if (!name.includes('/'))
    return FOR_CONTAINERS.includes(name) || isHugePages(name)
      ? wrong
      : [...wrong, invalidValue(path, name, 'must be a standard resource for containers')]
  return isNative(name) || isExtendedResource(name)
    ? wrong
    : [...wrong, invalidValue(path, name, "doesn't follow extended resource name standard")]
}

/** The name of what a quota limits. */
export function checkQuotaResourceName(name: string, path: FieldPath): readonly FieldError[] {
  const wrong = checkResourceName(name, path)
  return name.includes('/') || isQuotaResource(name)
    ? wrong
    : [...wrong, invalidValue(path, name, 'must be a standard resource for quota')]
}

/** An amount of a resource: not negative, and whole where things are counted. */
export function checkQuantity(name: string, value: string, path: FieldPath): readonly FieldError[] {
  const isCounted = COUNTED.has(name) || isExtendedResource(name)
  return [
    ...(isNegative(value) ? [invalidValue(path, value, 'must be greater than or equal to 0')] : []),
    ...(isCounted && !isWhole(value) ? [invalidValue(path, value, 'must be an integer')] : []),
  ]
}
