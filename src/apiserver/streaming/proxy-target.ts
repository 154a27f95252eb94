/** Where `pods|services|nodes` `/[scheme:]name[:port]/proxy` leads to. */
import {
  endpointSlices,
  pods,
  services,
  type EndpointSlice,
  type Node,
  type Pod,
  type Service,
} from '#api'
import type { Random } from '#base'
import { StatusError, badRequest, notFound } from '#machinery'
import type { Reader } from '../inside.ts'

export interface ProxyAddress {
  readonly scheme: 'http' | 'https'
  readonly host: string
  readonly port: number
}

export interface ProxyName {
  readonly scheme: 'http' | 'https'
  readonly name: string
  /** A name or a number; '' when none was given. */
  readonly port: string
}

/** `web`, `web:8080`, `https:web:metrics`; undefined when it is none of these. */
export function parseProxyName(text: string): ProxyName | undefined {
  const parts = text.split(':')
  const [scheme = '', name = '', port = ''] =
    parts.length === 1 ? ['', parts[0]] : parts.length === 2 ? ['', ...parts] : parts
  if (parts.length > 3 || name === '' || (parts.length === 2 && port === '')) return undefined
  if (scheme !== '' && scheme !== 'http' && scheme !== 'https') return undefined
  return { scheme: scheme === 'https' ? 'https' : 'http', name, port }
}

/** Loopback and link-local addresses are the server's own: nobody gets there through us. */
function refuseOwn(address: string): void {
  if (/^(127\.|169\.254\.|0\.0\.0\.0$|::1?$|fe[89ab][0-9a-f]:)/i.test(address))
    throw badRequest('address not allowed')
}

export function podAddress(
  read: Pick<Reader, 'get'>,
  namespace: string,
  text: string,
): ProxyAddress {
  const wanted = parseProxyName(text)
  if (wanted === undefined) throw badRequest(`invalid pod request ${JSON.stringify(text)}`)
  const pod = read.get(pods, namespace, wanted.name)
  if (pod === undefined) throw notFound({ group: '', resource: 'pods' }, wanted.name)
  const host = pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP ?? ''
  if (host === '')
    throw new StatusError(
      'ServiceUnavailable',
      `pod ${JSON.stringify(wanted.name)} has no address yet`,
    )
  refuseOwn(host)
  return { scheme: wanted.scheme, host, port: podPort(pod, wanted) }
}

function podPort(pod: Pod, { port, scheme }: ProxyName): number {
  const declared = (pod.spec?.containers ?? []).flatMap(({ ports = [] }) => ports)
  if (port === '') return declared[0]?.containerPort ?? (scheme === 'https' ? 443 : 80)
  if (/^\d+$/.test(port)) return Number(port)
  const named = declared.find(({ name }) => name === port)?.containerPort
  if (named === undefined)
    throw badRequest(
      `pod ${JSON.stringify(pod.metadata.name)} has no port named ${JSON.stringify(port)}`,
    )
  return named
}

/** Another port of a node than its kubelet's. */
export function nodeAddress({ scheme, port }: ProxyName, node: Node | undefined): ProxyAddress {
  const addresses = node?.status?.addresses ?? []
  const host = addresses.find(({ type }) => type === 'InternalIP') ?? addresses[0]
  if (host === undefined)
    throw new StatusError('', 'no preferred addresses found; known addresses: []', { code: 500 })
  const number = Number(port)
  if (!Number.isInteger(number) || number < 1 || number > 65_535)
    throw badRequest(`invalid node request ${JSON.stringify(`${scheme}:${port}`)}`)
  refuseOwn(host.address)
  return { scheme, host: host.address, port: number }
}

/** One of the Service's ready endpoints, by chance. */
export function serviceAddress(
  read: Pick<Reader, 'get' | 'list'>,
  { next }: Pick<Random, 'next'>,
  namespace: string,
  text: string,
): ProxyAddress {
  const wanted = parseProxyName(text)
  if (wanted === undefined) throw badRequest(`invalid service request ${JSON.stringify(text)}`)
  const service = read.get(services, namespace, wanted.name)
  if (service === undefined) throw notFound({ group: '', resource: 'services' }, wanted.name)
  const unavailable = (message: string): StatusError =>
    new StatusError('ServiceUnavailable', message)
  if (service.spec?.type === 'ExternalName' && service.spec.externalName)
    return {
      scheme: wanted.scheme,
      host: service.spec.externalName,
      port: Number(wanted.port) || (wanted.scheme === 'https' ? 443 : 80),
    }
  const portName = servicePortName(service, wanted.port)
  if (portName === undefined)
    throw unavailable(
      `no service port ${JSON.stringify(wanted.port)} found for service ${JSON.stringify(wanted.name)}`,
    )
  const slices = read
    .list(endpointSlices, namespace)
    .filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === wanted.name)
  const candidates = slices.flatMap((slice) => readyAddresses(slice, portName))
  const chosen = candidates[Math.floor(next() * candidates.length)]
  if (chosen === undefined)
    throw unavailable(`no endpoints available for service ${JSON.stringify(wanted.name)}`)
  refuseOwn(chosen.host)
  return { scheme: wanted.scheme, ...chosen }
}

function servicePortName({ spec }: Service, wanted: string): string | undefined {
  const ports = spec?.ports ?? []
  if (wanted === '')
    return ports.length === 1
      ? (ports[0]?.name ?? '')
      : ports.length === 0
        ? ''
        : (ports.find(({ name }) => !name)?.name ??
          (ports.some(({ name }) => !name) ? '' : undefined))
  const found = ports.find(
    ({ name, port }) => name === wanted || (/^\d+$/.test(wanted) && port === Number(wanted)),
  )
  return found === undefined ? undefined : (found.name ?? '')
}

function readyAddresses(
  { endpoints = [], ports = [] }: EndpointSlice,
  portName: string,
): readonly { readonly host: string; readonly port: number }[] {
  const port = ports.find(({ name }) => (name ?? '') === portName)?.port
  if (port === undefined) return []
  return endpoints
    .filter(({ conditions }) => conditions?.ready !== false)
    .flatMap(({ addresses }) => (addresses[0] === undefined ? [] : [{ host: addresses[0], port }]))
}
