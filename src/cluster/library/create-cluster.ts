/** A cluster inside a test's own process: real API server, controllers and scheduler; nodes and containers are simulated. */
import {
  ensureAuthorities,
  openAdmission,
  type AdmissionSettings,
  type ApiServer,
} from '#apiserver'
import { realEnv, silentLogger, virtualEnv, type Env } from '#base'
import type { Client, NodeApi, Transport } from '#client'
import { simulatedRuntime } from '#kubelet'
import type { RequestUser } from '#machinery'
import { createMemoryStorage, type Storage } from '#storage'
import { startControlPlane } from '../control-plane.ts'
import { nthAddress } from '../addresses.ts'
import { NODE_MASK, startNode, type RunningNode } from '../node.ts'
import { listen, type Doorway, type ListenAt } from './listen.ts'
import { untainted } from './untainted.ts'

/** What a library's cluster is made of; nothing need be said. */
export interface CreateClusterOptions {
  /** Simulated nodes. Default 1. */
  readonly nodes?: number
  /** Default: real time. With `virtualEnv()` time moves only when told. */
  readonly env?: Env
  /** Default: in memory. */
  readonly storage?: Storage
  /** Which admission plugins run, by kube-apiserver's names. Default: those of a stock cluster. */
  readonly admission?: AdmissionSettings
}

/** A cluster within this process. */
export interface Cluster {
  /** With the rights of an administrator. */
  readonly client: Client
  /** For other identities: they meet authorization and admission. */
  transport(user: RequestUser): Transport
  readonly server: ApiServer
  /** Opens a port, for clients that speak HTTPS: kubectl, helm, libraries. Without it there is none. */
  listen(at?: ListenAt): Promise<Doorway>
  /** Nodes are registered and Ready, and take pods. */
  readonly ready: Promise<void>
  stop(): Promise<void>
}

const HISTORY_MS = 5 * 60_000
const POD_CIDR = '10.244.0.0/16'
const SERVICE_CIDR = '10.96.0.0/12'

/** A folder in memory. */
const KEYS = '/pki'

/** No ports (until one is asked for), no files, no processes: as many at a time as memory has room for. */
export async function createCluster(options: CreateClusterOptions = {}): Promise<Cluster> {
  const env: Env = options.env ?? { ...realEnv(), log: silentLogger, fs: virtualEnv().fs }
  // As long as upstream keeps it: a cluster that runs for hours does not grow.
  const storage =
    options.storage ?? createMemoryStorage({ clock: env.clock, historyMs: HISTORY_MS })
  const keys = { ...env, fs: virtualEnv().fs }
  const pki = await ensureAuthorities(keys, KEYS)
  const nodeApis = new Map<string, NodeApi>()
  const admission = await openAdmission(env, options.admission ?? {})
  const control = await startControlPlane(
    { env, storage, pki, serviceCidr: SERVICE_CIDR, podCidr: POD_CIDR, admission },
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
  const doorways = new Set<Doorway>()
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
    async listen(at = {}) {
      const doorway = await listen(control.server, keys, KEYS, at)
      doorways.add(doorway)
      return doorway
    },
    async stop() {
      stopped.abort()
      await Promise.all(Array.from(doorways, (doorway) => doorway.close()))
      await Promise.all(nodes.map((node) => node.stop()))
      await control.stop()
      await storage.close()
    },
  }
}
