/** Leases, endpoint slices, classes of priority and of runtimes: small kinds of small groups. */
import {
  FieldPath,
  duplicate,
  forbiddenField,
  invalidValue,
  ipAddress,
  required,
  type FieldError,
} from '#machinery'
import { isIP } from './addresses.ts'
import { firstOf, UNSET } from './columns.ts'
import { nodeSelectorWarnings } from './core/node-labels.ts'
import { notSpecial } from './core/service/validate-addresses.ts'
import { validateTolerations } from './core/pod/validate-scheduling.ts'
import { checkContainerResourceName, checkQuantity } from './resource-names.ts'
import { defineResource } from './define.ts'
import { equal } from './equal.ts'
import { goForm } from './go-form.ts'
import {
  endpointSlices as endpointSlicesRef,
  leases as leasesRef,
  priorityClasses as priorityClassesRef,
  runtimeClasses as runtimeClassesRef,
} from './resources.gen.ts'
import {
  check,
  dnsLabel,
  dnsSubdomain,
  immutable,
  ipAddress as looseIPAddress,
  labelValue,
  qualifiedName,
  validateLabels,
} from './rules.ts'
import type { EndpointSlice, PriorityClass, Toleration } from './types.gen.ts'

const leases = defineResource(leasesRef, {
  validate: ({ spec }) => {
    const path = FieldPath.of('spec')
    const { leaseDurationSeconds: seconds, leaseTransitions } = spec
    const errors: FieldError[] = []
    if (seconds !== undefined && seconds <= 0) {
      errors.push(
        invalidValue(path.child('leaseDurationSeconds'), seconds, 'must be greater than 0'),
      )
    }
    if (leaseTransitions !== undefined && leaseTransitions < 0) {
      errors.push(
        invalidValue(
          path.child('leaseTransitions'),
          leaseTransitions,
          'must be greater than or equal to 0',
        ),
      )
    }
    if (
      spec.preferredHolder !== undefined &&
      spec.preferredHolder !== '' &&
      (spec.strategy ?? '') === ''
    ) {
      errors.push(
        forbiddenField(
          path.child('preferredHolder'),
          'may only be specified if `strategy` is defined',
        ),
      )
    }
    return errors
  },
  cells: { Holder: ({ spec }) => spec.holderIdentity ?? '' },
})

const MAX_ENDPOINTS = 1000
const MAX_ADDRESSES = 100
const MAX_PORTS = 20_000
const MAX_HINTS = 8

function validateSlice(slice: EndpointSlice): readonly FieldError[] {
  const { endpoints, ports = [], addressType } = slice
  const errors: FieldError[] = []
  const path = FieldPath.of('endpoints')
  const tooMany = (at: FieldPath, count: number, max: number): void => {
    if (count <= max) return
    errors.push({
      type: 'FieldValueTooMany',
      field: at.toString(),
      detail: `Too many: ${count}: must have at most ${max} items`,
    })
  }
  const all = endpoints ?? []
  tooMany(FieldPath.of('ports'), ports.length, MAX_PORTS)
  const names = new Set<string>()
  for (const [i, { name = '', appProtocol }] of ports.entries()) {
    const at = FieldPath.of('ports').index(i)
    if (name !== '') errors.push(...check(at.child('name'), name, dnsLabel))
    if (names.has(name)) errors.push(duplicate(at.child('name'), name))
    names.add(name)
    if (appProtocol !== undefined)
      errors.push(...check(at.child('appProtocol'), appProtocol, qualifiedName))
  }
  tooMany(path, all.length, MAX_ENDPOINTS)
  if (all.length > MAX_ENDPOINTS) return errors
  for (const [
    i,
    { addresses = [], hostname, nodeName, hints, deprecatedTopology },
  ] of all.entries()) {
    const at = path.index(i)
    if (addresses.length === 0) {
      errors.push(required(at.child('addresses'), 'must contain at least 1 address'))
    }
    tooMany(at.child('addresses'), addresses.length, MAX_ADDRESSES)
    for (const [j, address] of addresses.entries()) {
      errors.push(...validateAddress(address, addressType, at.child('addresses'), j))
    }
    if (nodeName !== undefined) errors.push(...check(at.child('nodeName'), nodeName, dnsSubdomain))
    errors.push(...validateLabels(deprecatedTopology, at.child('deprecatedTopology')))
    if (hostname !== undefined) errors.push(...check(at.child('hostname'), hostname, dnsLabel))
    for (const [field, rule] of [
      ['forZones', labelValue],
      ['forNodes', dnsSubdomain],
    ] as const) {
      const given = hints?.[field] ?? []
      const where = at.child('hints', field)
      tooMany(where, given.length, MAX_HINTS)
      if (given.length > MAX_HINTS) break
      for (const [j, { name }] of given.entries()) {
        if (given.findIndex((each) => each.name === name) < j)
          errors.push(duplicate(where.index(j).child('name'), name))
        errors.push(...check(where.index(j).child('name'), name, rule))
      }
    }
  }
  return errors
}

/** The path of an address of the other family does not say which it is. */
function validateAddress(
  address: string,
  type: string,
  list: FieldPath,
  index: number,
): readonly FieldError[] {
  const at = list.index(index)
  switch (type) {
    case 'IPv4':
    case 'IPv6': {
      const wrong = check(at, address, type === 'IPv4' ? looseIPAddress : ipAddress)
      if (wrong.length > 0) return wrong
      return [
        ...((isIP(address) === 4) === (type === 'IPv4')
          ? []
          : [invalidValue(list, address, `must be an ${type} address`)]),
        ...notSpecial(address, at),
      ]
    }
    case 'FQDN':
      return validateDomain(address, at)
    default:
      return []
  }
}

/** A domain of two labels or more, with or without a dot at the end. */
function validateDomain(address: string, at: FieldPath): readonly FieldError[] {
  if (address === '') return [required(at)]
  const name = address.replace(/\.$/, '')
  const wrong = dnsSubdomain(name)
  if (wrong.length > 0) return [invalidValue(at, name, wrong.join(','))]
  const labels = name.split('.')
  if (labels.length < 2)
    return [
      invalidValue(at, name, 'should be a domain with at least two segments separated by dots'),
    ]
  const bad = labels.find((label) => dnsLabel(label).length > 0)
  return bad === undefined ? [] : [invalidValue(at, bad, dnsLabel(bad).join(','))]
}

const MAX_SHOWN = 3

const endpointSlices = defineResource(endpointSlicesRef, {
  defaults({ ports }) {
    for (const port of ports ?? []) {
      port.name ??= ''
      port.protocol ??= 'TCP'
    }
  },
  warnings: ({ addressType }) =>
    addressType === 'FQDN' ? ['spec.addressType: FQDN endpoints are deprecated'] : [],
  validate: validateSlice,
  validateUpdate: (now, old) =>
    immutable(now.addressType, old.addressType, FieldPath.of('addressType')),
  cells: {
    AddressType: ({ addressType }) => addressType,
    Ports: ({ ports = [] }) =>
      ports.length === 0
        ? UNSET
        : firstOf(
            ports.map(({ port, name = '' }) =>
              port === undefined ? (name === '' ? '*' : name) : String(port),
            ),
            MAX_SHOWN,
          ),
    Endpoints: ({ endpoints }) => {
      const addresses = (endpoints ?? []).flatMap((each) => each.addresses)
      return addresses.length === 0 ? UNSET : firstOf(addresses, MAX_SHOWN)
    },
  },
})

const HIGHEST_USER_PRIORITY = 1_000_000_000
const SYSTEM = new Map([
  ['system-node-critical', 2_000_001_000],
  ['system-cluster-critical', 2_000_000_000],
])

function validatePriority({
  metadata,
  value = 0,
  globalDefault,
}: PriorityClass): readonly FieldError[] {
  const name = metadata.name ?? ''
  if (name.startsWith('system-')) {
    if (SYSTEM.get(name) === value && globalDefault !== true) return []
    return [
      forbiddenField(
        FieldPath.of('metadata', 'name'),
        "priority class names with 'system-' prefix are reserved for system use only. error: " +
          (SYSTEM.has(name)
            ? `value of ${name} PriorityClass must be ${SYSTEM.get(name)}`
            : `${name} is not a known system priority class`),
      ),
    ]
  }
  return value > HIGHEST_USER_PRIORITY
    ? [
        forbiddenField(
          FieldPath.of('value'),
          `maximum allowed value of a user defined priority is ${HIGHEST_USER_PRIORITY}`,
        ),
      ]
    : []
}

const priorityClasses = defineResource(priorityClassesRef, {
  defaults(priorityClass) {
    priorityClass.preemptionPolicy ??= 'PreemptLowerPriority'
  },
  validate: validatePriority,
  validateUpdate: (now, old) => [
    ...(now.value === old.value
      ? []
      : [forbiddenField(FieldPath.of('value'), 'may not be changed in an update.')]),
    ...(now.preemptionPolicy === old.preemptionPolicy
      ? []
      : [
          invalidValue(
            FieldPath.of('preemptionPolicy'),
            now.preemptionPolicy,
            'field is immutable',
          ),
        ]),
  ],
  cells: {
    Value: ({ value }) => value ?? 0,
    'Global-Default': ({ globalDefault }) => globalDefault ?? false,
    PreemptionPolicy: ({ preemptionPolicy }) => preemptionPolicy ?? '',
  },
})

const withoutTime = (toleration: Toleration): object => ({
  ...toleration,
  tolerationSeconds: undefined,
})

const runtimeClasses = defineResource(runtimeClassesRef, {
  validate: ({ handler, overhead, scheduling }) => [
    ...(handler === ''
      ? [required(FieldPath.of('handler'))]
      : check(FieldPath.of('handler'), handler, dnsLabel)),
    ...Object.entries(overhead?.podFixed ?? {}).flatMap(([name, quantity]) => {
      const at = FieldPath.of('overhead', 'limits').key(name)
      return [...checkContainerResourceName(name, at), ...checkQuantity(name, quantity, at)]
    }),
    ...validateLabels(scheduling?.nodeSelector, FieldPath.of('scheduling', 'nodeSelector')),
    ...validateTolerations(
      scheduling?.tolerations ?? [],
      FieldPath.of('scheduling', 'tolerations'),
    ),
    ...(scheduling?.tolerations ?? []).flatMap((each, i, all) =>
      all.findIndex((other) => equal(withoutTime(other), withoutTime(each))) < i
        ? [
            duplicate(
              FieldPath.of('scheduling', 'tolerations').index(i),
              goForm('core.v1.Toleration', each),
            ),
          ]
        : [],
    ),
  ],
  warnings: ({ scheduling }) =>
    nodeSelectorWarnings(scheduling?.nodeSelector, 'scheduling.nodeSelector'),
  validateUpdate: (now, old) => immutable(now.handler, old.handler, FieldPath.of('handler')),
  cells: { Handler: ({ handler }) => handler },
})

export const coordination = [endpointSlices, leases, priorityClasses, runtimeClasses]
