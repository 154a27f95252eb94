/** Objects that every cluster has from its first moment. Made when absent, never overwritten. */
import type { Transport } from '#client'
import { StatusError, type JsonObject } from '#machinery'

/** What the objects that are there from the beginning say. */
export interface BootstrapOptions {
  /** Where pods find the API server: what the `kubernetes` Service leads to. */
  readonly apiServer: { readonly address: string; readonly port: number }
  /** Of the `kubernetes` Service: the first address of the service range. Default 10.96.0.1. */
  readonly clusterIP?: string
  /** Of Service addresses. Default 10.96.0.0/12. */
  readonly serviceCidr?: string
}

const SYSTEM_NAMESPACES = ['default', 'kube-system', 'kube-public', 'kube-node-lease']

const PRIORITY_CLASSES = [
  {
    name: 'system-node-critical',
    value: 2_000_001_000,
    description: 'Pods that their node cannot do without.',
  },
  {
    name: 'system-cluster-critical',
    value: 2_000_000_000,
    description: 'Pods that the cluster cannot do without.',
  },
]

/** Namespaces, priority classes, and the Service under which pods find the API. Safe to call at every start. */
export async function ensureBootstrap(
  transport: Transport,
  options: BootstrapOptions,
): Promise<void> {
  await Promise.all(SYSTEM_NAMESPACES.map((name) => ensureNamespace(transport, name)))
  await Promise.all([
    ...PRIORITY_CLASSES.map(({ name, value, description }) =>
      ensure(transport, '/apis/scheduling.k8s.io/v1/priorityclasses', {
        apiVersion: 'scheduling.k8s.io/v1',
        kind: 'PriorityClass',
        metadata: { name },
        value,
        description,
      }),
    ),
    ensureKubernetesService(transport, options),
    ensure(transport, '/apis/networking.k8s.io/v1/servicecidrs', {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'ServiceCIDR',
      metadata: { name: 'kubernetes' },
      spec: { cidrs: [options.serviceCidr ?? '10.96.0.0/12'] },
    }),
  ])
}

const ensureNamespace = (transport: Transport, name: string): Promise<boolean> =>
  ensure(transport, '/api/v1/namespaces', {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name },
  })

/** True when it was absent. */
async function ensure(transport: Transport, path: string, object: JsonObject): Promise<boolean> {
  const { name } = object['metadata'] as { name: string }
  try {
    await transport.request({ method: 'GET', path: `${path}/${name}` })
    return false
  } catch (error) {
    if (!(error instanceof StatusError) || error.reason !== 'NotFound') throw error
  }
  try {
    await transport.request({ method: 'POST', path, body: object, cause: 'bootstrap' })
    return true
  } catch (error) {
    // Another server of the same cluster was faster.
    if (error instanceof StatusError && error.reason === 'AlreadyExists') return false
    throw error
  }
}

async function ensureKubernetesService(
  transport: Transport,
  { apiServer, clusterIP = '10.96.0.1' }: BootstrapOptions,
): Promise<void> {
  const labels = { component: 'apiserver', provider: 'kubernetes' }
  await ensure(transport, '/api/v1/namespaces/default/services', {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'kubernetes', namespace: 'default', labels },
    spec: {
      type: 'ClusterIP',
      clusterIP,
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      sessionAffinity: 'None',
      ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: apiServer.port }],
    },
  })
  // The address may be another one after a restart: these follow it.
  await put(transport, '/api/v1/namespaces/default/endpoints', {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: {
      name: 'kubernetes',
      namespace: 'default',
      labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' },
    },
    subsets: [
      {
        addresses: [{ ip: apiServer.address }],
        ports: [{ name: 'https', port: apiServer.port, protocol: 'TCP' }],
      },
    ],
  })
  await put(transport, '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: 'kubernetes',
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': 'kubernetes' },
    },
    addressType: 'IPv4',
    endpoints: [{ addresses: [apiServer.address], conditions: { ready: true } }],
    ports: [{ name: 'https', port: apiServer.port, protocol: 'TCP' }],
  })
}

/** Makes it, or brings what is there into the same form; a write that changes nothing is none. */
async function put(transport: Transport, path: string, object: JsonObject): Promise<void> {
  if (await ensure(transport, path, object)) return
  const { name } = object['metadata'] as { name: string }
  await transport.request({
    method: 'PATCH',
    path: `${path}/${name}`,
    contentType: 'application/merge-patch+json',
    body: object,
    cause: 'bootstrap',
  })
}
