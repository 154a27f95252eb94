/** Makes the name server known as the Service kube-dns: each node adds itself, and prefers itself. */
import { type EndpointSlice, endpointSlices, type Service, services } from '#api'
import type { Env } from '#base'
import type { Client } from '#client'
import { type Draft, isStatus } from '#machinery'

/** Where the name server is reached by pods, and where it listens. */
export interface DnsPublication {
  readonly client: Client
  readonly env: Pick<Env, 'clock' | 'log'>
  readonly clusterIP: string
  readonly nodeName: string
  /** Where the server of this node listens. */
  readonly address: string
  readonly port: number
}

const NAMESPACE = 'kube-system'
const NAME = 'kube-dns'
const RETRY_MS = 500

/** Resolves when Service and slice say what they should; tries again until then, or until the signal aborts. */
export async function publishDns(publication: DnsPublication, signal: AbortSignal): Promise<void> {
  const { client, env } = publication
  for (;;) {
    try {
      const ours = await ensureService(client, dnsService(publication.clusterIP), signal)
      if (ours) await ensureSlice(client, dnsSlice(publication), signal)
      return
    } catch (error) {
      if (signal.aborted) throw error
      // At the beginning the namespace may not be there yet; conflicts are settled by looking again.
      env.log.for('dns').debug('kube-dns is not published yet', { error })
      await env.clock.sleep(RETRY_MS, signal)
    }
  }
}

/** A Service without a selector: its endpoints are ours to write. */
export const dnsService = (clusterIP: string): Draft<Service> => ({
  metadata: {
    name: NAME,
    namespace: NAMESPACE,
    labels: {
      'k8s-app': 'kube-dns',
      'kubernetes.io/cluster-service': 'true',
      'kubernetes.io/name': 'CoreDNS',
    },
  },
  spec: {
    type: 'ClusterIP',
    clusterIP,
    clusterIPs: [clusterIP],
    ports: [
      { name: 'dns', port: 53, protocol: 'UDP', targetPort: 53 },
      { name: 'dns-tcp', port: 53, protocol: 'TCP', targetPort: 53 },
    ],
  },
})

export const dnsSlice = ({
  nodeName,
  address,
  port,
}: Pick<DnsPublication, 'nodeName' | 'address' | 'port'>): Draft<EndpointSlice> => ({
  metadata: {
    name: `${NAME}-${nodeName}`,
    namespace: NAMESPACE,
    labels: {
      'kubernetes.io/service-name': NAME,
      'endpointslice.kubernetes.io/managed-by': 'dns.navarch.internal',
    },
  },
  addressType: 'IPv4',
  ports: [
    { name: 'dns', port, protocol: 'UDP' },
    { name: 'dns-tcp', port, protocol: 'TCP' },
  ],
  endpoints: [
    {
      addresses: [address],
      nodeName,
      conditions: { ready: true, serving: true, terminating: false },
      hints: { forNodes: [{ name: nodeName }] },
    },
  ],
})

/** Whether the Service is ours: a cluster that runs a name server as pods keeps that one. */
async function ensureService(
  client: Client,
  wanted: Draft<Service>,
  signal: AbortSignal,
): Promise<boolean> {
  const key = { namespace: NAMESPACE, name: NAME }
  const current = await client.getOptional(services, key, { signal })
  if (current === undefined) {
    await createIfAbsent(client.create(services, wanted, { signal }))
    return true
  }
  if (current.spec.selector !== undefined) return false
  if (current.spec.clusterIP === wanted.spec.clusterIP) return true
  await client.delete(services, key, { signal })
  await client.create(services, wanted, { signal })
  return true
}

async function ensureSlice(
  client: Client,
  wanted: Draft<EndpointSlice>,
  signal: AbortSignal,
): Promise<void> {
  const key = { namespace: NAMESPACE, name: wanted.metadata.name ?? NAME }
  const current = await client.getOptional(endpointSlices, key, { signal })
  if (current === undefined) {
    await createIfAbsent(client.create(endpointSlices, wanted, { signal }))
    return
  }
  const [endpoint] = current.endpoints ?? []
  const same =
    endpoint?.addresses[0] === wanted.endpoints?.[0]?.addresses[0] &&
    endpoint?.conditions?.ready === true &&
    current.ports?.every(({ port }) => port === wanted.ports?.[0]?.port) === true
  if (same) return
  const { endpoints = [], ports = [] } = wanted
  await client.update(endpointSlices, { ...current, endpoints, ports }, { signal })
}

/** Another node may have been first. */
async function createIfAbsent(creation: Promise<unknown>): Promise<void> {
  await creation.catch((error: unknown) => {
    if (!isStatus(error, 'AlreadyExists')) throw error
  })
}
