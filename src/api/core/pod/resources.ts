/** Rules about what containers ask for and may use. */
import {
  compareQuantities,
  type FieldPath,
  invalidValue,
  required,
  type FieldError,
  notSupported,
  duplicate,
  fieldNotFound,
} from '#machinery'
import type { Container, PodResourceClaim, ResourceRequirements } from '../../types.gen.ts'
import { checkContainerResourceName, checkQuantity, mayOvercommit } from '../../resource-names.ts'

type Quantities = Readonly<Record<string, string>> | undefined

const isHugePages = (name: string): boolean => name.startsWith('hugepages-')

/** Requests must fit under limits; each must be of a kind that a container can have. */
export function validateResources(
  resources: ResourceRequirements | undefined,
  path: FieldPath,
  podClaims: ReadonlySet<string> = new Set(),
): readonly FieldError[] {
  if (resources === undefined) return []
  const { limits, requests, claims } = resources
  if (limits === undefined && requests === undefined && claims === undefined) return []
  const errors: FieldError[] = []
  for (const [name, quantity] of Object.entries(limits ?? {})) {
    const at = path.child('limits').key(name)
    errors.push(...checkContainerResourceName(name, at), ...checkQuantity(name, quantity, at))
  }
  const at = path.child('requests')
  for (const [name, quantity] of Object.entries(requests ?? {})) {
    errors.push(...checkContainerResourceName(name, at.key(name)))
    errors.push(...checkQuantity(name, quantity, at.key(name)))
    const limit = limits?.[name]
    if (limit !== undefined) errors.push(...againstLimit(name, quantity, limit, at))
    else if (!mayOvercommit(name)) {
      errors.push(
        required(path.child('limits'), 'Limit must be set for non overcommitable resources'),
      )
    }
  }
  errors.push(...needsCpuOrMemory(limits, requests, path))
  for (const [i, claim] of (claims ?? []).entries()) {
    const claimPath = path.child('claims').index(i)
    if (claim.name === '') errors.push(required(claimPath.child('name')))
    else if (!podClaims.has(claim.name))
      errors.push(fieldNotFound(claimPath.child('name'), claim.name))
    if (claims?.slice(0, i).some((c) => c.name === claim.name && c.request === claim.request)) {
      errors.push(duplicate(claimPath, claim.name))
    }
  }
  return errors
}

function againstLimit(
  name: string,
  request: string,
  limit: string,
  path: FieldPath,
): readonly FieldError[] {
  const order = compareQuantities(request, limit)
  if (!mayOvercommit(name) && order !== 0) {
    return [invalidValue(path, request, `must be equal to ${name} limit of ${limit}`)]
  }
  if (order > 0) {
    return [invalidValue(path, request, `must be less than or equal to ${name} limit of ${limit}`)]
  }
  return []
}

function needsCpuOrMemory(
  limits: Quantities,
  requests: Quantities,
  path: FieldPath,
): readonly FieldError[] {
  const all = { ...limits, ...requests }
  const names = Object.keys(all)
  if (!names.some(isHugePages) || all['cpu'] !== undefined || all['memory'] !== undefined) return []
  return [
    {
      type: 'FieldValueForbidden',
      field: path.toString(),
      detail: 'Forbidden: HugePages require cpu or memory',
    },
  ]
}

/** Whether a change of a resource restarts the container. */
export function validateResizePolicy(
  { resizePolicy = [] }: Pick<Container, 'resizePolicy'>,
  path: FieldPath,
  podRestarts: string | undefined,
): readonly FieldError[] {
  const errors: FieldError[] = []
  // The path says only of a second policy which it is.
  const at = path.child('resizePolicy')
  for (const [i, { resourceName, restartPolicy }] of resizePolicy.entries()) {
    if (resizePolicy.findIndex((each) => each.resourceName === resourceName) < i)
      errors.push(duplicate(at.index(i), resourceName))
    errors.push(...oneOf(resourceName, ['cpu', 'memory'], at))
    errors.push(...oneOf(restartPolicy, ['NotRequired', 'RestartContainer'], at))
    if (podRestarts === 'Never' && restartPolicy !== 'NotRequired')
      errors.push(
        invalidValue(
          at,
          restartPolicy,
          "must be 'NotRequired' when pod `restartPolicy` is 'Never'",
        ),
      )
  }
  return errors
}

const oneOf = (value: string, words: readonly string[], at: FieldPath): readonly FieldError[] =>
  words.includes(value) ? [] : [value === '' ? required(at) : notSupported(at, value, words)]

export const claimNames = (claims: readonly PodResourceClaim[] | undefined): ReadonlySet<string> =>
  new Set((claims ?? []).map(({ name }) => name))
