/** Addresses that are accepted as they always were, and that others read otherwise (KEP-4858). */
import { canonicalCIDR, canonicalIP, looseIPAddress } from '#machinery'

export function ipWarnings(path: string, value: string): readonly string[] {
  const form = canonicalIP(value)
  if (form === undefined) return []
  if (looseIPAddress(value).length > 0)
    return [
      `${path}: non-standard IP address ${JSON.stringify(value)} is invalid: use ${JSON.stringify(form)}`,
    ]
  return form !== value && value.includes(':')
    ? [
        `${path}: IPv6 address ${JSON.stringify(value)} should be in RFC 5952 canonical format (${JSON.stringify(form)})`,
      ]
    : []
}

export function cidrWarnings(path: string, value: string): readonly string[] {
  const range = canonicalCIDR(value)
  if (range === undefined) return []
  const { form, single, isStandard } = range
  const warnings: string[] = []
  if (single !== undefined)
    warnings.push(
      `${path}: CIDR value ${JSON.stringify(value)} is ambiguous in this context (should be ${JSON.stringify(form)} or ${JSON.stringify(single)}?)`,
    )
  if (!isStandard)
    warnings.push(
      `${path}: non-standard CIDR value ${JSON.stringify(value)} is invalid: use ${JSON.stringify(form)}`,
    )
  if (warnings.length === 0 && form !== value && value.includes(':'))
    warnings.push(
      `${path}: IPv6 CIDR value ${JSON.stringify(value)} should be in RFC 5952 canonical format (${JSON.stringify(form)})`,
    )
  return warnings
}
