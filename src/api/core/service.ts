/** Services: a stable address for pods that come and go. */
import {
  FieldPath,
  duplicate,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
  type FieldError,
} from '#machinery'
import { cidrWarnings, ipWarnings } from '../address-warnings.ts'
import { isIP, isRange } from '../addresses.ts'
import { labelsText, NONE } from '../columns.ts'
import { defineResource } from '../define.ts'
import type { Mutable } from '../mutable.ts'
import { services as servicesRef } from '../resources.gen.ts'
import {
  check,
  dnsLabel,
  dnsSubdomain,
  ipAddress,
  portName,
  portNumber,
  qualifiedName,
  validateLabels,
} from '../rules.ts'
import type { Service, ServicePort, ServiceSpec } from '../types.gen.ts'

type Spec = Mutable<ServiceSpec>

const HEADLESS = 'None'
const DISTRIBUTIONS = ['PreferClose', 'PreferSameNode', 'PreferSameZone']
const KUBELET_PORT = 10_250
const MAX_AFFINITY_SECONDS = 86_400
const path = FieldPath.of('spec')

const isHeadless = ({ clusterIP, clusterIPs }: ServiceSpec): boolean =>
  clusterIP === HEADLESS || clusterIPs?.[0] === HEADLESS
/** Whether the type gives the service an address inside the cluster. */
const needsClusterIP = ({ type }: ServiceSpec): boolean => type !== 'ExternalName'
/** Whether the type opens a port on every node. */
const needsNodePort = ({ type, allocateLoadBalancerNodePorts }: ServiceSpec): boolean =>
  type === 'NodePort' || (type === 'LoadBalancer' && allocateLoadBalancerNodePorts !== false)
const needsHealthPort = ({ type, externalTrafficPolicy }: ServiceSpec): boolean =>
  type === 'LoadBalancer' && externalTrafficPolicy === 'Local'
const isExternal = ({ type, externalIPs = [] }: ServiceSpec): boolean =>
  type === 'LoadBalancer' || type === 'NodePort' || (type === 'ClusterIP' && externalIPs.length > 0)

function defaultService({ spec, status }: Mutable<Service>): void {
  if (spec === undefined) return
  spec.sessionAffinity ??= 'None'
  if (spec.sessionAffinity === 'None') delete spec.sessionAffinityConfig
  else if (spec.sessionAffinity === 'ClientIP') {
    const config = (spec.sessionAffinityConfig ??= {})
    config.clientIP ??= {}
    config.clientIP.timeoutSeconds ??= 10_800
  }
  spec.type ??= 'ClusterIP'
  for (const port of spec.ports ?? []) {
    port.protocol ??= 'TCP'
    if (port.targetPort === undefined || port.targetPort === 0 || port.targetPort === '') {
      port.targetPort = port.port
    }
  }
  if (isExternal(spec)) spec.externalTrafficPolicy ??= 'Cluster'
  if (spec.type !== 'ExternalName') spec.internalTrafficPolicy ??= 'Cluster'
  if (spec.type === 'LoadBalancer') {
    spec.allocateLoadBalancerNodePorts ??= true
    for (const ingress of status?.loadBalancer?.ingress ?? []) {
      if ((ingress.ip ?? '') !== '') ingress.ipMode ??= 'VIP'
    }
  }
}

/** clusterIP is the first of clusterIPs; clients that know only the one may set the one. */
function mirrorClusterIPs(spec: Spec, old: ServiceSpec | undefined): void {
  if (old === undefined) {
    if ((spec.clusterIP ?? '') !== '' && (spec.clusterIPs ?? []).length === 0) {
      spec.clusterIPs = [spec.clusterIP ?? '']
    }
    return
  }
  if (spec.clusterIP === old.clusterIP) return
  const untouched = (spec.clusterIPs ?? []).join() === (old.clusterIPs ?? []).join()
  if ((spec.clusterIP ?? '') === '') {
    if (untouched) delete spec.clusterIPs
  } else if (untouched || (spec.clusterIPs ?? []).length === 0) {
    spec.clusterIPs = [spec.clusterIP ?? '']
  }
}

/** What was given out stays with the service when an update does not mention it. */
function keepAllocated(spec: Spec, old: ServiceSpec): void {
  if (needsClusterIP(old) && needsClusterIP(spec)) {
    if ((spec.clusterIP ?? '') === '' && old.clusterIP !== undefined) spec.clusterIP = old.clusterIP
    if (
      (spec.clusterIPs ?? []).length === 0 &&
      spec.clusterIP === old.clusterIP &&
      old.clusterIPs
    ) {
      spec.clusterIPs = [...old.clusterIPs]
    }
    if (spec.ipFamilies === undefined && old.ipFamilies) spec.ipFamilies = [...old.ipFamilies]
    if (spec.ipFamilyPolicy === undefined && old.ipFamilyPolicy) {
      spec.ipFamilyPolicy = old.ipFamilyPolicy
    }
  }
  if (needsNodePort(old) && needsNodePort(spec)) {
    const taken = new Set((spec.ports ?? []).map(({ nodePort }) => nodePort))
    const given = new Map((old.ports ?? []).map(({ name = '', nodePort }) => [name, nodePort]))
    for (const port of spec.ports ?? []) {
      const nodePort = given.get(port.name ?? '')
      if ((port.nodePort ?? 0) !== 0 || nodePort === undefined || taken.has(nodePort)) continue
      port.nodePort = nodePort
      taken.add(nodePort)
    }
  }
  if (needsHealthPort(old) && needsHealthPort(spec) && old.healthCheckNodePort !== undefined) {
    spec.healthCheckNodePort ??= old.healthCheckNodePort
  }
}

/** What the old type needed and the new one has no use for. */
function dropUnneeded(spec: Spec, old: ServiceSpec): void {
  if (needsClusterIP(old) && !needsClusterIP(spec)) {
    if (spec.clusterIP === old.clusterIP) delete spec.clusterIP
    if ((spec.clusterIPs ?? []).join() === (old.clusterIPs ?? []).join()) delete spec.clusterIPs
    delete spec.ipFamilies
    delete spec.ipFamilyPolicy
    delete spec.internalTrafficPolicy
  }
  if (needsNodePort(old) && !needsNodePort(spec)) {
    const before = new Set((old.ports ?? []).map(({ nodePort }) => nodePort))
    for (const port of spec.ports ?? []) if (before.has(port.nodePort)) delete port.nodePort
  }
  if (needsHealthPort(old) && !needsHealthPort(spec)) {
    if (spec.healthCheckNodePort === old.healthCheckNodePort) delete spec.healthCheckNodePort
  }
  if (isExternal(old) && !isExternal(spec)) {
    if (spec.externalTrafficPolicy === old.externalTrafficPolicy) delete spec.externalTrafficPolicy
  }
  if (old.type === 'LoadBalancer' && spec.type !== 'LoadBalancer') {
    if (spec.allocateLoadBalancerNodePorts === old.allocateLoadBalancerNodePorts) {
      delete spec.allocateLoadBalancerNodePorts
    }
    if (spec.loadBalancerClass === old.loadBalancerClass) delete spec.loadBalancerClass
  }
}

function validateService({ spec }: Service): readonly FieldError[] {
  const errors: FieldError[] = []
  const { type, ports = [], externalName = '' } = spec
  if (ports.length === 0 && !isHeadless(spec) && type !== 'ExternalName') {
    errors.push(required(path.child('ports')))
  }
  if ((type === 'LoadBalancer' || type === 'NodePort') && isHeadless(spec)) {
    errors.push(
      invalidValue(
        path.child('clusterIPs').index(0),
        HEADLESS,
        `may not be set to 'None' for ${type} services`,
      ),
    )
  }
  if (type === 'LoadBalancer') {
    for (const [i, { port }] of ports.entries()) {
      if (port === KUBELET_PORT) {
        errors.push(
          invalidValue(
            path.child('ports').index(i),
            port,
            `may not expose port ${KUBELET_PORT} externally since it is used by kubelet`,
          ),
        )
      }
    }
  }
  if (type === 'ExternalName') {
    if ((spec.clusterIPs ?? []).length > 0) {
      errors.push(
        forbiddenField(path.child('clusterIPs'), 'may not be set for ExternalName services'),
      )
    }
    const at = path.child('externalName')
    if (externalName === '') errors.push(required(at))
    else errors.push(...check(at, externalName.replace(/\.$/, ''), dnsSubdomain))
  }
  errors.push(...validatePorts(spec))
  errors.push(...validateLabels(spec.selector, path.child('selector')))
  errors.push(...validateAffinity(spec))
  errors.push(...validateAddresses(spec))
  errors.push(...validateTraffic(spec))
  return errors
}

function validatePorts(spec: ServiceSpec): readonly FieldError[] {
  const { ports = [], type } = spec
  const errors: FieldError[] = []
  const names = new Set<string>()
  const numbers = new Set<string>()
  const nodePorts = new Set<string>()
  for (const [i, port] of ports.entries()) {
    const at = path.child('ports').index(i)
    const { name = '', protocol = 'TCP', nodePort = 0, targetPort, appProtocol } = port
    if (name === '') {
      if (ports.length > 1) errors.push(required(at.child('name')))
    } else {
      errors.push(...check(at.child('name'), name, dnsLabel))
      if (names.has(name)) errors.push(duplicate(at.child('name'), name))
      names.add(name)
    }
    errors.push(...check(at.child('port'), port.port, portNumber))
    if (typeof targetPort === 'string') {
      errors.push(...check(at.child('targetPort'), targetPort, portName))
    } else if (targetPort !== undefined) {
      errors.push(...check(at.child('targetPort'), targetPort, portNumber))
    }
    if (appProtocol !== undefined) {
      errors.push(...check(at.child('appProtocol'), appProtocol, qualifiedName))
    }
    if (nodePort !== 0) {
      if (type === 'ClusterIP' || type === 'ExternalName') {
        errors.push(
          forbiddenField(at.child('nodePort'), `may not be used when \`type\` is '${type}'`),
        )
      }
      errors.push(...check(at.child('nodePort'), nodePort, portNumber))
      const id = `${protocol}/${nodePort}`
      if (nodePorts.has(id)) errors.push(duplicate(at.child('nodePort'), nodePort))
      nodePorts.add(id)
    }
    const id = `${protocol}/${port.port}`
    if (numbers.has(id)) errors.push(duplicate(at, { protocol, port: port.port }))
    numbers.add(id)
  }
  return errors
}

function validateAffinity(spec: ServiceSpec): readonly FieldError[] {
  const at = path.child('sessionAffinityConfig')
  if (spec.sessionAffinity === 'ClientIP') {
    const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds
    const where = at.child('clientIP', 'timeoutSeconds')
    if (seconds === undefined) return [required(where)]
    return seconds > 0 && seconds <= MAX_AFFINITY_SECONDS
      ? []
      : [
          invalidValue(
            where,
            seconds,
            `must be greater than 0 and less than ${MAX_AFFINITY_SECONDS}`,
          ),
        ]
  }
  return spec.sessionAffinityConfig === undefined
    ? []
    : [forbiddenField(at, 'must not be set when session affinity is None')]
}

function validateAddresses(spec: ServiceSpec): readonly FieldError[] {
  const errors: FieldError[] = []
  const { clusterIP = '', clusterIPs = [], ipFamilies = [], ipFamilyPolicy } = spec
  const at = path.child('clusterIPs')
  if (clusterIP !== '' && clusterIPs[0] !== undefined && clusterIPs[0] !== clusterIP) {
    errors.push(invalidValue(at, clusterIPs, 'first value must match `clusterIP`'))
  }
  for (const [i, address] of clusterIPs.entries()) {
    if (address === HEADLESS) {
      if (clusterIPs.length > 1) {
        errors.push(invalidValue(at, clusterIPs, "'None' must be the first and only value"))
      }
    } else errors.push(...check(at.index(i), address, ipAddress))
  }
  if (clusterIPs.length > 2) {
    errors.push(invalidValue(at, clusterIPs, 'may only hold up to 2 values'))
  }
  const [first = '', second] = clusterIPs
  if (second !== undefined && isIP(first) === isIP(second)) {
    errors.push(invalidValue(at, clusterIPs, 'may specify no more than one IP for each IP family'))
  }
  const families = path.child('ipFamilies')
  for (const [i, family] of ipFamilies.entries()) {
    if (family !== 'IPv4' && family !== 'IPv6') {
      errors.push(notSupported(families.index(i), family, ['IPv4', 'IPv6']))
    } else if (ipFamilies.indexOf(family) < i) {
      errors.push(duplicate(families.index(i), family))
    }
  }
  if (ipFamilyPolicy === 'SingleStack' && (ipFamilies.length > 1 || clusterIPs.length > 1)) {
    errors.push(
      invalidValue(
        path.child('ipFamilyPolicy'),
        ipFamilyPolicy,
        'must be RequireDualStack or PreferDualStack when multiple IP families are specified',
      ),
    )
  }
  for (const [i, address] of (spec.externalIPs ?? []).entries()) {
    const where = path.child('externalIPs').index(i)
    const wrong = check(where, address, ipAddress)
    errors.push(...wrong)
    if (wrong.length === 0) errors.push(...notSpecial(address, where))
  }
  const ranges = spec.loadBalancerSourceRanges ?? []
  const where = path.child('loadBalancerSourceRanges')
  if (ranges.length > 0 && spec.type !== 'LoadBalancer') {
    errors.push(forbiddenField(where, "may only be used when `type` is 'LoadBalancer'"))
  }
  for (const [i, range] of ranges.entries()) {
    if (isRange(range.trim()) === 0) {
      errors.push(
        invalidValue(
          where.index(i),
          range,
          'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
        ),
      )
    }
  }
  return errors
}

/** Addresses that never lead out of a machine or link. */
export function notSpecial(address: string, at: FieldPath): readonly FieldError[] {
  const why =
    address.startsWith('127.') || address === '::1'
      ? 'may not be in the loopback range (127.0.0.0/8, ::1/128)'
      : address === '0.0.0.0' || address === '::'
        ? `may not be unspecified (${address})`
        : address.startsWith('169.254.') || /^fe[89ab]/i.test(address)
          ? 'may not be in the link-local range (169.254.0.0/16, fe80::/10)'
          : address.startsWith('224.0.0.') || /^ff02:/i.test(address)
            ? 'may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)'
            : undefined
  return why === undefined ? [] : [invalidValue(at, address, why)]
}

function validateTraffic(spec: ServiceSpec): readonly FieldError[] {
  const errors: FieldError[] = []
  const { externalTrafficPolicy: external, healthCheckNodePort = 0 } = spec
  if (external !== undefined && !isExternal(spec)) {
    errors.push(
      invalidValue(
        path.child('externalTrafficPolicy'),
        external,
        'may only be set for externally-accessible services',
      ),
    )
  }
  if (healthCheckNodePort !== 0 && !needsHealthPort(spec)) {
    errors.push(
      invalidValue(
        path.child('healthCheckNodePort'),
        healthCheckNodePort,
        "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
      ),
    )
  }
  const distribution = spec.trafficDistribution
  if (distribution !== undefined && !DISTRIBUTIONS.includes(distribution)) {
    errors.push(notSupported(path.child('trafficDistribution'), distribution, DISTRIBUTIONS))
  }
  if (spec.type === 'LoadBalancer' && spec.loadBalancerClass !== undefined) {
    errors.push(...check(path.child('loadBalancerClass'), spec.loadBalancerClass, qualifiedName))
  }
  if (spec.type !== 'LoadBalancer') {
    for (const field of ['allocateLoadBalancerNodePorts', 'loadBalancerClass'] as const) {
      if (spec[field] !== undefined) {
        errors.push(
          forbiddenField(path.child(field), "may only be used when `type` is 'LoadBalancer'"),
        )
      }
    }
  }
  return errors
}

function validateUpdate(now: Service, old: Service): readonly FieldError[] {
  const errors: FieldError[] = []
  if (needsClusterIP(old.spec) && needsClusterIP(now.spec)) {
    const before = old.spec.clusterIPs?.[0] ?? ''
    if (before !== '' && now.spec.clusterIPs?.[0] !== before) {
      errors.push(
        invalidValue(
          path.child('clusterIPs').index(0),
          now.spec.clusterIPs ?? [],
          'may not change once set',
        ),
      )
    }
    const family = old.spec.ipFamilies?.[0]
    if (family !== undefined && now.spec.ipFamilies?.[0] !== family) {
      errors.push(
        invalidValue(
          path.child('ipFamilies').index(0),
          now.spec.ipFamilies?.[0],
          'may not change once set',
        ),
      )
    }
  }
  const stays = old.spec.type === 'LoadBalancer' && now.spec.type === 'LoadBalancer'
  if (stays && now.spec.loadBalancerClass !== old.spec.loadBalancerClass) {
    errors.push(
      invalidValue(
        path.child('loadBalancerClass'),
        now.spec.loadBalancerClass,
        'may not change once set',
      ),
    )
  }
  return errors
}

export const services = defineResource(servicesRef, {
  defaults: defaultService,
  validate: validateService,
  validateUpdate,
  prepareForCreate({ spec }) {
    mirrorClusterIPs(spec, undefined)
  },
  prepareForUpdate({ spec }, old, { subresource }) {
    if (subresource !== '') return
    mirrorClusterIPs(spec, old.spec)
    keepAllocated(spec, old.spec)
    dropUnneeded(spec, old.spec)
  },
  fields: ({ spec }) => ({ 'spec.clusterIP': spec.clusterIP ?? '', 'spec.type': spec.type ?? '' }),
  warnings: ({ spec, metadata }) => {
    const warnings: string[] = []
    if (metadata.annotations?.['service.kubernetes.io/topology-aware-hints'] !== undefined) {
      warnings.push(
        'annotation service.kubernetes.io/topology-aware-hints is deprecated, please use service.kubernetes.io/topology-mode instead',
      )
    }
    if ((spec.externalIPs?.length ?? 0) > 0 && spec.type === 'ExternalName') {
      warnings.push('spec.externalIPs is ignored when spec.type is "ExternalName"')
    }
    if (isHeadless(spec) && (spec.loadBalancerIP ?? '') !== '') {
      warnings.push('spec.loadBalancerIP is ignored for headless services')
    }
    if (isHeadless(spec) && spec.sessionAffinity === 'ClientIP') {
      warnings.push('spec.SessionAffinity is ignored for headless services')
    }
    const addresses = (field: string, values: readonly string[] = []): void => {
      for (const [i, value] of values.entries())
        warnings.push(...ipWarnings(`spec.${field}[${i}]`, value))
    }
    addresses(
      'clusterIPs',
      spec.clusterIPs?.filter((ip) => ip !== 'None'),
    )
    addresses('externalIPs', spec.externalIPs)
    if ((spec.loadBalancerIP ?? '') !== '')
      warnings.push(...ipWarnings('spec.loadBalancerIP', spec.loadBalancerIP ?? ''))
    for (const [i, range] of (spec.loadBalancerSourceRanges ?? []).entries())
      warnings.push(...cidrWarnings(`spec.loadBalancerSourceRanges[${i}]`, range.trim()))
    return warnings
  },
  cells: {
    Type: ({ spec }) => spec.type ?? '',
    'Cluster-IP': ({ spec }) =>
      spec.clusterIPs?.[0] ?? (spec.clusterIP === HEADLESS ? HEADLESS : NONE),
    'External-IP': externalIP,
    'Port(s)': ({ spec }) => portsText(spec.ports ?? []),
    Selector: ({ spec }) => labelsText(spec.selector),
  },
})

function externalIP({ spec, status }: Service): string {
  const external = spec.externalIPs ?? []
  switch (spec.type) {
    case 'LoadBalancer': {
      const given = (status?.loadBalancer?.ingress ?? []).map(({ ip = '', hostname = '' }) =>
        ip === '' ? hostname : ip,
      )
      const all = [...given, ...external].filter((text) => text !== '')
      return all.length > 0 ? all.join(',') : '<pending>'
    }
    case 'ExternalName':
      return spec.externalName ?? ''
    default:
      return external.length > 0 ? external.join(',') : NONE
  }
}

function portsText(ports: readonly ServicePort[]): string {
  if (ports.length === 0) return NONE
  return ports
    .map(({ port, nodePort = 0, protocol = 'TCP' }) =>
      nodePort > 0 ? `${port}:${nodePort}/${protocol}` : `${port}/${protocol}`,
    )
    .join(',')
}
