/** Network policies: who may talk to whom. */
import {
  forbiddenField,
  invalidValue,
  notSupported,
  required,
  type FieldError,
  type FieldPath,
} from '#machinery'
import { cidrWarnings } from '../address-warnings.ts'
import { inRange, isRange } from '../addresses.ts'
import { selectorText } from '../columns.ts'
import { defineResource } from '../define.ts'
import { networkPolicies as networkPoliciesRef } from '../resources.gen.ts'
import { check, looseCIDR, portName, portNumber, validateLabelSelector } from '../rules.ts'
import type { NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort } from '../types.gen.ts'
import { path } from './reference.ts'

const POLICY_TYPES: readonly string[] = ['Ingress', 'Egress']

function validatePolicy({ spec }: NetworkPolicy): readonly FieldError[] {
  const errors: FieldError[] = [
    ...validateLabelSelector(spec.podSelector, path.child('podSelector')),
  ]
  for (const [i, { ports = [], from = [] }] of (spec.ingress ?? []).entries()) {
    const at = path.child('ingress').index(i)
    errors.push(...validatePolicyPorts(ports, at.child('ports')))
    errors.push(...from.flatMap((peer, j) => validatePeer(peer, at.child('from').index(j))))
  }
  for (const [i, { ports = [], to = [] }] of (spec.egress ?? []).entries()) {
    const at = path.child('egress').index(i)
    errors.push(...validatePolicyPorts(ports, at.child('ports')))
    errors.push(...to.flatMap((peer, j) => validatePeer(peer, at.child('to').index(j))))
  }
  if ((spec.policyTypes ?? []).length > 2) {
    errors.push(
      invalidValue(
        path.child('policyTypes'),
        spec.policyTypes,
        'may not specify more than two policyTypes',
      ),
    )
    return errors
  }
  for (const [i, type] of (spec.policyTypes ?? []).entries())
    if (!POLICY_TYPES.includes(type))
      errors.push(notSupported(path.child('policyTypes').index(i), type, POLICY_TYPES))
  return errors
}

function validatePolicyPorts(
  ports: readonly NetworkPolicyPort[],
  at: FieldPath,
): readonly FieldError[] {
  return ports.flatMap(({ port, endPort }, i) => {
    const errors: FieldError[] = []
    const where = at.index(i)
    if (port === undefined) {
      if (endPort !== undefined)
        errors.push(
          invalidValue(
            where.child('endPort'),
            endPort,
            'may not be specified when `port` is not specified',
          ),
        )
    } else if (typeof port === 'number') {
      errors.push(...check(where.child('port'), port, portNumber))
      if (endPort === undefined) return errors
      if (endPort < port)
        errors.push(
          invalidValue(where.child('endPort'), port, 'must be greater than or equal to `port`'),
        )
      errors.push(...check(where.child('endPort'), endPort, portNumber))
    } else {
      if (endPort !== undefined)
        errors.push(
          invalidValue(
            where.child('endPort'),
            endPort,
            'may not be specified when `port` is non-numeric',
          ),
        )
      errors.push(...check(where.child('port'), port, portName))
    }
    return errors
  })
}

function validatePeer(
  { podSelector, namespaceSelector, ipBlock }: NetworkPolicyPeer,
  at: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = [
    ...validateLabelSelector(podSelector, at.child('podSelector')),
    ...validateLabelSelector(namespaceSelector, at.child('namespaceSelector')),
  ]
  const selects = podSelector !== undefined || namespaceSelector !== undefined
  if (ipBlock === undefined) {
    return selects ? errors : [...errors, required(at, 'must specify a peer')]
  }
  if (selects) errors.push(forbiddenField(at, 'may not specify both ipBlock and another peer'))
  const block = at.child('ipBlock')
  const { cidr, except = [] } = ipBlock
  if (cidr === '') return errors
  errors.push(...check(block.child('cidr'), cidr, looseCIDR))
  if (isRange(cidr) === 0) return errors
  for (const [i, hole] of except.entries()) {
    const where = block.child('except').index(i)
    errors.push(...check(where, hole, looseCIDR))
    if (isRange(hole) !== 0 && !isStrictlyInside(hole, cidr))
      errors.push(invalidValue(where, hole, 'must be a strict subset of `cidr`'))
  }
  return errors
}

const bitsOf = (range: string): number => Number(range.slice(range.indexOf('/') + 1))
const isStrictlyInside = (inner: string, outer: string): boolean =>
  inRange(inner.slice(0, inner.indexOf('/')), outer) && bitsOf(inner) > bitsOf(outer)

function policyWarnings({ spec }: NetworkPolicy): readonly string[] {
  const of = (peers: readonly NetworkPolicyPeer[] | undefined, at: string): readonly string[] =>
    (peers ?? []).flatMap(({ ipBlock }, i) =>
      ipBlock === undefined
        ? []
        : [
            ...cidrWarnings(`${at}[${i}].ipBlock.cidr`, ipBlock.cidr),
            ...(ipBlock.except ?? []).flatMap((range, j) =>
              cidrWarnings(`${at}[${i}].ipBlock.except[${j}]`, range),
            ),
          ],
    )
  return [
    ...(spec.ingress ?? []).flatMap(({ from }, i) => of(from, `spec.ingress[${i}].from`)),
    ...(spec.egress ?? []).flatMap(({ to }, i) => of(to, `spec.egress[${i}].to`)),
  ]
}

export const networkPolicies = defineResource(networkPoliciesRef, {
  defaults({ spec }) {
    for (const rule of [...(spec.ingress ?? []), ...(spec.egress ?? [])]) {
      for (const port of rule.ports ?? []) port.protocol ??= 'TCP'
    }
    if ((spec.policyTypes ?? []).length === 0) {
      spec.policyTypes = (spec.egress ?? []).length > 0 ? ['Ingress', 'Egress'] : ['Ingress']
    }
  },
  validate: validatePolicy,
  warnings: policyWarnings,
  cells: { 'Pod-Selector': ({ spec }) => selectorText(spec.podSelector) },
})
