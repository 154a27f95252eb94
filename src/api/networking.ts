/** The group networking.k8s.io: ways in, and walls. */
import {
  FieldPath,
  forbiddenField,
  invalid,
  invalidValue,
  notSupported,
  required,
  type FieldError,
} from '#machinery'
import { cidrWarnings } from './address-warnings.ts'
import { inRange, isIP, isRange } from './addresses.ts'
import { NONE, selectorText } from './columns.ts'
import { defineResource } from './define.ts'
import { equal } from './equal.ts'
import {
  ingressClasses as ingressClassesRef,
  ingresses as ingressesRef,
  ipAddresses as ipAddressesRef,
  networkPolicies as networkPoliciesRef,
  serviceCIDRs as serviceCIDRsRef,
} from './resources.gen.ts'
import {
  check,
  cidr,
  dns1035Label,
  dnsSubdomain,
  immutable,
  pathSegment,
  portName,
  portNumber,
  validateLabelSelector,
  wildcardSubdomain,
} from './rules.ts'
import type {
  HTTPIngressPath,
  Ingress,
  IngressBackend,
  IngressClass,
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
  ServiceCIDR,
} from './types.gen.ts'

const path = FieldPath.of('spec')
const CIDR = 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'
const PATH_TYPES = ['Exact', 'ImplementationSpecific', 'Prefix']
const BAD_PARTS = ['//', '/./', '/../', '%2f', '%2F']
const BAD_ENDS = ['/..', '/.']

function validateHost(host: string, at: FieldPath): readonly FieldError[] {
  if (isIP(host) !== 0) {
    return [invalidValue(at, host, 'must be a DNS name, not an IP address')]
  }
  return host.includes('*') ? check(at, host, wildcardSubdomain) : check(at, host, dnsSubdomain)
}

function validateIngress({ spec }: Ingress): readonly FieldError[] {
  const { rules = [], tls = [], defaultBackend, ingressClassName } = spec
  const errors: FieldError[] = []
  if (rules.length === 0 && defaultBackend === undefined) {
    errors.push(invalidValue(path, rules, 'either `defaultBackend` or `rules` must be specified'))
  }
  if (defaultBackend) errors.push(...validateBackend(defaultBackend, path.child('defaultBackend')))
  for (const [i, { host = '', http }] of rules.entries()) {
    const at = path.child('rules').index(i)
    if (host !== '') errors.push(...validateHost(host, at.child('host')))
    if (http === undefined) continue
    const paths = at.child('http', 'paths')
    if (http.paths.length === 0) continue
    for (const [j, each] of http.paths.entries()) errors.push(...validatePath(each, paths.index(j)))
  }
  for (const [i, { hosts = [], secretName = '' }] of tls.entries()) {
    const at = path.child('tls').index(i)
    for (const [j, host] of hosts.entries()) {
      errors.push(...validateHost(host, at.child('hosts').index(j)))
    }
    if (secretName !== '') errors.push(...check(at.child('secretName'), secretName, dnsSubdomain))
  }
  if (ingressClassName !== undefined) {
    errors.push(...check(path.child('ingressClassName'), ingressClassName, dnsSubdomain))
  }
  return errors
}

function validatePath(
  { path: route = '', pathType, backend }: HTTPIngressPath,
  at: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const type: string | undefined = pathType
  const absolute = invalidValue(at.child('path'), route, 'must be an absolute path')
  if (type === undefined) errors.push(required(at.child('pathType'), 'pathType must be specified'))
  else if (!PATH_TYPES.includes(type))
    errors.push(notSupported(at.child('pathType'), type, PATH_TYPES))
  else if (type === 'ImplementationSpecific') {
    if (route !== '' && !route.startsWith('/')) errors.push(absolute)
  } else {
    if (!route.startsWith('/')) errors.push(absolute)
    for (const part of BAD_PARTS) {
      if (route.includes(part)) {
        errors.push(invalidValue(at.child('path'), route, `must not contain '${part}'`))
      }
    }
    for (const end of BAD_ENDS) {
      if (route.endsWith(end)) {
        errors.push(invalidValue(at.child('path'), route, `cannot end with '${end}'`))
      }
    }
  }
  return [...errors, ...validateBackend(backend, at.child('backend'))]
}

/** An object of any kind, by its group, kind and name. */
function validateReference(
  {
    apiGroup,
    kind,
    name,
  }: { readonly apiGroup?: string; readonly kind: string; readonly name: string },
  at: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  if (apiGroup !== undefined) errors.push(...check(at.child('apiGroup'), apiGroup, dnsSubdomain))
  for (const [field, value] of Object.entries({ kind, name }))
    if (value === '') errors.push(required(at.child(field), `${field} is required`))
    else errors.push(...check(at.child(field), value, pathSegment))
  return errors
}

function validateBackend(
  { service, resource }: IngressBackend,
  at: FieldPath,
): readonly FieldError[] {
  if (service && resource) {
    return [invalidValue(at, '', 'cannot set both resource and service backends')]
  }
  if (resource) return validateReference(resource, at.child('resource'))
  if (service === undefined)
    return [invalidValue(at, '', 'resource or service backend is required')]
  const errors: FieldError[] = []
  const { name, port } = service
  if (name === '') errors.push(required(at.child('service', 'name')))
  else errors.push(...check(at.child('service', 'name'), name, dns1035Label))
  const byName = (port?.name ?? '') !== ''
  const byNumber = (port?.number ?? 0) !== 0
  if (byName && byNumber)
    errors.push(invalidValue(at, '', 'cannot set both port name & port number'))
  else if (byName)
    errors.push(...check(at.child('service', 'port', 'name'), port?.name ?? '', portName))
  else if (byNumber) {
    errors.push(...check(at.child('service', 'port', 'number'), port?.number ?? 0, portNumber))
  } else errors.push(required(at, 'port name or number is required'))
  return errors
}

const CLASS_ANNOTATION = 'kubernetes.io/ingress.class'

const ingresses = defineResource(ingressesRef, {
  prepareForCreate({ metadata, spec }) {
    // Two ways to say one thing: old objects may have both, new ones may not.
    const old = metadata.annotations?.[CLASS_ANNOTATION]
    if (old === undefined || spec.ingressClassName === undefined) return
    throw invalid({ group: ingressesRef.group, kind: ingressesRef.kind }, metadata.name, [
      invalidValue(
        FieldPath.of('annotations').key(CLASS_ANNOTATION),
        old,
        'can not be set when the class field is also set',
      ),
    ])
  },
  validate: validateIngress,
  warnings: ({ metadata }, old) => {
    const key = CLASS_ANNOTATION
    return metadata.annotations?.[key] !== undefined &&
      old?.metadata.annotations?.[key] === undefined
      ? [`annotation "${key}" is deprecated, please use 'spec.ingressClassName' instead`]
      : []
  },
  cells: {
    Class: ({ spec, metadata }) =>
      spec.ingressClassName ?? metadata.annotations?.[CLASS_ANNOTATION] ?? NONE,
    Hosts: ({ spec }) => {
      const hosts = (spec.rules ?? []).flatMap(({ host = '' }) => (host === '' ? [] : [host]))
      if (hosts.length === 0) return '*'
      const shown = hosts.slice(0, 3).join(',')
      return hosts.length > 3 ? `${shown} + ${hosts.length - 3} more...` : shown
    },
    Address: ({ status }) =>
      (status?.loadBalancer?.ingress ?? [])
        .map(({ ip = '', hostname = '' }) => (ip === '' ? hostname : ip))
        .filter((text) => text !== '')
        .join(','),
    Ports: ({ spec }) => ((spec.tls ?? []).length > 0 ? '80, 443' : '80'),
  },
})

const MAX_CONTROLLER = 250

function validateClass({ spec }: IngressClass): readonly FieldError[] {
  const errors: FieldError[] = []
  const { controller = '', parameters } = spec
  const at = path.child('controller')
  if (controller.length > MAX_CONTROLLER) {
    errors.push({
      type: 'FieldValueTooLong',
      field: at.toString(),
      detail: `Too long: may not be more than ${MAX_CONTROLLER} bytes`,
    })
  }
  if (controller === '') errors.push(required(at))
  else if (!/^[^/]+\/.+$/.test(controller)) {
    errors.push(
      invalidValue(at, controller, 'must be a domain-prefixed path (such as "acme.io/foo")'),
    )
  }
  if (parameters === undefined) return errors
  const where = path.child('parameters')
  const { scope = '', namespace } = parameters
  if (scope !== 'Cluster' && scope !== 'Namespace') {
    errors.push(notSupported(where.child('scope'), scope, ['Cluster', 'Namespace']))
  }
  if (scope === 'Namespace' && (namespace ?? '') === '') {
    errors.push(required(where.child('namespace'), "`parameters.scope` is set to 'Namespace'"))
  }
  if (scope === 'Cluster' && namespace !== undefined) {
    errors.push(forbiddenField(where.child('namespace'), "`parameters.scope` is set to 'Cluster'"))
  }
  return errors
}

const ingressClasses = defineResource(ingressClassesRef, {
  defaults({ spec }) {
    if (spec.parameters) spec.parameters.scope ??= 'Cluster'
  },
  validate: validateClass,
  validateUpdate: (now, old) =>
    immutable(now.spec.controller, old.spec.controller, path.child('controller')),
  cells: {
    Controller: ({ spec }) => spec.controller ?? '',
    Parameters: ({ spec: { parameters } }) => {
      if (parameters === undefined) return NONE
      const group = (parameters.apiGroup ?? '') === '' ? '' : `.${parameters.apiGroup}`
      return `${parameters.kind}${group}/${parameters.name}`
    },
  },
})

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
  }
  return errors
}

function validatePolicyPorts(
  ports: readonly NetworkPolicyPort[],
  at: FieldPath,
): readonly FieldError[] {
  return ports.flatMap(({ port, endPort }, i) => {
    const errors: FieldError[] = []
    const where = at.index(i)
    if (typeof port === 'number') errors.push(...check(where.child('port'), port, portNumber))
    else if (port !== undefined) errors.push(...check(where.child('port'), port, portName))
    if (endPort !== undefined) {
      if (port === undefined) {
        errors.push(required(where.child('port'), 'must be specified when `endPort` is specified'))
      } else if (typeof port === 'string') {
        errors.push(
          invalidValue(
            where.child('endPort'),
            endPort,
            'may not be specified when `port` is non-numeric',
          ),
        )
      } else if (endPort < port) {
        errors.push(
          invalidValue(where.child('endPort'), endPort, 'must be greater than or equal to `port`'),
        )
      } else errors.push(...check(where.child('endPort'), endPort, portNumber))
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
  if (isRange(cidr) === 0) return [...errors, invalidValue(block.child('cidr'), cidr, CIDR)]
  for (const [i, hole] of except.entries()) {
    const where = block.child('except').index(i)
    if (isRange(hole) === 0) errors.push(invalidValue(where, hole, CIDR))
    else if (!isStrictlyInside(hole, cidr)) {
      errors.push(invalidValue(where, hole, 'must be a strict subset of `cidr`'))
    }
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

const networkPolicies = defineResource(networkPoliciesRef, {
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

function validateServiceCIDR({ spec }: ServiceCIDR): readonly FieldError[] {
  const at = path.child('cidrs')
  const cidrs = spec.cidrs ?? []
  if (cidrs.length === 0) return [required(at, 'at least one CIDR required')]
  if (cidrs.length > 2) {
    return [invalidValue(at, cidrs, 'may only hold up to 2 values')]
  }
  const errors: FieldError[] = cidrs.flatMap((range, i) => check(at.index(i), range, cidr))
  const [first = '', second] = cidrs
  if (second !== undefined && isRange(first) === isRange(second)) {
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

const serviceCIDRs = defineResource(serviceCIDRsRef, {
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

const ipAddresses = defineResource(ipAddressesRef, {
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
    immutable(now.spec.parentRef, old.spec.parentRef, path.child('parentRef')),
  cells: {
    ParentRef: ({ spec: { parentRef } }) => {
      if (parentRef === undefined) return NONE
      const group = (parentRef.group ?? '') === '' ? '' : `.${parentRef.group}`
      const place = [parentRef.namespace, parentRef.name].filter((part) => (part ?? '') !== '')
      return `${parentRef.resource}${group}/${place.join('/')}`
    },
  },
})

export const networking = [ingressClasses, ingresses, ipAddresses, networkPolicies, serviceCIDRs]
