/** What the control plane does for nodes that are not in its process. */
import { configMaps, nodes as nodeResource } from '#api'
import { kubeconfigText, type ApiServer, type Pki } from '#apiserver'
import type { Env } from '#base'
import { kubeletApi, type Client, type Informers, type NodeApi } from '#client'
import { isStatus } from '#machinery'
import { publishDns } from '#network'
import { nthAddress } from './addresses.ts'
import { kubeletAddress, type OpenedKubeletSettings } from './kubelet-address.ts'
import type { ServeOptions } from './options.ts'

/** Where a node's name server listens, `ADDRESS:PORT`: the node says so, the control plane publishes it. */
const DNS_ANNOTATION = 'navarch.dev/dns'

/** In kube-public, readable by everybody: what a node needs to find the cluster. */
export const CLUSTER_INFO = { namespace: 'kube-public', name: 'cluster-info' }

export const announceDns = async (
  client: Client,
  nodeName: string,
  { address, port }: { readonly address: string; readonly port: number },
): Promise<void> => {
  await client.patch(nodeResource, { name: nodeName }, 'merge', {
    metadata: { annotations: { [DNS_ANNOTATION]: `${address}:${port}` } },
  })
}

/** By the addresses and the port that the Node object tells; undefined when there is no such node. */
export function remoteNode(
  read: ApiServer['inside']['read'],
  pki: Pick<Pki, 'authority' | 'kubeletClient'>,
  settings: OpenedKubeletSettings,
  nodeName: string,
): NodeApi | undefined {
  const node = read.get(nodeResource, '', nodeName)
  return node && kubeletApi(kubeletAddress(node, settings, pki))
}

/** Rights with which nodes join, and what they must know beforehand. */
export async function ensureJoining(
  client: Client,
  pki: Pki,
  options: Pick<ServeOptions, 'podCidr' | 'serviceCidr' | 'clusterDomain'>,
  server: string,
): Promise<void> {
  const bind = (name: string, role: string, group: string) =>
    create(client, '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: group }],
    })
  const publicRole = '/apis/rbac.authorization.k8s.io/v1/namespaces/kube-public'
  await Promise.all([
    bind('navarch:node-bootstrapper', 'system:node-bootstrapper', 'system:bootstrappers'),
    // Upstream leaves this to a person; here the controller has looked at the addresses and names.
    create(client, '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'navarch:kubelet-serving-approver' },
      roleRef: {
        apiGroup: 'rbac.authorization.k8s.io',
        kind: 'ClusterRole',
        name: 'system:certificates.k8s.io:kubelet-serving-approver',
      },
      subjects: [
        { kind: 'ServiceAccount', name: 'certificate-controller', namespace: 'kube-system' },
      ],
    }),
    bind('navarch:node-proxier', 'system:node-proxier', 'system:nodes'),
    // The right to leave is the node authorizer's now: this one was every node's for every node.
    ...['clusterrolebindings', 'clusterroles'].map((resource) =>
      remove(client, `/apis/rbac.authorization.k8s.io/v1/${resource}/navarch:node-leaver`),
    ),
    create(client, `${publicRole}/roles`, {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: { name: 'navarch:cluster-info', namespace: CLUSTER_INFO.namespace },
      rules: [
        {
          apiGroups: [''],
          resources: ['configmaps'],
          resourceNames: [CLUSTER_INFO.name],
          verbs: ['get'],
        },
      ],
    }),
    create(client, `${publicRole}/rolebindings`, {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: 'navarch:cluster-info', namespace: CLUSTER_INFO.namespace },
      roleRef: {
        apiGroup: 'rbac.authorization.k8s.io',
        kind: 'Role',
        name: 'navarch:cluster-info',
      },
      subjects: [
        { apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: 'system:unauthenticated' },
        { apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: 'system:authenticated' },
      ],
    }),
  ])
  const data = {
    kubeconfig: kubeconfigText({
      server,
      authority: pki.authority.certificate,
      name: 'navarch',
      user: '',
      credential: { token: '' },
    }),
    authority: pki.authority.certificate,
    server,
    podCidr: options.podCidr,
    serviceCidr: options.serviceCidr,
    clusterDomain: options.clusterDomain,
  }
  const found = await client.getOptional(configMaps, CLUSTER_INFO)
  if (found === undefined) await client.create(configMaps, { metadata: CLUSTER_INFO, data })
  else if (JSON.stringify(found.data) !== JSON.stringify(data))
    await client.patch(configMaps, CLUSTER_INFO, 'merge', { data })
}

async function remove(client: Client, path: string): Promise<void> {
  try {
    await client.transport.request({ method: 'DELETE', path, cause: 'bootstrap' })
  } catch (error) {
    if (!isStatus(error, 'NotFound')) throw error
  }
}

async function create(client: Client, path: string, body: object): Promise<void> {
  try {
    await client.transport.request({ method: 'POST', path, body, cause: 'bootstrap' })
  } catch (error) {
    if (!isStatus(error, 'AlreadyExists')) throw error
  }
}

/** Publishes the name servers that nodes announce. Their slices go with the nodes, as garbage of a name. */
export function publishNodeDns(
  { client, informers, env }: { client: Client; informers: Informers; env: Env },
  serviceCidr: string,
  signal: AbortSignal,
): void {
  const known = new Map<string, string>()
  informers.informer(nodeResource).onChange((node, old) => {
    const name = (node ?? old)?.metadata.name ?? ''
    const announced = node?.metadata.annotations?.[DNS_ANNOTATION]
    if (announced === undefined) {
      if (node === undefined && known.delete(name))
        void client.transport
          .request({
            method: 'DELETE',
            path: `/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/kube-dns-${name}`,
          })
          .catch(() => undefined)
      return
    }
    if (known.get(name) === announced) return
    known.set(name, announced)
    const [, address, port] = /^([\d.]+):(\d+)$/.exec(announced) ?? []
    if (address === undefined || port === undefined) return
    publishDns(
      {
        client,
        env,
        clusterIP: nthAddress(serviceCidr, 10),
        nodeName: name,
        address,
        port: Number(port),
      },
      signal,
    ).catch(() => undefined)
  })
}
