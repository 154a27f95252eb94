/** Whether the server of an aggregated API can be reached: the Available condition of an APIService. */
import type { APIService, APIServiceCondition, EndpointSlice, Service } from '#api'

export interface Surroundings {
  readonly service: Service | undefined
  /** Of that Service. */
  readonly slices: readonly EndpointSlice[]
}

export type Availability = Pick<APIServiceCondition, 'status' | 'reason' | 'message'>

/** Why nobody needs to ask the server itself; undefined when it is to be asked. */
export function unreachable(
  { spec }: APIService,
  { service, slices }: Surroundings,
): Availability | undefined {
  const { namespace = '', name = '', port = 443 } = spec.service ?? {}
  const shown = `service/${name} in ${JSON.stringify(namespace)}`
  const no = (reason: string, message: string): Availability => ({
    status: 'False',
    reason,
    message,
  })
  if (service === undefined) return no('ServiceNotFound', `${shown} is not present`)
  // Where an external name leads is not known here.
  if (service.spec?.type === 'ExternalName') return undefined
  const servicePort = service.spec?.ports?.find((each) => each.port === port)
  if (servicePort === undefined)
    return no('ServicePortError', `${shown} is not listening on port ${port}`)
  if (slices.length === 0) return no('EndpointsNotFound', `cannot find endpointslices for ${shown}`)
  const portName = servicePort.name ?? ''
  const hasAddresses = slices.some(
    ({ ports = [], endpoints = [] }) =>
      ports.some((each) => (each.name ?? '') === portName) &&
      endpoints.some(({ conditions }) => conditions?.ready !== false),
  )
  return hasAddresses
    ? undefined
    : no(
        'MissingEndpoints',
        `endpoints for ${shown} have no addresses with port name ${JSON.stringify(portName)}`,
      )
}

/** Where a Service is asked, as people are told: `10.96.0.7:443`. */
export function shownAddress(
  service: Service | undefined,
  { namespace, called, port }: Readonly<{ namespace: string; called: string; port: number }>,
): string {
  const { type, clusterIP = '', externalName = '' } = service?.spec ?? {}
  if (type === 'ExternalName') return `${externalName}:${port}`
  if (clusterIP === '' || clusterIP === 'None') return `${called}.${namespace}.svc:${port}`
  return clusterIP.includes(':') ? `[${clusterIP}]:${port}` : `${clusterIP}:${port}`
}

export const LOCAL: Availability = {
  status: 'True',
  reason: 'Local',
  message: 'Local APIServices are always available',
}
export const PASSED: Availability = {
  status: 'True',
  reason: 'Passed',
  message: 'all checks passed',
}
export const failedCheck = (message: string): Availability => ({
  status: 'False',
  reason: 'FailedDiscoveryCheck',
  message: `failing or missing response from ${message}`,
})

/** The conditions with this in them; undefined when they say so already. */
export function withAvailability(
  conditions: readonly APIServiceCondition[],
  next: Availability,
  now: string,
): readonly APIServiceCondition[] | undefined {
  const before = conditions.find(({ type }) => type === 'Available')
  if (
    before !== undefined &&
    before.status === next.status &&
    before.reason === next.reason &&
    before.message === next.message
  )
    return undefined
  // The time is that of the last turn, not of the last word about it.
  const lastTransitionTime =
    before?.status === next.status ? (before.lastTransitionTime ?? now) : now
  const condition = { type: 'Available', ...next, lastTransitionTime }
  return before === undefined
    ? [...conditions, condition]
    : conditions.map((each) => (each === before ? condition : each))
}
