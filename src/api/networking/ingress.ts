/** Ingresses: ways in. */
import {
  canonicalIP,
  FieldPath,
  invalid,
  invalidValue,
  notSupported,
  required,
  type FieldError,
} from '#machinery'
import { NONE } from '../columns.ts'
import { defineResource } from '../define.ts'
import { ingresses as ingressesRef } from '../resources.gen.ts'
import { check, dnsLabel, dnsSubdomain, portName, portNumber, wildcardSubdomain } from '../rules.ts'
import type { HTTPIngressPath, Ingress, IngressBackend } from '../types.gen.ts'
import { path, validateReference } from './reference.ts'

const PATH_TYPES = ['Exact', 'ImplementationSpecific', 'Prefix']
const BAD_PARTS = ['//', '/./', '/../', '%2f', '%2F']
const BAD_ENDS = ['/..', '/.']

function validateHost(host: string, at: FieldPath): readonly FieldError[] {
  const wrong = check(at, host, host.includes('*') ? wildcardSubdomain : dnsSubdomain)
  return canonicalIP(host) === undefined
    ? wrong
    : [invalidValue(at, host, 'must be a DNS name, not an IP address'), ...wrong]
}

function validateIngress({ spec }: Ingress): readonly FieldError[] {
  const { rules = [], tls = [], defaultBackend, ingressClassName } = spec
  const errors: FieldError[] = []
  if (rules.length === 0 && defaultBackend === undefined) {
    errors.push(
      invalidValue(path, spec.rules, 'either `defaultBackend` or `rules` must be specified'),
    )
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
  if (type === undefined) return [required(at.child('pathType'), 'pathType must be specified')]
  if (!PATH_TYPES.includes(type)) errors.push(notSupported(at.child('pathType'), type, PATH_TYPES))
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
  else errors.push(...check(at.child('service', 'name'), name, dnsLabel))
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

export const ingresses = defineResource(ingressesRef, {
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
