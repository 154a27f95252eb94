/** A cluster inside a test's own process: real API server, controllers and scheduler; nodes and containers are simulated. */
import { nodes as nodeResource, type Node } from '#api'
import { ensureAuthorities, type ApiServer } from '#apiserver'
import { realEnv, silentLogger, virtualEnv, type Env } from '#base'
import type { Client, NodeApi, Transport } from '#client'
import { simulatedRuntime } from '#kubelet'
import type { RequestUser } from '#machinery'
import { createMemoryStorage, type Storage } from '#storage'
import { startControlPlane } from './control-plane.ts'
import { nthAddress } from './addresses.ts'
import { NODE_MASK, startNode, type RunningNode } from './node.ts'

export interface CreateClusterOptions {
  /** Simulated nodes. Default 1. */
  readonly nodes?: number
  /** Default: real time. With `virtualEnv()` time moves only when told. */
  readonly env?: Env
  /** Default: in memory. */
  readonly storage?: Storage
}

export interface Cluster {
  /** With the rights of an administrator. */
  readonly client: Client
  /** For other identities: they meet authorization and admission. */
  transport(user: RequestUser): Transport
  readonly server: ApiServer
  /** Nodes are registered and Ready, and take pods. */
  readonly ready: Promise<void>
  stop(): Promise<void>
}

const HISTORY_MS = 5 * 60_000
const POD_CIDR = '10.244.0.0/16'
const SERVICE_CIDR = '10.96.0.0/12'

/** No ports, no files, no processes: as many at a time as memory has room for. */
export async function createCluster(options: CreateClusterOptions = {}): Promise<Cluster> {
  const env: Env = options.env ?? { ...realEnv(), log: silentLogger, fs: virtualEnv().fs }
  // As long as upstream keeps it: a cluster that runs for hours does not grow.
  const storage =
    options.storage ?? createMemoryStorage({ clock: env.clock, historyMs: HISTORY_MS })
  const pki = await ensureAuthorities({ ...env, fs: virtualEnv().fs }, '/pki')
  const nodeApis = new Map<string, NodeApi>()
  const control = await startControlPlane(
    { env, storage, pki, serviceCidr: SERVICE_CIDR, podCidr: POD_CIDR },
    { address: '10.0.0.1', port: 6443 },
  )
  const nodes: RunningNode[] = await Promise.all(
    Array.from({ length: options.nodes ?? 1 }, async (_, i) => {
      const nodeName = `node-${i + 1}`
      const nodePodCidr = `${nthAddress(POD_CIDR, i * 2 ** (32 - NODE_MASK))}/${NODE_MASK}`
      const runtime = simulatedRuntime(env, {
        network: nodePodCidr.split('.').slice(0, 3).join('.'),
      })
      const node = await startNode(
        {
          dataDir: `/${nodeName}`,
          runDir: `/${nodeName}`,
          nodeName,
          nodeIp: `10.0.0.${i + 1}`,
          podCidr: POD_CIDR,
          nodePodCidr,
          serviceCidr: SERVICE_CIDR,
          clusterDomain: 'cluster.local',
        },
        env,
        { kind: 'simulated', runtime, containerd: undefined, network: undefined, why: [] },
        {
          kubelet: control.clientFor({
            name: `system:node:${nodeName}`,
            groups: ['system:nodes', 'system:authenticated'],
          }),
          admin: control.client,
          informers: control.informers,
        },
      )
      control.nodes.set(nodeName, node.kubelet.nodeApi)
      nodeApis.set(nodeName, node.kubelet.nodeApi)
      return node
    }),
  )
  const stopped = new AbortController()
  const ready = Promise.all(nodes.map((node) => node.ready)).then(() =>
    untainted(control.client, new Set(nodeApis.keys()), stopped.signal),
  )
  // Who stops the cluster before then need not have asked.
  ready.catch(() => undefined)
  return {
    client: control.client,
    server: control.server,
    transport: (user) => control.server.transport(user),
    ready,
    async stop() {
      stopped.abort()
      await Promise.all(nodes.map((node) => node.stop()))
      await control.stop()
      await storage.close()
    },
  }
}

/** A node that is Ready takes pods as soon as its taint is gone, a moment later. */
async function untainted(client: Client, names: Set<string>, signal: AbortSignal): Promise<void> {
  const left = new AbortController()
  const events = await client.watch(nodeResource, {
    sendInitialEvents: true,
    signal: AbortSignal.any([signal, left.signal]),
  })
  try {
    for await (const batch of events)
      for (const { type, object } of batch) {
        // A bookmark has a revision, and no node.
        if (type === 'BOOKMARK') continue
        const { spec, metadata } = object as Node
        const isNotReady = spec.taints?.some(({ key }) => key === 'node.kubernetes.io/not-ready')
        if (isNotReady !== true) names.delete(metadata.name)
        if (names.size === 0) return
      }
  } finally {
    left.abort()
  }
}
