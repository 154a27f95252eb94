/** What a service is when it does not say. */
import type { Mutable } from '../../mutable.ts'
import type { Service } from '../../types.gen.ts'
import { isExternal } from './shape.ts'

export function defaultService({ spec, status }: Mutable<Service>): void {
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
