/** What load balancers are told about a node, in kube-proxy's words (KEP-3836, KEP-3458): pure. */
import type { EndpointSlice, Node, Service } from '#api'
import { text, type Answer } from './http.ts'

/** The autoscaler is about to take the node away. */
const TO_BE_DELETED = 'ToBeDeletedByClusterAutoscaler'
/** Changes that the kernel has not got by then are a failure. */
export const SYNC_LIMIT_MS = 60_000

export interface ProxyState {
  readonly now: Date
  /** For how long something has been on its way to the kernel. */
  readonly waitingMs: number
  readonly node: Node | undefined
}

const isHealthy = ({ waitingMs }: ProxyState): boolean => waitingMs <= SYNC_LIMIT_MS

/** A node that is going away gets no new connections, though its proxy is as well as ever. */
const isEligible = ({ node }: ProxyState): boolean =>
  node?.metadata.deletionTimestamp === undefined &&
  !(node?.spec?.taints ?? []).some(({ key }) => key === TO_BE_DELETED)

/** On port 10256: whether the node should be sent connections (`/healthz`), and whether its proxy works (`/livez`). */
export function proxyAnswer(path: string, state: ProxyState): Answer {
  if (path !== '/healthz' && path !== '/livez') return text(404, '404 page not found\n')
  const healthy = isHealthy(state)
  const eligible = isEligible(state)
  const updated = new Date(state.now.getTime() - (healthy ? 0 : state.waitingMs)).toISOString()
  const good = healthy && (eligible || path === '/livez')
  const body = {
    lastUpdated: updated,
    currentTime: state.now.toISOString(),
    ...(path === '/healthz' && { nodeEligible: eligible }),
    status: { IPv4: { lastUpdated: updated, healthy } },
  }
  return { status: good ? 200 : 503, type: 'application/json', body: JSON.stringify(body) }
}

/** On 127.0.0.1:10249: what the proxy is. */
export function modeAnswer(path: string): Answer {
  if (path === '/proxyMode') return text(200, 'nftables')
  if (path === '/healthz') return text(200, 'ok')
  return text(404, '404 page not found\n')
}

/** The port on which a load balancer asks whether this node has endpoints of its own. */
export function healthPortOf({ spec }: Service): number | undefined {
  const { type, externalTrafficPolicy, healthCheckNodePort = 0 } = spec
  const asks = type === 'LoadBalancer' && externalTrafficPolicy === 'Local'
  return asks && healthCheckNodePort > 0 ? healthCheckNodePort : undefined
}

/** How many of the Service's ready pods run here. */
export function localEndpoints(slices: readonly EndpointSlice[], nodeName: string): number {
  const ips = new Set<string>()
  for (const { endpoints } of slices)
    for (const { addresses, conditions, nodeName: on } of endpoints ?? []) {
      const [ip] = addresses
      if (on === nodeName && conditions?.ready !== false && ip !== undefined) ips.add(ip)
    }
  return ips.size
}

export function serviceAnswer(
  { namespace, name }: { readonly namespace: string; readonly name: string },
  endpoints: number,
  state: ProxyState,
): Answer {
  const healthy = isHealthy(state)
  const body = {
    service: { namespace, name },
    localEndpoints: endpoints,
    serviceProxyHealthy: healthy,
  }
  return {
    status: endpoints > 0 && healthy ? 200 : 503,
    type: 'application/json',
    body: JSON.stringify(body, undefined, '\t'),
    headers: { 'X-Load-Balancing-Endpoint-Weight': String(endpoints) },
  }
}
