/** A node of this process: container runtime, pod network, kubelet, service proxy and DNS. */
import { endpointSlices, nodes as nodeResource, pods, services } from '#api'
import type { Env } from '#base'
import type { Client, Informers } from '#client'
import {
  checkHost,
  criRuntime,
  simulatedRuntime,
  startContainerd,
  startKubelet,
  type Containerd,
  type Kubelet,
  type Runtime,
} from '#kubelet'
import {
  answerHealth,
  followInformer,
  keepAgreement,
  PROXY_ANNOTATION,
  keepRoutes,
  publishDns,
  setUpPodNetwork,
  startDns,
  startServiceProxy,
  type PodNetwork,
  type ServiceProxy,
} from '#network'
import { firstSubnet, nthAddress } from './addresses.ts'
import { SERVING_ANNOTATION, SERVING_BY_CLUSTER } from './kubelet-address.ts'
import { namesFor } from './names.ts'
import { checkRanges } from './free-ranges.ts'
import { rememberNetwork } from './kept-network.ts'
import type { PodLogPlaces } from './pod-logs.ts'
import { announceDns } from './remote-nodes.ts'
import { ClusterError, type Progress, type RuntimeKind, type ServeOptions } from './options.ts'

/** Pods of one node: 254 addresses. */
export const NODE_MASK = 24
/** A pod that is stopping is not told so before the proxies have let go of it, but never later than this. */
const DRAIN_LIMIT_MS = 10_000

/** What of the node can start before the API is there. */
export interface Machinery {
  readonly kind: RuntimeKind
  readonly runtime: Runtime
  readonly containerd: Containerd | undefined
  readonly network: PodNetwork | undefined
  /** Why there are no real containers, when there are none. */
  readonly why: readonly string[]
}

/** This node's share of the pod range, when the cluster has given it one. */
interface NodeRange {
  readonly nodePodCidr?: string
}

export async function startMachinery(
  options: Pick<
    ServeOptions,
    'dataDir' | 'runDir' | 'runtime' | 'podCidr' | 'serviceCidr' | 'registryMirrors'
  > &
    NodeRange,
  env: Env,
  progress: (p: Progress) => void,
): Promise<Machinery> {
  const problems =
    options.runtime === 'simulated'
      ? []
      : (await checkHost(env)).filter(({ severity }) => severity === 'error')
  const why = problems.map(({ message, fix }) => `${message}. ${fix}`)
  if (options.runtime === 'containerd' && why.length > 0)
    throw new ClusterError('This machine cannot run containers', ...why)
  if (options.runtime === 'simulated' || why.length > 0) {
    return {
      kind: 'simulated',
      // Pods of several nodes have addresses apart.
      runtime: simulatedRuntime(
        env,
        options.nodePodCidr === undefined
          ? {}
          : { network: options.nodePodCidr.split('.').slice(0, 3).join('.') },
      ),
      containerd: undefined,
      network: undefined,
      why,
    }
  }
  progress({ phase: 'runtime', state: 'begun' })
  await checkRanges(options, env)
  await rememberNetwork(env, options)
  const names = namesFor(options)
  const podCidr = options.nodePodCidr ?? firstSubnet(options.podCidr, NODE_MASK)
  const cniConfDir = `${options.dataDir}/cni`
  const [containerd, network] = await Promise.all([
    startContainerd({
      env,
      dataDir: options.dataDir,
      runDir: options.runDir,
      cniConfDir,
      logFile: `${options.dataDir}/log/containerd.log`,
      registryMirrors: parseMirrors(options.registryMirrors),
    }),
    setUpPodNetwork({
      env,
      podCidr,
      clusterCidr: options.podCidr,
      serviceCidr: options.serviceCidr,
      cniConfDir,
      leaseDir: `${options.runDir}/cni`,
      bridge: names.bridge,
      table: names.podTable,
    }),
  ])
  const runtime = criRuntime({ socketPath: containerd.socket }, env)
  progress({
    phase: 'runtime',
    state: 'done',
    detail: `containerd ${containerd.version}, ${containerd.runtimes[0]}${containerd.adopted ? ', found running' : ''}`,
  })
  return { kind: 'containerd', runtime, containerd, network, why }
}

/** `docker.io=http://127.0.0.1:5000`; without a name it is for every registry. */
export function parseMirrors(
  texts: readonly string[],
): Readonly<Record<string, readonly string[]>> {
  const mirrors: Record<string, string[]> = {}
  for (const text of texts) {
    const [, name = '*', url = ''] = /^(?:([^=/]+)=)?(https?:\/\/.+)$/.exec(text) ?? []
    if (url === '')
      throw new ClusterError(
        `--registry-mirror must be like docker.io=http://127.0.0.1:5000, not ${JSON.stringify(text)}`,
      )
    ;(mirrors[name] ??= []).push(url)
  }
  return mirrors
}

export interface RunningNode {
  readonly kubelet: Kubelet
  readonly proxy: ServiceProxy | undefined
  /** Registered, Ready, and Services reach their pods. */
  readonly ready: Promise<void>
  stop(): Promise<void>
}

export interface NodeOptions extends Pick<
  ServeOptions,
  | 'dataDir'
  | 'runDir'
  | 'nodeName'
  | 'podCidr'
  | 'serviceCidr'
  | 'clusterDomain'
  | 'podManifestPath'
  | 'kubelet'
> {
  readonly nodeIp: string
  readonly nodePodCidr?: string
  /** Default: in the data folder. */
  readonly podLogs?: PodLogPlaces
  /** Where its kubelet listens; absent when it answers only in its own process. */
  readonly kubeletPort?: number
}

export async function startNode(
  options: NodeOptions,
  env: Env,
  { runtime, network, containerd }: Machinery,
  clients: {
    readonly kubelet: Client
    /** Publishes the node's name server; a node that may not do so itself says on its Node where it is. */
    readonly admin?: Client
    readonly informers: Informers
  },
): Promise<RunningNode> {
  const stop = new AbortController()
  const { signal } = stop
  const { nodeName, nodeIp } = options
  const { healthzPort: _port, flags: _flags, ...own } = options.kubelet ?? { flags: [] }
  const names = namesFor(options)
  const dnsIp = nthAddress(options.serviceCidr, 10)
  const podCidr = options.nodePodCidr ?? firstSubnet(options.podCidr, NODE_MASK)
  const follow = {
    services: followInformer(clients.informers.informer(services)),
    endpointSlices: followInformer(clients.informers.informer(endpointSlices)),
  }

  if (network !== undefined)
    void keepRoutes(
      { env, nodes: followInformer(clients.informers.informer(nodeResource)), nodeName, nodeIp },
      signal,
    )
  const proxy =
    network === undefined
      ? undefined
      : startServiceProxy(
          {
            env,
            ...follow,
            // Their host ports.
            pods: followInformer(
              clients.informers.informer(pods, { fieldSelector: `spec.nodeName=${nodeName}` }),
            ),
            node: { nodeName },
            clusterCidr: options.podCidr,
            serviceCidr: options.serviceCidr,
            table: names.serviceTable,
          },
          signal,
        )
  // Told after the proxy, so that what it waits for is on its way to the kernel.
  const agreement = proxy?.then((running) =>
    keepAgreement(
      {
        env,
        nodeName,
        nodes: followInformer(clients.informers.informer(nodeResource)),
        endpointSlices: follow.endpointSlices,
        settled: () => running.settled(),
        publish: async (revision) => {
          await clients.kubelet.patch(nodeResource, { name: nodeName }, 'merge', {
            metadata: { annotations: { [PROXY_ANNOTATION]: revision } },
          })
        },
      },
      signal,
    ),
  )
  agreement?.catch(() => undefined)
  void proxy
    ?.then((running) =>
      answerHealth(
        {
          env,
          nodeName,
          nodes: followInformer(clients.informers.informer(nodeResource)),
          ...follow,
          waitingSince: () => running.waitingSince(),
        },
        signal,
      ),
    )
    .catch(() => undefined)
  const dns =
    network === undefined
      ? undefined
      : startDns(
          {
            env,
            ...follow,
            address: network.gateway,
            clusterIP: dnsIp,
            clusterDomain: options.clusterDomain,
            clusterCidr: options.podCidr,
            serviceCidr: options.serviceCidr,
          },
          signal,
        )
  const kubelet = await startKubelet(
    {
      client: clients.kubelet,
      runtime,
      env,
      config: {
        ...own,
        nodeName,
        rootDir: `${options.dataDir}/kubelet`,
        logRoot: options.podLogs?.root ?? `${options.dataDir}/pods`,
        formerLogRoot: options.podLogs?.former,
        logLinks: options.podLogs?.links,
        clusterDns: network === undefined ? [] : [dnsIp],
        clusterDomain: options.clusterDomain,
        nodeIps: [nodeIp],
        podCidrs: [podCidr],
        port: options.kubeletPort,
        annotations:
          options.kubeletPort === undefined ? {} : { [SERVING_ANNOTATION]: SERVING_BY_CLUSTER },
        staticPodPath: options.podManifestPath,
        cgroupRoot: names.cgroup,
        mountImage: containerd?.images.mount,
        reserved: { cpu: '100m', memory: '256Mi', 'ephemeral-storage': '1Gi' },
        drained:
          proxy === undefined
            ? undefined
            : async (pod, aborted) => {
                const ips = (pod.status?.podIPs ?? []).map(({ ip }) => ip)
                const limit = new AbortController()
                const cancel = env.clock.schedule(DRAIN_LIMIT_MS, () =>
                  limit.abort(new Error('the proxies did not let go in time')),
                )
                try {
                  const until = AbortSignal.any([aborted, limit.signal])
                  await (await proxy).drained({ ips }, until)
                  await (await agreement)?.reached({ ips }, until)
                } catch (error) {
                  if (aborted.aborted) throw error
                } finally {
                  cancel()
                }
              },
      },
    },
    signal,
  )
  const ready = (async () => {
    await kubelet.ready
    const running = await dns
    if (running !== undefined && clients.admin === undefined) {
      await announceDns(clients.kubelet, nodeName, running)
    } else if (running !== undefined && clients.admin !== undefined) {
      await publishDns(
        {
          client: clients.admin,
          env,
          clusterIP: dnsIp,
          nodeName,
          address: running.address,
          port: running.port,
        },
        signal,
      )
    }
    await proxy
  })()
  ready.catch(() => undefined)
  return {
    kubelet,
    proxy: await proxy,
    ready,
    async stop() {
      stop.abort(new Error('the node is stopping'))
      await Promise.all([
        kubelet.stopped,
        (async () => (await proxy)?.stop())(),
        (async () => (await dns)?.stop())(),
      ])
    },
  }
}
