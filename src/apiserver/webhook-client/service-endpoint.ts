/** Where a Service leads: straight to one of its ready endpoints, because this host may have no service proxy. */
import { endpointSlices, services } from '#api'
import type { Random } from '#base'
import type { Reader } from '../inside.ts'

export interface ServicePort {
  readonly namespace: string
  readonly name: string
  readonly port: number
}

export interface Endpoint {
  readonly host: string
  readonly port: number
}

/** Throws an error whose message clients know. */
export function serviceEndpoint(
  read: Pick<Reader, 'get' | 'list'>,
  { next }: Pick<Random, 'next'>,
  { namespace, name, port }: ServicePort,
): Endpoint {
  const service = read.get(services, namespace, name)
  if (service === undefined) throw new Error(`service ${JSON.stringify(name)} not found`)
  if (service.spec?.type === 'ExternalName') return { host: service.spec.externalName ?? '', port }
  const servicePort = service.spec?.ports?.find((each) => each.port === port)
  if (servicePort === undefined)
    throw new Error(`no service port ${port} found for service ${JSON.stringify(name)}`)
  const candidates = read
    .list(endpointSlices, namespace)
    .filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === name)
    .flatMap(({ endpoints = [], ports = [] }) => {
      const target = ports.find((each) => (each.name ?? '') === (servicePort.name ?? ''))?.port
      if (target === undefined) return []
      return endpoints
        .filter(({ conditions }) => conditions?.ready !== false)
        .flatMap(({ addresses: [host] }) => (host === undefined ? [] : [{ host, port: target }]))
    })
  const chosen = candidates[Math.floor(next() * candidates.length)]
  if (chosen === undefined)
    throw new Error(`no endpoints available for service ${JSON.stringify(name)}`)
  return chosen
}
