/** The cluster's names, kept per Service: what a Service and its endpoints say, ready to be answered. */
import type { EndpointSlice, Service } from '#api'
import { isIPv4 } from '../ip.ts'

interface Srv {
  readonly port: number
  readonly weight: number
  /** Relative to the Service; empty: the Service's own name. */
  readonly target: string
}

/** The records of one name below a Service. */
export interface Names {
  readonly a: readonly string[]
  readonly aaaa: readonly string[]
  readonly srv: readonly Srv[]
}

export interface ServiceNames {
  /** An ExternalName Service is an alias. */
  readonly alias?: string
  /** By the name relative to the Service: `` is itself, `_http._tcp`, `web-0`. Names with empty records exist too. */
  readonly names: ReadonlyMap<string, Names>
  /** Reverse names: address to relative name. */
  readonly reverse: ReadonlyMap<string, string>
}

export interface Zone {
  /** Without a dot at the end: `cluster.local`. */
  readonly domain: string
  /** By `name.namespace`, lower case. */
  service(name: string): ServiceNames | undefined
  hasNamespace(name: string): boolean
  /** Relative names (`web.shop`, `web-0.web.shop`) of the Services that have the address. */
  reverse(address: string): readonly string[]
  /** Counts changes. */
  readonly serial: number
}

const none: Names = { a: [], aaaa: [], srv: [] }

/** What the specification (DNS-based service discovery, 1.1.0) says of one Service. */
export function namesOf(service: Service, slices: readonly EndpointSlice[]): ServiceNames {
  const { spec } = service
  if (spec.type === 'ExternalName') {
    const alias = (spec.externalName ?? '').replace(/\.$/, '').toLowerCase()
    return { alias, names: new Map([['', none]]), reverse: new Map() }
  }
  const addresses = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP])
  return addresses[0] === 'None'
    ? headlessNames(service, slices)
    : clusterIpNames(service, addresses.filter(Boolean))
}

const isV4 = (address: string): boolean => isIPv4(address)
const byFamily = (addresses: readonly string[]) => ({
  a: addresses.filter(isV4),
  aaaa: addresses.filter((address) => !isV4(address)),
})

function clusterIpNames({ spec }: Service, addresses: readonly string[]): ServiceNames {
  const ports = (spec.ports ?? []).map(({ name = '', protocol = 'TCP', port }) => ({
    label: portLabel(name, protocol),
    srv: { port, weight: 100, target: '' },
  }))
  const names = new Map<string, Names>()
  names.set('', { ...byFamily(addresses), srv: ports.map(({ srv }) => srv) })
  addPorts(names, ports)
  return { names, reverse: new Map(addresses.map((address) => [address, ''])) }
}

function headlessNames(service: Service, slices: readonly EndpointSlice[]): ServiceNames {
  const hosts = new Map<string, Set<string>>()
  const reverse = new Map<string, string>()
  const ports = new Map<string, { readonly label: string | undefined; readonly srv: Srv }>()
  for (const slice of slices) {
    if (slice.addressType === 'FQDN') continue
    for (const { addresses, hostname, conditions } of slice.endpoints ?? []) {
      const ready = conditions?.ready ?? true
      if (!ready && service.spec.publishNotReadyAddresses !== true) continue
      for (const address of addresses) {
        // An endpoint without a host name gets one from its address.
        const host = (hostname ?? address.replaceAll(/[.:]/g, '-')).toLowerCase()
        hosts.set(host, (hosts.get(host) ?? new Set()).add(address))
        if (hostname !== undefined || !reverse.has(address)) reverse.set(address, host)
        for (const { name = '', protocol = 'TCP', port } of slice.ports ?? []) {
          if (port === undefined) continue
          const label = portLabel(name, protocol)
          ports.set(`${label} ${port} ${host}`, { label, srv: { port, weight: 0, target: host } })
        }
      }
    }
  }
  // Without a ready endpoint the name does not exist (§2.4 of the specification).
  if (hosts.size === 0) return { names: new Map(), reverse }
  const weight = Math.max(1, Math.floor(100 / hosts.size))
  const weighted = [...ports.values()].map(({ label, srv }) => ({ label, srv: { ...srv, weight } }))
  const names = new Map<string, Names>()
  const all = [...new Set([...hosts.values()].flatMap((addresses) => [...addresses]))]
  names.set('', { ...byFamily(all), srv: weighted.map(({ srv }) => srv) })
  addPorts(names, weighted)
  for (const [host, addresses] of hosts) names.set(host, { ...byFamily([...addresses]), srv: [] })
  return { names, reverse }
}

/** `_http._tcp`; a port without a name has none. */
const portLabel = (name: string, protocol: string): string | undefined =>
  name === '' ? undefined : `_${name}._${protocol}`.toLowerCase()

function addPorts(
  names: Map<string, Names>,
  ports: readonly { readonly label: string | undefined; readonly srv: Srv }[],
): void {
  for (const { label, srv } of ports) {
    if (label === undefined) continue
    const at = names.get(label) ?? none
    names.set(label, { ...at, srv: [...at.srv, srv] })
    // The name between exists, and has nothing.
    names.set(label.slice(label.indexOf('.') + 1), none)
  }
}

/** A zone that follows the API: Services are replaced one at a time. */
export interface MutableZone extends Zone {
  set(
    key: { readonly name: string; readonly namespace: string },
    names: ServiceNames | undefined,
  ): void
}

export function createZone(domain: string): MutableZone {
  const services = new Map<string, ServiceNames>()
  const namespaces = new Map<string, number>()
  const reverse = new Map<string, Map<string, string>>()
  let serial = 1
  return {
    domain: domain.replace(/\.$/, '').toLowerCase(),
    get serial() {
      return serial
    },
    service: (name) => services.get(name),
    hasNamespace: (name) => namespaces.has(name),
    reverse: (address) => [...(reverse.get(address)?.values() ?? [])],
    set({ name, namespace }, names) {
      const key = `${name}.${namespace}`
      const old = services.get(key)
      serial = (serial % 0xffff_ffff) + 1
      for (const address of old?.reverse.keys() ?? []) {
        const owners = reverse.get(address)
        owners?.delete(key)
        if (owners?.size === 0) reverse.delete(address)
      }
      const count = (namespaces.get(namespace) ?? 0) - (old ? 1 : 0) + (names ? 1 : 0)
      if (count === 0) namespaces.delete(namespace)
      else namespaces.set(namespace, count)
      if (names === undefined) {
        services.delete(key)
        return
      }
      services.set(key, names)
      for (const [address, relative] of names.reverse) {
        const owners = reverse.get(address) ?? new Map<string, string>()
        reverse.set(address, owners.set(key, relative === '' ? key : `${relative}.${key}`))
      }
    },
  }
}
