/** Rules about the addresses of services. */
import {
  canonicalIP,
  FieldPath,
  type FieldError,
  duplicate,
  forbiddenField,
  invalidValue,
  notSupported,
} from '#machinery'
import { isIP } from '../../addresses.ts'
import { check, ipAddress, looseCIDR } from '../../rules.ts'
import type { ServiceSpec } from '../../types.gen.ts'
import { HEADLESS } from './shape.ts'

const path = FieldPath.of('spec')

export function validateAddresses(spec: ServiceSpec): readonly FieldError[] {
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
    errors.push(...(wrong.length > 0 ? wrong : notSpecial(address, where)))
  }
  const ranges = spec.loadBalancerSourceRanges ?? []
  // Capital, as Kubernetes has it.
  const where = path.child('LoadBalancerSourceRanges')
  if (ranges.length > 0 && spec.type !== 'LoadBalancer') {
    errors.push(forbiddenField(where, "may only be used when `type` is 'LoadBalancer'"))
  }
  for (const [i, range] of ranges.entries()) {
    errors.push(...check(where.index(i), range.trim(), looseCIDR))
  }
  return errors
}

/** Addresses that never lead out of a machine or link. */
export function notSpecial(address: string, at: FieldPath): readonly FieldError[] {
  const canonical = canonicalIP(address)
  if (canonical === undefined) return [invalidValue(at, address, 'must be a valid IP address')]
  const why = whySpecial(address, canonical)
  return why === undefined ? [] : [invalidValue(at, address, why)]
}

const whySpecial = (written: string, address: string): string | undefined =>
  address.startsWith('127.') || address === '::1'
    ? 'may not be in the loopback range (127.0.0.0/8, ::1/128)'
    : address === '0.0.0.0' || address === '::'
      ? `may not be unspecified (${written})`
      : address.startsWith('169.254.') || /^fe[89ab]/.test(address)
        ? 'may not be in the link-local range (169.254.0.0/16, fe80::/10)'
        : address.startsWith('224.0.0.') || /^ff.2:/.test(address)
          ? 'may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)'
          : undefined
