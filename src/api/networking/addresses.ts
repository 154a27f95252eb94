/** Ranges that Services have their addresses from, and those that are taken. */
import { invalidValue, required, type FieldError } from '#machinery'
import { isRange } from '../addresses.ts'
import { NONE } from '../columns.ts'
import { defineResource } from '../define.ts'
import { equal } from '../equal.ts'
import { goForm } from '../go-form.ts'
import { ipAddresses as ipAddressesRef, serviceCIDRs as serviceCIDRsRef } from '../resources.gen.ts'
import { check, cidr, dnsSubdomain, immutable, pathSegment } from '../rules.ts'
import type { ServiceCIDR } from '../types.gen.ts'
import { path } from './reference.ts'

function validateServiceCIDR({ spec }: ServiceCIDR): readonly FieldError[] {
  const at = path.child('cidrs')
  const cidrs = spec.cidrs ?? []
  if (cidrs.length === 0) return [required(at, 'at least one CIDR required')]
  if (cidrs.length > 2) {
    const spec = goForm('networking.v1.ServiceCIDRSpec', { cidrs })
    return [invalidValue(at, spec, 'may only hold up to 2 values')]
  }
  const errors: FieldError[] = cidrs.flatMap((range, i) => check(at.index(i), range, cidr))
  const [first = '', second] = cidrs
  if (second !== undefined && isRange(first) !== 0 && isRange(first) === isRange(second)) {
    errors.push(
      invalidValue(
        at,
        cidrs,
        'may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64',
      ),
    )
  }
  return errors
}

export const serviceCIDRs = defineResource(serviceCIDRsRef, {
  validate: validateServiceCIDR,
  validateUpdate: (now, old) => {
    const before = old.spec.cidrs ?? []
    const after = now.spec.cidrs ?? []
    // A range of the other family may be added; none may be changed.
    if (before.length === 1 && after.length === 2) {
      return immutable(after[0], before[0], path.child('cidrs').index(0))
    }
    return equal(after, before)
      ? []
      : [invalidValue(path.child('cidrs'), after, 'field is immutable')]
  },
  cells: { CIDRs: ({ spec }) => (spec.cidrs ?? []).join(',') },
})

export const ipAddresses = defineResource(ipAddressesRef, {
  validate: ({ spec }) => {
    const errors: FieldError[] = []
    const parent = spec.parentRef
    const where = path.child('parentRef')
    if (parent === undefined) return errors
    const { group = '', resource, name, namespace = '' } = parent
    if (group !== '') errors.push(...check(where.child('group'), group, dnsSubdomain))
    for (const [field, value] of Object.entries({ resource, name }))
      if (!value) errors.push(required(where.child(field)))
      else errors.push(...check(where.child(field), value, pathSegment))
    if (namespace !== '') errors.push(...check(where.child('namespace'), namespace, pathSegment))
    return errors
  },
  validateUpdate: (now, old) =>
    immutable(
      now.spec.parentRef,
      old.spec.parentRef,
      path.child('parentRef'),
      'networking.v1.ParentReference',
    ),
  cells: {
    ParentRef: ({ spec: { parentRef } }) => {
      if (parentRef === undefined) return NONE
      const group = (parentRef.group ?? '') === '' ? '' : `.${parentRef.group}`
      const place = [parentRef.namespace, parentRef.name].filter((part) => (part ?? '') !== '')
      return `${parentRef.resource}${group}/${place.join('/')}`
    },
  },
})
