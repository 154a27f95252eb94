/** Cluster addresses and node ports of Services: given out with the object, never twice. */
import type { Service } from '#api'
import { FieldPath, internalError, invalid, invalidValue } from '#machinery'
import {
  dynamicOffset,
  formatAddress,
  isUsable,
  parseAddress,
  type AddressRange,
} from './addresses.ts'
import { sameJson } from './json.ts'
import type { Allocator } from './writes/index.ts'

export interface ServiceAllocatorOptions {
  readonly range: AddressRange
  readonly nodePorts: { readonly first: number; readonly last: number }
  /** In [0, 1). */
  readonly random: () => number
  /** All Services now: what is in use is theirs. */
  readonly services: () => Iterable<Service>
}

/** A port may be used once for each protocol. */
const portKey = (protocol: string, port: number): string => `${protocol}/${port}`

interface Port {
  name?: string
  protocol?: string
  port: number
  nodePort?: number
}
interface Spec {
  type?: string
  clusterIP?: string
  clusterIPs?: string[]
  ipFamilies?: string[]
  ipFamilyPolicy?: string
  internalTrafficPolicy?: string
  externalTrafficPolicy?: string
  allocateLoadBalancerNodePorts?: boolean
  healthCheckNodePort?: number
  ports?: Port[]
}

const SERVICE = { group: '', kind: 'Service' }
const CLUSTER_IPS = FieldPath.of('spec', 'clusterIPs')

export function serviceAllocator(options: ServiceAllocatorOptions): Allocator {
  const { range, nodePorts, random } = options
  /** Address or port, to the Service that has it: `namespace/name`. */
  let addresses: Map<string, string> | undefined
  let ports = new Map<string, string>()

  const ownerOf = (metadata: { namespace?: unknown; name?: unknown }): string =>
    `${String(metadata.namespace)}/${String(metadata.name)}`

  /** Read from the Services themselves when it is first needed. */
  const inUse = (): Map<string, string> => {
    if (addresses !== undefined) return addresses
    addresses = new Map()
    for (const service of options.services()) {
      const { addresses: theirs, ports: theirPorts } = held(service)
      const owner = ownerOf(service.metadata)
      for (const address of theirs) addresses.set(address, owner)
      for (const port of theirPorts) ports.set(port, owner)
    }
    return addresses
  }

  const freeAddress = (taken: ReadonlyMap<string, string>, name: string): string => {
    const dynamic = dynamicOffset(range)
    const count = range.size - 1 - dynamic
    const start = Math.floor(random() * count)
    for (let i = 0; i < count; i++) {
      const address = formatAddress(range.base + dynamic + ((start + i) % count))
      if (!taken.has(address)) return address
    }
    for (let offset = 1; offset < dynamic; offset++) {
      const address = formatAddress(range.base + offset)
      if (!taken.has(address)) return address
    }
    throw internalError(`failed to allocate a serviceIP for ${name}: range is full`)
  }

  const freePort = (taken: ReadonlySet<string>, protocol: string): number => {
    const count = nodePorts.last - nodePorts.first + 1
    const start = Math.floor(random() * count)
    for (let i = 0; i < count; i++) {
      const port = nodePorts.first + ((start + i) % count)
      const key = portKey(protocol, port)
      if (!ports.has(key) && !taken.has(key)) return port
    }
    throw internalError('failed to allocate a nodePort: range is full')
  }

  return {
    assign(object, old, { dryRun }) {
      const used = inUse()
      const metadata = object['metadata'] as { namespace?: unknown; name?: unknown }
      const owner = ownerOf(metadata)
      const name = String(metadata.name)
      const spec = object['spec'] as unknown as Spec
      const before = old === undefined ? NOTHING : held(old as Service)
      const taken: string[] = []
      const takenPorts: string[] = []
      const giveBack = () => {
        for (const address of taken) if (used.get(address) === owner) used.delete(address)
        for (const port of takenPorts) if (ports.get(port) === owner) ports.delete(port)
      }
      try {
        if (spec.type === 'ExternalName') {
          withoutAddress(spec)
          return giveBack
        }
        takeAddress(spec, old as Service | undefined, name, (address) => {
          const holder = used.get(address)
          if (before.addresses.includes(address)) return true
          if (holder !== undefined) return false
          used.set(address, owner)
          taken.push(address)
          return true
        })
        takePorts(spec, old as Service | undefined, name, (key) => {
          if (before.ports.includes(key)) return true
          if (ports.has(key) || takenPorts.includes(key)) return false
          ports.set(key, owner)
          takenPorts.push(key)
          return true
        })
        if (dryRun) giveBack()
        return giveBack
      } catch (error) {
        giveBack()
        throw error
      }

      function takeAddress(
        to: Spec,
        was: Service | undefined,
        service: string,
        take: (address: string) => boolean,
      ): void {
        // What was given stays, unless the Service asks for another kind of address.
        const kept = was?.spec?.clusterIP
        if (!to.clusterIP && kept && was?.spec?.type !== 'ExternalName') to.clusterIP = kept
        to.ipFamilyPolicy ??= 'SingleStack'
        to.ipFamilies = to.ipFamilies?.length ? to.ipFamilies : ['IPv4']
        to.internalTrafficPolicy ??= 'Cluster'
        if (to.ipFamilyPolicy === 'RequireDualStack')
          throw invalid(SERVICE, service, [
            invalidValue(
              FieldPath.of('spec', 'ipFamilyPolicy'),
              'RequireDualStack',
              'this cluster is not configured for dual-stack services',
            ),
          ])
        if (to.ipFamilies.some((family) => family !== 'IPv4'))
          throw invalid(SERVICE, service, [
            invalidValue(
              FieldPath.of('spec', 'ipFamilies').index(0),
              to.ipFamilies[0],
              'not configured on this cluster',
            ),
          ])
        if (to.clusterIP === 'None') {
          to.clusterIPs = ['None']
          return
        }
        if (!to.clusterIP) {
          to.clusterIP = freeAddress(used, service)
          take(to.clusterIP)
        } else {
          const { clusterIP } = to
          const address = parseAddress(clusterIP)
          if (address === undefined || !isUsable(range, address))
            throw refused(
              service,
              clusterIP,
              `the provided IP (${clusterIP}) is not in the valid range. The range of valid IPs is ${range.text}`,
            )
          if (!take(clusterIP))
            throw refused(service, clusterIP, 'provided IP is already allocated')
        }
        to.clusterIPs = [to.clusterIP]
      }

      function takePorts(
        to: Spec,
        was: Service | undefined,
        service: string,
        take: (key: string) => boolean,
      ): void {
        const wants =
          to.type === 'NodePort' ||
          (to.type === 'LoadBalancer' && to.allocateLoadBalancerNodePorts !== false)
        const chosen = new Set<string>()
        for (const [i, port] of (to.ports ?? []).entries()) {
          const protocol = port.protocol ?? 'TCP'
          if (to.type !== 'NodePort' && to.type !== 'LoadBalancer') {
            // A Service that is no longer reached by node ports gives them back, unless it insists.
            if (was !== undefined && isGiven(was, port)) delete port.nodePort
            continue
          }
          if (!port.nodePort) {
            const kept = keptPort(was, port)
            if (kept !== undefined && !chosen.has(portKey(protocol, kept))) port.nodePort = kept
            else if (wants) {
              // Ports of one number and two protocols share their node port.
              const twin = (to.ports ?? []).find(
                (each) =>
                  each !== port &&
                  each.port === port.port &&
                  each.nodePort &&
                  (each.protocol ?? 'TCP') !== protocol,
              )?.nodePort
              port.nodePort =
                twin !== undefined &&
                !ports.has(portKey(protocol, twin)) &&
                !chosen.has(portKey(protocol, twin))
                  ? twin
                  : freePort(chosen, protocol)
            }
          }
          if (!port.nodePort) continue
          const path = FieldPath.of('spec', 'ports').index(i).child('nodePort')
          const key = portKey(protocol, port.nodePort)
          const kept = was !== undefined && before.ports.includes(key)
          if (!kept && (port.nodePort < nodePorts.first || port.nodePort > nodePorts.last))
            throw invalid(SERVICE, service, [
              invalidValue(
                path,
                port.nodePort,
                `provided port is not in the valid range. The range of valid ports is ${nodePorts.first}-${nodePorts.last}`,
              ),
            ])
          if (chosen.has(key) || !take(key))
            throw invalid(SERVICE, service, [
              invalidValue(path, port.nodePort, 'provided port is already allocated'),
            ])
          chosen.add(key)
        }
        if (to.type === 'LoadBalancer' && to.externalTrafficPolicy === 'Local') {
          to.healthCheckNodePort ||= was?.spec?.healthCheckNodePort || freePort(chosen, 'TCP')
          if (!take(portKey('TCP', to.healthCheckNodePort)))
            throw invalid(SERVICE, service, [
              invalidValue(
                FieldPath.of('spec', 'healthCheckNodePort'),
                to.healthCheckNodePort,
                'provided port is already allocated',
              ),
            ])
        } else if (was?.spec?.healthCheckNodePort !== undefined) delete to.healthCheckNodePort
      }
    },
    settle(old, now) {
      const used = inUse()
      const owner = ownerOf(old.metadata)
      const before = held(old as Service)
      const after = now === undefined ? NOTHING : held(now as Service)
      for (const address of before.addresses)
        if (!after.addresses.includes(address) && used.get(address) === owner) used.delete(address)
      for (const port of before.ports)
        if (!after.ports.includes(port) && ports.get(port) === owner) ports.delete(port)
    },
  }
}

const refused = (name: string, address: string, why: string) =>
  invalid(SERVICE, name, [
    invalidValue(CLUSTER_IPS, [address], `failed to allocate IP ${address}: ${why}`),
  ])

const NOTHING: { readonly addresses: readonly string[]; readonly ports: readonly string[] } = {
  addresses: [],
  ports: [],
}

/** What a Service has. */
function held({ spec }: Service): typeof NOTHING {
  if (spec === undefined) return NOTHING
  const { clusterIP, clusterIPs, ports = [], healthCheckNodePort } = spec
  const addresses = (clusterIPs?.length ? clusterIPs : [clusterIP ?? '']).filter(
    (address) => address !== '' && address !== 'None',
  )
  return {
    addresses,
    ports: [
      ...(ports ?? []).flatMap(({ protocol, nodePort }) =>
        nodePort ? [portKey(protocol ?? 'TCP', nodePort)] : [],
      ),
      ...(healthCheckNodePort ? [portKey('TCP', healthCheckNodePort)] : []),
    ],
  }
}

function withoutAddress(spec: Spec): void {
  for (const field of [
    'clusterIP',
    'clusterIPs',
    'ipFamilies',
    'ipFamilyPolicy',
    'internalTrafficPolicy',
    'healthCheckNodePort',
  ] as const)
    delete spec[field]
  for (const port of spec.ports ?? []) delete port.nodePort
}

/** The node port that the same port had, when an update leaves it out. */
function keptPort(was: Service | undefined, port: Port): number | undefined {
  const same = (was?.spec?.ports ?? []).find(
    (each) =>
      each.port === port.port &&
      (each.protocol ?? 'TCP') === (port.protocol ?? 'TCP') &&
      (each.name ?? '') === (port.name ?? ''),
  )
  return same?.nodePort || undefined
}

const isGiven = (was: Service, port: Port): boolean =>
  (was.spec?.ports ?? []).some(
    (each) => each.nodePort !== undefined && sameJson(each.nodePort, port.nodePort),
  )
