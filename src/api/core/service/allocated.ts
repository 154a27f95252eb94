/** What a service is given and does not have to mention again: addresses, and ports of the nodes. */
import type { Mutable } from '../../mutable.ts'
import type { ServiceSpec } from '../../types.gen.ts'
import { isExternal, needsClusterIP, needsHealthPort, needsNodePort } from './shape.ts'

type Spec = Mutable<ServiceSpec>

/** clusterIP is the first of clusterIPs; clients that know only the one may set the one. */
export function mirrorClusterIPs(spec: Spec, old: ServiceSpec | undefined): void {
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
export function keepAllocated(spec: Spec, old: ServiceSpec): void {
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
export function dropUnneeded(spec: Spec, old: ServiceSpec): void {
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
