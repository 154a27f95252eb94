/** What a service is told when it is written, and written all the same. */
import { cidrWarnings, ipWarnings } from '../../address-warnings.ts'
import type { Service } from '../../types.gen.ts'
import { isHeadless } from './shape.ts'

export function serviceWarnings({ spec, metadata }: Service): readonly string[] {
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
  if ((spec.externalIPs?.length ?? 0) > 0 && !isHeadless(spec) && spec.type !== 'ExternalName')
    warnings.push(
      'spec.externalIPs is deprecated and may no longer be implemented in some clusters',
    )
  if ((spec.loadBalancerIP ?? '') !== '')
    warnings.push(...ipWarnings('spec.loadBalancerIP', spec.loadBalancerIP ?? ''))
  for (const [i, range] of (spec.loadBalancerSourceRanges ?? []).entries())
    warnings.push(...cidrWarnings(`spec.loadBalancerSourceRanges[${i}]`, range.trim()))
  if (spec.type !== 'ExternalName' && (spec.externalName ?? '') !== '')
    warnings.push('spec.externalName is ignored when spec.type is not "ExternalName"')
  if (spec.trafficDistribution === 'PreferClose')
    warnings.push('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
  return warnings
}
