/** Rules about what drivers of storage say of themselves. */
import {
  duplicate,
  FieldPath,
  invalidValue,
  notSupported,
  required,
  tooLong,
  type FieldError,
} from '#machinery'
import { check, dnsSubdomain, nonNegative, qualifiedName } from './rules.ts'
import type { CSIDriver, CSINode } from './types.gen.ts'

const MODES: readonly string[] = ['Persistent', 'Ephemeral']
const GROUP_POLICIES: readonly string[] = ['File', 'None', 'ReadWriteOnceWithFSType']
const MAX_NAME = 63
const MAX_NODE_ID = 256
const LEAST_SECONDS = 600
const LEAST_PERIOD_SECONDS = 10

/** The name of a driver, in whatever case. */
export function validateDriverName(name: string, path: FieldPath): readonly FieldError[] {
  if (name === '') return [required(path)]
  return [
    ...(name.length > MAX_NAME ? [tooLong(path, MAX_NAME)] : []),
    ...dnsSubdomain(name.toLowerCase()).map((why) => invalidValue(path, name, why)),
  ]
}

export function validateDriver({ spec }: CSIDriver): readonly FieldError[] {
  const path = FieldPath.of('spec')
  const errors: FieldError[] = []
  const { fsGroupPolicy, tokenRequests = [], volumeLifecycleModes = [] } = spec
  if (fsGroupPolicy !== undefined && !GROUP_POLICIES.includes(fsGroupPolicy))
    errors.push(notSupported(path.child('fsGroupPolicy'), fsGroupPolicy, GROUP_POLICIES))
  const audiences = tokenRequests.map(({ audience }) => audience)
  for (const [i, { audience, expirationSeconds: seconds }] of tokenRequests.entries()) {
    const at = path.child('tokenRequests').index(i)
    if (audiences.indexOf(audience) < i) {
      errors.push(duplicate(at.child('audience'), audience))
      continue
    }
    if (seconds === undefined) continue
    const where = at.child('expirationSeconds')
    if (seconds < LEAST_SECONDS)
      errors.push(invalidValue(where, seconds, 'may not specify a duration less than 10 minutes'))
    if (seconds > 2 ** 32)
      errors.push(
        invalidValue(where, seconds, 'may not specify a duration larger than 2^32 seconds'),
      )
  }
  for (const mode of volumeLifecycleModes)
    if (!MODES.includes(mode))
      errors.push(notSupported(path.child('volumeLifecycleModes'), mode, MODES))
  const { nodeAllocatableUpdatePeriodSeconds: period, serviceAccountTokenInSecrets } = spec
  if (period !== undefined && period < LEAST_PERIOD_SECONDS)
    errors.push(
      invalidValue(
        path.child('nodeAllocatableUpdatePeriodSeconds'),
        period,
        `must be greater than or equal to ${LEAST_PERIOD_SECONDS} seconds`,
      ),
    )
  if (serviceAccountTokenInSecrets !== undefined && tokenRequests.length === 0)
    errors.push(
      invalidValue(
        path.child('serviceAccountTokenInSecrets'),
        serviceAccountTokenInSecrets,
        'serviceAccountTokenInSecrets is set but no tokenRequests are specified',
      ),
    )
  return errors
}

export function validateCsiNode({ spec }: CSINode): readonly FieldError[] {
  const path = FieldPath.of('spec', 'drivers')
  const drivers = spec.drivers ?? []
  const errors: FieldError[] = []
  for (const [i, { name, nodeID = '', allocatable, topologyKeys = [] }] of drivers.entries()) {
    const at = path.index(i)
    errors.push(...validateDriverName(name, at.child('name')))
    if (nodeID === '') errors.push(required(at.child('nodeID')))
    if (nodeID.length > MAX_NODE_ID)
      errors.push(
        invalidValue(at.child('nodeID'), nodeID, `must be ${MAX_NODE_ID} characters or less`),
      )
    errors.push(...nonNegative(allocatable?.count, at.child('allocatable', 'count')))
    if (drivers.findIndex((each) => each.name === name) < i)
      errors.push(duplicate(at.child('name'), name))
    for (const [j, key] of topologyKeys.entries()) {
      if (key === '') errors.push(required(at))
      if (topologyKeys.indexOf(key) < j) errors.push(duplicate(at, key))
      errors.push(...check(at, key, qualifiedName))
    }
  }
  return errors
}
