/** One pod as an endpoint of a Service. */
import type { Endpoint, Pod, Service } from '#api'
import { isTerminating } from '../framework/index.ts'

export interface SlicePort {
  readonly name: string
  readonly protocol: string
  readonly port: number
  readonly appProtocol?: string
}

const isFinished = (pod: Pod): boolean =>
  pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'
const isReady = (pod: Pod): boolean =>
  pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true

/** A pod that has an address and has not ended. */
export function includes(service: Service, pod: Pod): boolean {
  if (isFinished(pod)) return false
  if ((pod.status?.podIP ?? '') === '' && (pod.status?.podIPs ?? []).length === 0) return false
  return !isTerminating(pod) || service !== undefined
}

const isV6 = (address: string): boolean => address.includes(':')

export function endpointOf(
  service: Service,
  pod: Pod,
  family: 'IPv4' | 'IPv6',
  zoneOf: (node: string) => string | undefined,
): Endpoint | undefined {
  const addresses = [
    ...(pod.status?.podIPs ?? []).map(({ ip }) => ip),
    pod.status?.podIP ?? '',
  ].filter((ip) => ip !== '' && isV6(ip) === (family === 'IPv6'))
  const [address] = addresses
  if (address === undefined) return undefined
  const serving = isReady(pod)
  const terminating = isTerminating(pod)
  const anyway = service.spec.publishNotReadyAddresses === true
  const zone = pod.spec.nodeName === undefined ? undefined : zoneOf(pod.spec.nodeName)
  const { hostname, subdomain } = pod.spec
  const named = hostname !== undefined && hostname !== '' && subdomain === service.metadata.name
  return {
    addresses: [address],
    conditions: { ready: anyway || (serving && !terminating), serving, terminating },
    ...(named ? { hostname } : {}),
    ...(pod.spec.nodeName ? { nodeName: pod.spec.nodeName } : {}),
    targetRef: {
      kind: 'Pod',
      name: pod.metadata.name,
      namespace: pod.metadata.namespace ?? '',
      uid: pod.metadata.uid,
    },
    ...(zone === undefined ? {} : { zone }),
  }
}

/** The Service's ports as this pod has them: names are looked up in its containers. */
export function portsFor(service: Service, pod: Pod): readonly SlicePort[] {
  return (service.spec.ports ?? []).flatMap(
    ({ name, protocol = 'TCP', port, targetPort, appProtocol }) => {
      const number = resolve(pod, targetPort ?? port, protocol)
      return number === undefined
        ? []
        : [
            {
              name: name ?? '',
              protocol,
              port: number,
              ...(appProtocol === undefined ? {} : { appProtocol }),
            },
          ]
    },
  )
}

function resolve(pod: Pod, target: number | string, protocol: string): number | undefined {
  if (typeof target === 'number') return target
  const restartable = (pod.spec.initContainers ?? []).filter(
    ({ restartPolicy }) => restartPolicy === 'Always',
  )
  for (const container of [...pod.spec.containers, ...restartable]) {
    const found = container.ports?.find(
      (port) => port.name === target && (port.protocol ?? 'TCP') === protocol,
    )
    if (found !== undefined) return found.containerPort
  }
  return undefined
}
