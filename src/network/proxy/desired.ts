/** What the service proxy must do for one Service, from the API's objects alone: pure, and without any nftables. */
import type { Endpoint, EndpointSlice, Service } from '#api'
import { type Cidr, cidrContains, formatIPv4, isIPv4, parseCidr } from '../ip.ts'

type Protocol = 'tcp' | 'udp' | 'sctp'

export interface Backend {
  readonly ip: string
  readonly port: number
}

/** One place where clients knock. */
export interface Frontend {
  /** An IPv4 address; undefined: every address of the node itself (a node port). */
  readonly address: string | undefined
  readonly protocol: Protocol
  readonly port: number
  readonly verdict: Verdict
  /** What packets from outside the cluster get instead, where that differs (externalTrafficPolicy Local). */
  readonly outside?: Verdict
  /** Only these ranges may come from outside; undefined: all. */
  readonly allowedSources?: readonly string[]
}

export type Verdict =
  | {
      readonly kind: 'balance'
      readonly backends: readonly Backend[]
      /** How long a client stays with its backend after its last connection; undefined: not at all. */
      readonly stickySeconds?: number
    }
  /** Nobody is there: say so at once. */
  | { readonly kind: 'refuse' }
  /** Others are there, only not on this node: silence, so that a load balancer looks elsewhere. */
  | { readonly kind: 'drop' }

export interface ServiceRules {
  readonly frontends: readonly Frontend[]
  /** Addresses that are sent connections because they are ready, and not for want of better. */
  readonly readyIps: ReadonlySet<string>
  /** Addresses on this node that are sent connections: they may reach themselves. */
  readonly localIps: ReadonlySet<string>
}

export interface NodeView {
  readonly nodeName: string
  /** Label topology.kubernetes.io/zone. */
  readonly zone?: string
}

/** Default of spec.sessionAffinityConfig.clientIP.timeoutSeconds. */
const DEFAULT_STICKY_SECONDS = 10_800
const PROXY_NAME_LABEL = 'service.kubernetes.io/service-proxy-name'
const HEADLESS_LABEL = 'service.kubernetes.io/headless'

export const noRules: ServiceRules = {
  frontends: [],
  readyIps: new Set(),
  localIps: new Set(),
}

export function desiredRules(
  service: Service,
  slices: readonly EndpointSlice[],
  node: NodeView,
): ServiceRules {
  const { spec, metadata } = service
  const labels = metadata.labels ?? {}
  if (spec.type === 'ExternalName' || PROXY_NAME_LABEL in labels || HEADLESS_LABEL in labels)
    return noRules
  const clusterIPs = (spec.clusterIPs ?? [spec.clusterIP ?? '']).filter(isIPv4)
  if (clusterIPs.length === 0) return noRules

  const frontends: Frontend[] = []
  const readyIps = new Set<string>()
  const localIps = new Set<string>()
  const stickySeconds =
    spec.sessionAffinity === 'ClientIP'
      ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? DEFAULT_STICKY_SECONDS)
      : undefined
  const balance = (backends: readonly Backend[]): Verdict =>
    backends.length === 0
      ? { kind: 'refuse' }
      : { kind: 'balance', backends, ...(stickySeconds !== undefined && { stickySeconds }) }

  for (const { name = '', protocol: upper = 'TCP', port, nodePort } of spec.ports ?? []) {
    const protocol = upper.toLowerCase() as Protocol
    const candidates = candidatesOf(slices, name, upper, node.nodeName)
    const cluster = usable(nearest(candidates, node), readyIps)
    const local = usable(
      candidates.filter((candidate) => candidate.local),
      readyIps,
    )
    for (const { ip, local: here } of candidates) if (here) localIps.add(ip)

    const internal = balance(spec.internalTrafficPolicy === 'Local' ? local : cluster)
    for (const address of clusterIPs) frontends.push({ address, protocol, port, verdict: internal })

    const verdict = balance(cluster)
    const external = {
      protocol,
      verdict,
      ...(spec.externalTrafficPolicy === 'Local' &&
        cluster.length > 0 && {
          outside: local.length > 0 ? balance(local) : ({ kind: 'drop' } as const),
        }),
    }
    if (nodePort !== undefined && nodePort > 0)
      frontends.push({ ...external, address: undefined, port: nodePort })
    const taken = new Set(clusterIPs)
    for (const address of (spec.externalIPs ?? []).filter(isIPv4)) {
      if (taken.has(address)) continue
      taken.add(address)
      frontends.push({ ...external, address, port })
    }
    for (const { ip = '', ipMode } of service.status?.loadBalancer?.ingress ?? []) {
      if (spec.type !== 'LoadBalancer' || ipMode === 'Proxy' || !isIPv4(ip) || taken.has(ip))
        continue
      taken.add(ip)
      const allowedSources = allowedRanges(spec.loadBalancerSourceRanges ?? [])
      frontends.push({ ...external, address: ip, port, ...(allowedSources && { allowedSources }) })
    }
  }
  return { frontends, readyIps, localIps }
}

/** Ranges that do not overlap, as nftables wants them; undefined: everyone may come. */
function allowedRanges(texts: readonly string[]): readonly string[] | undefined {
  const ranges = texts.flatMap((text) => parseCidr(text.trim()) ?? [])
  if (texts.length === 0 || ranges.some(({ prefix }) => prefix === 0)) return undefined
  const widest = ranges.toSorted((a, b) => a.prefix - b.prefix)
  const kept: Cidr[] = []
  for (const range of widest) {
    if (!kept.some((wider) => cidrContains(wider, formatIPv4(range.base)))) kept.push(range)
  }
  return kept.map(({ text }) => text)
}

interface Candidate extends Backend {
  readonly local: boolean
  readonly ready: boolean
  /** Answers still, though it is about to end. */
  readonly servingTerminating: boolean
  readonly hints: Endpoint['hints']
}

/** Endpoints of one port over all slices, each address and port once, in the order of addresses. */
function candidatesOf(
  slices: readonly EndpointSlice[],
  portName: string,
  protocol: string,
  nodeName: string,
): readonly Candidate[] {
  const found = new Map<string, Candidate>()
  for (const { addressType, ports = [], endpoints = [] } of slices) {
    if (addressType !== 'IPv4') continue
    for (const { name = '', protocol: ofPort = 'TCP', port } of ports) {
      if (name !== portName || ofPort !== protocol || port === undefined) continue
      for (const endpoint of endpoints) {
        const ip = endpoint.addresses[0]
        if (ip === undefined || !isIPv4(ip)) continue
        const { ready = true, serving = ready, terminating = false } = endpoint.conditions ?? {}
        const candidate: Candidate = {
          ip,
          port,
          local: endpoint.nodeName === nodeName,
          ready,
          servingTerminating: serving && terminating,
          hints: endpoint.hints,
        }
        const key = `${ip}:${port}`
        // Two slices may tell of one endpoint while it moves between them: the better news counts.
        if (!found.get(key)?.ready) found.set(key, candidate)
      }
    }
  }
  return [...found]
    .toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([, candidate]) => candidate)
}

/** The ready ones; without any, those that end but still answer (KEP-1669). */
function usable(candidates: readonly Candidate[], readyIps: Set<string>): readonly Backend[] {
  const ready = candidates.filter((candidate) => candidate.ready)
  for (const { ip } of ready) readyIps.add(ip)
  const chosen = ready.length > 0 ? ready : candidates.filter((c) => c.servingTerminating)
  return chosen.map(({ ip, port }) => ({ ip, port }))
}

/** Follows topology hints when every ready endpoint has one and some are meant for this node or its zone. */
function nearest(
  candidates: readonly Candidate[],
  { nodeName, zone }: NodeView,
): readonly Candidate[] {
  const ready = candidates.filter((candidate) => candidate.ready)
  const meantFor = (matches: (hints: NonNullable<Endpoint['hints']>) => boolean | undefined) => {
    const answers = ready.map(({ hints }) => hints && matches(hints))
    if (answers.includes(undefined) || !answers.includes(true)) return undefined
    return ready.filter((_, i) => answers[i])
  }
  const includes = (list: readonly { readonly name: string }[] | undefined, name: string) =>
    list && list.length > 0 ? list.some((hint) => hint.name === name) : undefined
  return (
    meantFor(({ forNodes }) => includes(forNodes, nodeName)) ??
    (zone === undefined ? undefined : meantFor(({ forZones }) => includes(forZones, zone))) ??
    candidates
  )
}
