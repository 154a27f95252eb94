/** Rules about services. */
import {
  FieldPath,
  type FieldError,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
} from '#machinery'
import { check, dnsSubdomain, qualifiedName, validateLabels } from '../../rules.ts'
import type { Service, ServiceSpec } from '../../types.gen.ts'
import { HEADLESS, isExternal, isHeadless, needsClusterIP, needsHealthPort } from './shape.ts'
import { validateAddresses } from './validate-addresses.ts'
import { validatePorts } from './validate-ports.ts'

const DISTRIBUTIONS = ['PreferClose', 'PreferSameZone', 'PreferSameNode']
const KUBELET_PORT = 10_250
const MAX_AFFINITY_SECONDS = 86_400
const path = FieldPath.of('spec')

export function validateService({ spec }: Service): readonly FieldError[] {
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
    for (const field of ['clusterIPs', 'ipFamilies', 'ipFamilyPolicy'] as const) {
      if ((spec[field] ?? '').length === 0) continue
      errors.push(forbiddenField(path.child(field), 'may not be set for ExternalName services'))
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
  return spec.sessionAffinityConfig === undefined || spec.sessionAffinity !== 'None'
    ? []
    : [forbiddenField(at, 'must not be set when session affinity is None')]
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

export function validateUpdate(now: Service, old: Service): readonly FieldError[] {
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
