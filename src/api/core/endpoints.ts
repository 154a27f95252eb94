/** Endpoints: the older form of endpoint slices. */
import { FieldPath, invalidValue, required, type FieldError } from '#machinery'
import { NONE } from '../columns.ts'
import { defineResource } from '../define.ts'
import { equal } from '../equal.ts'
import type { Mutable } from '../mutable.ts'
import { endpoints as endpointsRef } from '../resources.gen.ts'
import { check, dnsLabel, dnsSubdomain, ipAddress, portNumber, qualifiedName } from '../rules.ts'
import type { EndpointAddress, EndpointPort, EndpointSubset, Endpoints } from '../types.gen.ts'
import { notSpecial } from './service/validate-addresses.ts'

function validateSubset(subset: EndpointSubset, path: FieldPath): readonly FieldError[] {
  const { addresses = [], notReadyAddresses = [], ports = [] } = subset
  const errors: FieldError[] = []
  if (addresses.length === 0 && notReadyAddresses.length === 0) {
    errors.push(required(path, 'must specify `addresses` or `notReadyAddresses`'))
  }
  for (const [name, list] of Object.entries({ addresses, notReadyAddresses })) {
    for (const [i, { ip, hostname = '', nodeName }] of list.entries()) {
      const at = path.child(name).index(i)
      errors.push(...check(at.child('ip'), ip, ipAddress))
      if (hostname !== '') errors.push(...check(at.child('hostname'), hostname, dnsLabel))
      if (nodeName !== undefined)
        errors.push(...check(at.child('nodeName'), nodeName, dnsSubdomain))
      errors.push(...notSpecial(ip, at.child('ip')))
    }
  }
  for (const [i, { name = '', port, appProtocol }] of ports.entries()) {
    const at = path.child('ports').index(i)
    if (name !== '') errors.push(...check(at.child('name'), name, dnsLabel))
    else if (ports.length > 1) errors.push(required(at.child('name')))
    errors.push(...check(at.child('port'), port, portNumber))
    if (appProtocol !== undefined)
      errors.push(...check(at.child('appProtocol'), appProtocol, qualifiedName))
  }
  return errors
}

const text = (value: unknown): string => JSON.stringify(value)
const byText = (a: unknown, b: unknown): number =>
  text(a) < text(b) ? -1 : text(a) > text(b) ? 1 : 0

/** One subset for every set of ports, each address in it once, in a fixed order. */
function repackSubsets(subsets: readonly EndpointSubset[]): readonly EndpointSubset[] {
  // Which ports an address serves, and whether it is ready there.
  const addresses = new Map<
    string,
    { readonly address: EndpointAddress; readonly isReady: boolean; readonly ports: EndpointPort[] }
  >()
  for (const { addresses: ready = [], notReadyAddresses: notReady = [], ports = [] } of subsets) {
    for (const [list, isReady] of [
      [ready, true],
      [notReady, false],
    ] as const) {
      for (const address of list) {
        const key = `${text([address.ip, address.targetRef?.uid ?? ''])}${isReady}`
        const known = addresses.get(key) ?? { address, isReady, ports: [] }
        for (const port of ports) {
          if (!known.ports.some((each) => equal(each, port))) known.ports.push(port)
        }
        addresses.set(key, known)
      }
    }
  }
  const packed = new Map<
    string,
    { ports: EndpointPort[]; ready: EndpointAddress[]; notReady: EndpointAddress[] }
  >()
  for (const { address, isReady, ports } of addresses.values()) {
    const sorted = ports.toSorted(byText)
    const key = text(sorted)
    const subset = packed.get(key) ?? { ports: sorted, ready: [], notReady: [] }
    ;(isReady ? subset.ready : subset.notReady).push(address)
    packed.set(key, subset)
  }
  return [...packed.values()]
    .toSorted((a, b) => byText(a.ports, b.ports))
    .map(({ ports, ready, notReady }) => ({
      ...(ready.length > 0 ? { addresses: ready.toSorted(byText) } : {}),
      ...(notReady.length > 0 ? { notReadyAddresses: notReady.toSorted(byText) } : {}),
      ...(ports.length > 0 ? { ports } : {}),
    }))
}

function repack(object: Mutable<Endpoints>): void {
  // What is not right is refused as it was written.
  const isGood = object.subsets?.every(
    (subset) => validateSubset(subset, FieldPath.root).length === 0,
  )
  if (object.subsets && isGood === true)
    object.subsets = repackSubsets(object.subsets) as Mutable<EndpointSubset>[]
}

const MAX_SHOWN = 3

/** The first few `ip:port`, and how many more there are. */
function addressesText({ subsets = [] }: Endpoints): string {
  const all = subsets.flatMap(({ addresses = [], ports = [] }) =>
    ports.length === 0
      ? addresses.map(({ ip }) => ip)
      : ports.flatMap(({ port }) => addresses.map(({ ip }) => hostPort(ip, port))),
  )
  if (all.length === 0) return NONE
  const shown = all.slice(0, MAX_SHOWN).join(',')
  return all.length > MAX_SHOWN ? `${shown} + ${all.length - MAX_SHOWN} more...` : shown
}
const hostPort = (ip: string, port: number): string =>
  ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`

export const endpoints = defineResource(endpointsRef, {
  defaults({ subsets }) {
    for (const { ports } of subsets ?? []) for (const port of ports ?? []) port.protocol ??= 'TCP'
  },
  validate: ({ metadata, subsets = [] }) => [
    ...(metadata.annotations?.['endpoints.kubernetes.io/last-change-trigger-time'] !== undefined &&
    Number.isNaN(
      Date.parse(metadata.annotations['endpoints.kubernetes.io/last-change-trigger-time']),
    )
      ? [
          invalidValue(
            FieldPath.of('metadata', 'annotations').key(
              'endpoints.kubernetes.io/last-change-trigger-time',
            ),
            metadata.annotations['endpoints.kubernetes.io/last-change-trigger-time'],
            'must be an RFC3339 time',
          ),
        ]
      : []),
    ...subsets.flatMap((subset, i) => validateSubset(subset, FieldPath.of('subsets').index(i))),
  ],
  prepareForCreate: repack,
  prepareForUpdate: repack,
  cells: { Endpoints: addressesText },
})
