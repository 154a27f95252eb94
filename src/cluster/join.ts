/** A machine becomes a node of a cluster that runs elsewhere: what `navarch agent` runs. */
import { createHash, X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { nodes as nodeResource, pods as podResource, type ConfigMap } from '#api'
import { kubeconfigText, type Credential } from '#apiserver'
import type { Env } from '#base'
import { createInformers, httpTransport, readUnverified, type Client } from '#client'
import { StatusError } from '#machinery'
import { hostAddress } from './addresses.ts'
import { guarded, openDataFolder } from './data-folder.ts'
import { Ending, stopContainers } from './ending.ts'
import { clusterImages } from './images.ts'
import {
  listenForKubelet,
  listenWherePossible,
  tellHealth,
  type KubeletListener,
} from './kubelet-listener.ts'
import { writeMembership } from './leave.ts'
import { nodeCredentials } from './node-credentials.ts'
import { startMachinery, startNode } from './node.ts'
import { ClusterError, type ClusterStatus, type Progress, type ServeOptions } from './options.ts'
import { podLogPlaces } from './pod-logs.ts'
import { CLUSTER_INFO } from './remote-nodes.ts'
import { podRange, register } from './register.ts'
import type { RunningCluster } from './serve.ts'
import { proxyStatus, residentBytes } from './status.ts'
import { KUBERNETES_VERSION, NAVARCH_VERSION } from './version.ts'

/** What a machine needs to become a node of a cluster that runs elsewhere. */
export interface JoinOptions extends Pick<
  ServeOptions,
  | 'dataDir'
  | 'runDir'
  | 'nodeName'
  | 'runtime'
  | 'registryMirrors'
  | 'logLevel'
  | 'logFormat'
  | 'nodeIp'
  | 'podManifestPath'
  | 'podLogsDir'
  | 'kubelet'
> {
  /** `https://10.0.0.1:6443` */
  readonly server: string
  /** `abcdef.0123456789abcdef`; only needed the first time. */
  readonly token?: string
  /** `sha256:` and the digest of the authority's public key, as kubeadm has it; only needed the first time. */
  readonly caHash?: string
  /** Where the kubelet listens; 0 takes a free one. Default: a stock kubelet's, or a free one where that is taken. */
  readonly kubeletPort?: number
}

/** The digest that pins an authority: of its public key, so that it stays when the certificate is renewed. */
export const authorityHash = (certificate: string): string =>
  `sha256:${createHash('sha256')
    .update(new X509Certificate(certificate).publicKey.export({ format: 'der', type: 'spki' }))
    .digest('hex')}`

interface ClusterInfo {
  /** Where it advertises itself; the node may reach it another way. */
  readonly server: string
  readonly authority: string
  readonly podCidr: string
  readonly serviceCidr: string
  readonly clusterDomain: string
}

/** Resolves when the node is registered; `ready` when it is Ready. */
export async function joinNode(
  options: JoinOptions,
  env: Env,
  progress: (p: Progress) => void = () => undefined,
  /** Ends the waiting while it joins; afterwards `stop` does. */
  signal: AbortSignal = new AbortController().signal,
): Promise<RunningCluster> {
  const { dataDir, runDir, nodeName, server } = options
  const startedAt = env.clock.now().toISOString()
  const folder = join(dataDir, 'pki')
  const ending = new Ending(env.log)
  try {
    await openDataFolder(env, dataDir)
    for (const path of [join(dataDir, 'log'), folder, runDir])
      await guarded(path, () => env.fs.makeFolder(path))

    progress({ phase: 'certificates', state: 'begun' })
    const info = await clusterInfo(options, env, folder)
    const { authority } = info
    const nodeIp = options.nodeIp ?? hostAddress(env) ?? '127.0.0.1'
    const stop = new AbortController()
    const credentials = await nodeCredentials({
      env,
      folder,
      server,
      authority,
      nodeName,
      token: options.token,
      signal: AbortSignal.any([signal, stop.signal]),
    })
    ending.push(async () => credentials.close())
    const { client } = credentials
    await register(client, env, { nodeName, ...options.kubelet })
    const isServers = [server, info.server].some((url) => new URL(url).hostname === nodeIp)
    // The API server's own address is not given to nodes; it knows them by name.
    const serving = await credentials.serving({
      names: [nodeName],
      addresses: isServers ? [] : [nodeIp],
    })
    progress({ phase: 'certificates', state: 'done', detail: `known to ${server}` })

    const nodePodCidr = await podRange(client, { ...env, signal }, nodeName)
    const machine = await startMachinery({ ...options, ...info, nodePodCidr }, env, progress)
    let isRunning = false
    ending.push(async () => {
      const { containerd } = machine
      if (isRunning || containerd?.adopted === true) containerd?.release()
      else await containerd?.stop()
    })
    const podLogs = machine.containerd === undefined ? undefined : await podLogPlaces(env, options)
    const listening = await listen(options, env, client, { ...serving, authority })
    ending.push(() => listening.close())

    progress({ phase: 'node', state: 'begun', detail: nodeName })
    const informers = createInformers(client, env, stop.signal)
    ending.push(async () => stop.abort(new Error('the node is stopping')))
    const node = await startNode(
      {
        ...options,
        ...info,
        nodeIp,
        nodePodCidr,
        kubeletPort: listening.port,
        ...(podLogs === undefined ? {} : { podLogs }),
      },
      env,
      machine,
      { kubelet: client, informers },
    )
    listening.answerWith(node.kubelet.nodeApi)
    ending.push(await tellHealth(env, node.kubelet.nodeApi, options.kubelet?.healthzPort))
    ending.push(() => node.stop())
    isRunning = true
    const ready = node.ready.then(() =>
      progress({ phase: 'node', state: 'done', detail: `${nodeName} is Ready` }),
    )
    ready.catch(() => undefined)

    const kubeconfig = join(dataDir, 'kubeconfig')
    const writeKubeconfig = (): Promise<void> =>
      env.fs.write(
        kubeconfig,
        kubeconfigText({
          server,
          authority,
          name: 'navarch',
          user: `system:node:${nodeName}`,
          credential: credentials.current(),
        }),
        { mode: 0o600, atomic: true },
      )
    await writeKubeconfig()
    await writeMembership(env, dataDir, { server, nodeName })
    credentials.keep((kind, renewed) => {
      if (kind === 'kubelet-server') return listening.renew(renewed)
      writeKubeconfig().catch((error: unknown) =>
        env.log.error('cannot write the kubeconfig', { error }),
      )
    })
    const { containerd } = machine
    const runtime = containerd === undefined ? 'simulated' : `containerd ${containerd.version}`
    const status = async (): Promise<ClusterStatus> => {
      const own = await client.get(nodeResource, { name: nodeName })
      const { items } = await client.list(podResource, {
        fieldSelector: `spec.nodeName=${nodeName}`,
      })
      const isReady =
        own.status?.conditions?.some(
          ({ type, status: is }) => type === 'Ready' && is === 'True',
        ) === true
      return {
        version: NAVARCH_VERSION,
        kubernetes: KUBERNETES_VERSION,
        pid: env.process.pid,
        startedAt,
        server,
        dataDir,
        kubeconfig,
        runtime,
        components: [
          { name: 'kubelet', healthy: isReady, detail: `${nodeName}, port ${listening.port}` },
          proxyStatus(node),
          { name: 'runtime', healthy: true, detail: runtime },
        ],
        nodes: [{ name: nodeName, ready: isReady, address: nodeIp }],
        pods: {
          running: items.filter(({ status: found }) => found?.phase === 'Running').length,
          total: items.length,
        },
        memory: {
          controlPlane: await residentBytes(env, env.process.pid),
          runtime: containerd === undefined ? 0 : await residentBytes(env, containerd.pid()),
          agents: 0,
        },
      }
    }
    return {
      server,
      kubeconfig,
      ready,
      images: containerd === undefined ? undefined : clusterImages(env, containerd),
      nodes: undefined,
      status,
      stopped: ending.stopped,
      stop: ({ containers }) =>
        ending.stop(
          containers === 'stop' && containerd !== undefined
            ? () => stopContainers(machine.runtime, containerd)
            : undefined,
        ),
    }
  } catch (error) {
    await ending.abandon()
    throw inWords(error, options)
  }
}

/** What the cluster says of itself, with an authority that was pinned: by its digest, or by having joined before. */
async function clusterInfo(
  { server, caHash }: JoinOptions,
  env: Env,
  folder: string,
): Promise<ClusterInfo> {
  const file = join(folder, 'ca.crt')
  const path = `/api/v1/namespaces/${CLUSTER_INFO.namespace}/configmaps/${CLUSTER_INFO.name}`
  const known = (await env.fs.stat(file)) && (await env.fs.readText(file))
  let authority = known
  if (authority === undefined) {
    if (caHash === undefined)
      throw new ClusterError(
        'A node that joins for the first time must know whom to trust: --ca-hash sha256:…',
        'On the server: navarch token create',
      )
    const found = JSON.parse(await readUnverified(server, path)) as ConfigMap
    authority = found.data?.['authority'] ?? ''
    const hash = authority === '' ? 'none' : authorityHash(authority)
    if (hash !== caHash.toLowerCase())
      throw new ClusterError(
        `The cluster at ${server} is not the one that was meant: its authority is ${hash}, not ${caHash}`,
        'Take the command of the right one: navarch token create',
      )
  }
  // Asked again, now that whoever answers must prove who it is.
  const transport = httpTransport({ server, authority })
  try {
    const { data = {} } = (await transport.request({ method: 'GET', path })) as ConfigMap
    if (known === undefined) await env.fs.write(file, authority, { mode: 0o600, atomic: true })
    return {
      authority,
      server: data['server'] ?? server,
      podCidr: data['podCidr'] ?? '',
      serviceCidr: data['serviceCidr'] ?? '',
      clusterDomain: data['clusterDomain'] ?? 'cluster.local',
    }
  } finally {
    transport.close()
  }
}

async function listen(
  { kubeletPort, nodeName }: JoinOptions,
  env: Env,
  client: Client,
  tls: Credential & { readonly authority: string },
): Promise<KubeletListener> {
  const options = { host: '0.0.0.0', nodeName, client, env, tls }
  if (kubeletPort === undefined) return listenWherePossible(options)
  try {
    return await listenForKubelet({ ...options, port: kubeletPort })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'EADDRINUSE')
      throw new ClusterError(
        `Port ${kubeletPort} is taken by another program`,
        'Choose another one for the kubelet: navarch agent --kubelet-port PORT (0 takes a free one)',
      )
    throw error
  }
}

/** What a failure means to whoever typed the command. */
function inWords(error: unknown, { server, dataDir }: JoinOptions): unknown {
  if (error instanceof ClusterError) return error
  if (error instanceof StatusError && error.code === 401)
    return new ClusterError(
      `The server ${server} does not accept the token: it is wrong, expired or deleted`,
      'Make a new one on the server: navarch token create',
    )
  if (error instanceof StatusError && error.code === 403)
    return new ClusterError(`The server ${server} refuses: ${error.message}`)
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (/CERT|SIGNATURE|ISSUER|ALTNAME/.test(code))
    return new ClusterError(
      `The server ${server} does not show a certificate of the cluster that this node belongs to (${code})`,
      `If the cluster was made anew, remove the node's data and join again: navarch delete --yes --data-dir ${dataDir}`,
    )
  if (
    /^E[A-Z]+$/.test(code) ||
    (error instanceof Error && /no answer|closed the conn/.test(error.message))
  )
    return new ClusterError(
      `The server ${server} cannot be reached: ${error instanceof Error ? error.message : code}`,
      'Is it running, and does no firewall stand between? On the server: navarch status',
    )
  return error
}
