/** The group resource.k8s.io: devices, and claims of them. */
import {
  timestamp,
  FieldPath,
  duplicate,
  forbiddenField,
  invalidValue,
  required,
  type FieldError,
} from '#machinery'
import { defineResource } from './define.ts'
import { immutable, check, dnsLabel, dnsSubdomain, qualifiedName } from './rules.ts'
import {
  deviceClasses as deviceClassesRef,
  resourceClaims as resourceClaimsRef,
  resourceClaimTemplates as claimTemplatesRef,
  resourceSlices as resourceSlicesRef,
} from './resources.gen.ts'
import type { Mutable } from './mutable.ts'
import type {
  ResourceSlice,
  ResourceClaimSpec,
  ResourceV1ResourceClaim as ResourceClaim,
} from './types.gen.ts'

interface Counted {
  allocationMode?: 'All' | 'ExactCount'
  count?: number
}

function defaultRequest(request: Counted): void {
  request.allocationMode ??= 'ExactCount'
  if (request.allocationMode === 'ExactCount') request.count ||= 1
}

function defaultClaim(spec: Mutable<ResourceClaimSpec> | undefined): void {
  for (const { exactly, firstAvailable } of spec?.devices?.requests ?? []) {
    if (exactly) defaultRequest(exactly)
    firstAvailable?.forEach(defaultRequest)
  }
}

const MAX_REQUESTS = 32

function validateClaimSpec(spec: ResourceClaimSpec, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const requests = spec.devices?.requests ?? []
  const list = path.child('devices', 'requests')
  if (requests.length > MAX_REQUESTS) {
    errors.push({
      type: 'FieldValueTooMany',
      field: list.toString(),
      detail: `Too many: ${requests.length}: must have at most ${MAX_REQUESTS} items`,
    })
  }
  const names = new Set<string>()
  for (const [i, { name, exactly, firstAvailable = [] }] of requests.entries()) {
    const at = list.index(i)
    if (name !== '') errors.push(...check(at.child('name'), name, dnsLabel))
    if (names.has(name)) errors.push(duplicate(at.child('name'), name))
    names.add(name)
    if (exactly && firstAvailable.length > 0) {
      errors.push(
        invalidValue(
          at,
          null,
          'exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set',
        ),
      )
    } else if (!exactly && firstAvailable.length === 0) {
      errors.push(required(at, 'exactly one of `exactly` or `firstAvailable` is required'))
    }
    for (const [each, where] of [
      ...(exactly ? [[exactly, at.child('exactly')] as const] : []),
      ...firstAvailable.map((sub, j) => [sub, at.child('firstAvailable').index(j)] as const),
    ]) {
      if (each.deviceClassName !== '') {
        errors.push(...check(where.child('deviceClassName'), each.deviceClassName, dnsSubdomain))
      }
      errors.push(...validateSelectors(each.selectors ?? [], where.child('selectors')))
      const { allocationMode, count } = each
      if (allocationMode === 'All' && count !== undefined && count !== 0) {
        errors.push(
          invalidValue(
            where.child('count'),
            count,
            "must not be specified when allocationMode is 'All'",
          ),
        )
      }
      if (allocationMode === 'ExactCount' && (count ?? 0) <= 0) {
        errors.push(invalidValue(where.child('count'), count ?? 0, 'must be greater than zero'))
      }
    }
  }
  const named = (wanted: readonly string[] = [], at: FieldPath): void => {
    for (const [j, name] of wanted.entries())
      if (!names.has(name.split('/')[0] ?? ''))
        errors.push(invalidValue(at.child('requests').index(j), name, NO_REQUEST))
  }
  for (const [i, { requests: wanted, matchAttribute }] of (
    spec.devices?.constraints ?? []
  ).entries()) {
    const at = path.child('devices', 'constraints').index(i)
    named(wanted, at)
    if (matchAttribute === undefined) errors.push(required(at.child('matchAttribute')))
    else errors.push(...validateFullName(matchAttribute, at.child('matchAttribute')))
  }
  for (const [i, { requests: wanted, opaque }] of (spec.devices?.config ?? []).entries()) {
    const at = path.child('devices', 'config').index(i)
    named(wanted, at)
    errors.push(...validateOpaque(opaque, at.child('opaque')))
  }
  return errors
}

const NO_REQUEST =
  "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"

function validateSelectors(
  selectors: readonly { readonly cel?: { readonly expression: string } }[],
  path: FieldPath,
): readonly FieldError[] {
  return selectors.flatMap(({ cel }, i) => {
    const at = path.index(i).child('cel')
    if (cel === undefined) return [required(at)]
    return cel.expression === '' ? [required(at.child('expression'))] : []
  })
}

/** `example.com/size`: an attribute that says whose it is. */
function validateFullName(name: string, path: FieldPath): readonly FieldError[] {
  const slash = name.indexOf('/')
  if (name === '') return [required(path)]
  if (slash < 0) return [invalidValue(path, name, 'must include a domain')]
  return [
    ...check(path, name.slice(0, slash), dnsSubdomain),
    ...(IDENTIFIER.test(name.slice(slash + 1))
      ? []
      : [
          invalidValue(
            path,
            name.slice(slash + 1),
            "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')",
          ),
        ]),
  ]
}

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/

function validateOpaque(
  opaque: { readonly driver: string; readonly parameters: unknown } | undefined,
  path: FieldPath,
): readonly FieldError[] {
  if (opaque === undefined) return [required(path)]
  const { driver, parameters } = opaque
  const errors: FieldError[] = []
  if (driver !== '') errors.push(...check(path.child('driver'), driver, dnsSubdomain))
  const at = path.child('parameters')
  if (parameters === undefined || parameters === null) errors.push(required(at))
  else if (typeof parameters !== 'object' || Array.isArray(parameters))
    errors.push(invalidValue(at, '<value omitted>', 'must be a valid JSON object'))
  return errors
}

const specPath = FieldPath.of('spec')

function stateOf({ metadata, status }: ResourceClaim): string {
  const states: string[] = []
  if (metadata.deletionTimestamp !== undefined) states.push('deleted')
  if (status?.allocation === undefined) {
    if (states.length === 0) states.push('pending')
  } else {
    states.push('allocated')
    if ((status.reservedFor ?? []).length > 0) states.push('reserved')
  }
  return states.join(',')
}

const resourceClaims = defineResource(resourceClaimsRef, {
  statusKeepsMetadata: true,
  defaults: ({ spec }) => defaultClaim(spec),
  validate: ({ spec }) => validateClaimSpec(spec, specPath),
  validateUpdate: (now, old) => immutable(now.spec, old.spec, specPath),
  cells: { State: stateOf },
})

const resourceClaimTemplates = defineResource(claimTemplatesRef, {
  defaults: ({ spec }) => defaultClaim(spec.spec),
  validate: ({ spec }) => validateClaimSpec(spec.spec, specPath.child('spec')),
  validateUpdate: (now, old) => immutable(now.spec, old.spec, specPath),
})

const deviceClasses = defineResource(deviceClassesRef, {
  validate: ({ spec }) => [
    ...validateSelectors(spec.selectors ?? [], specPath.child('selectors')),
    ...(spec.config ?? []).flatMap(({ opaque }, i) =>
      validateOpaque(opaque, specPath.child('config').index(i).child('opaque')),
    ),
    ...(spec.extendedResourceName === undefined
      ? []
      : check(specPath.child('extendedResourceName'), spec.extendedResourceName, qualifiedName)),
  ],
})

function validateSlice({ spec }: ResourceSlice): readonly FieldError[] {
  const errors: FieldError[] = []
  if (spec.driver !== '') errors.push(...check(specPath.child('driver'), spec.driver, dnsSubdomain))
  const { generation, resourceSliceCount } = spec.pool
  const pool = specPath.child('pool')
  if (spec.pool.name !== '')
    for (const part of spec.pool.name.split('/'))
      errors.push(...check(pool.child('name'), part, dnsSubdomain))
  if (generation < 0) {
    errors.push(
      invalidValue(pool.child('generation'), generation, 'must be greater than or equal to zero'),
    )
  }
  if (resourceSliceCount <= 0) {
    errors.push(
      invalidValue(
        pool.child('resourceSliceCount'),
        resourceSliceCount,
        'must be greater than zero',
      ),
    )
  }
  const places = [
    (spec.nodeName ?? '') !== '',
    spec.nodeSelector !== undefined,
    spec.allNodes === true,
    spec.perDeviceNodeSelection === true,
  ].filter(Boolean).length
  if (places === 0) {
    errors.push(
      required(
        specPath,
        'exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required',
      ),
    )
  } else if (places > 1) {
    errors.push(
      forbiddenField(
        specPath,
        'exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set',
      ),
    )
  }
  const names = (spec.devices ?? []).map(({ name }) => name)
  for (const [i, name] of names.entries()) {
    const at = specPath.child('devices').index(i).child('name')
    if (name !== '') errors.push(...check(at, name, dnsLabel))
    if (names.indexOf(name) < i) errors.push(duplicate(at, name))
  }
  return errors
}

/** A taint counts from the moment it is written. */
function stampTaints({ spec }: Mutable<ResourceSlice>, now: Date): void {
  const time = timestamp(now)
  for (const { taints } of spec.devices ?? []) {
    for (const taint of taints ?? []) taint.timeAdded ??= time
  }
}

const resourceSlices = defineResource(resourceSlicesRef, {
  validate: validateSlice,
  validateUpdate: (now, old) => [
    ...immutable(now.spec.nodeName, old.spec.nodeName, specPath.child('nodeName')),
    ...immutable(now.spec.driver, old.spec.driver, specPath.child('driver')),
    ...immutable(now.spec.pool.name, old.spec.pool.name, specPath.child('pool', 'name')),
  ],
  prepareForCreate: (slice, { now }) => stampTaints(slice, now),
  prepareForUpdate: (slice, _old, { now }) => stampTaints(slice, now),
  cells: {
    Node: ({ spec }) => spec.nodeName ?? (spec.allNodes === true ? '<all>' : '<unset>'),
    Driver: ({ spec }) => spec.driver,
    Pool: ({ spec }) => spec.pool.name,
  },
})

export const devices = [deviceClasses, resourceClaims, resourceClaimTemplates, resourceSlices]
