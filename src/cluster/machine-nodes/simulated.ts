/** More nodes of one machine whose containers are simulated: kubelets of this process. */
import type { Env } from '#base'
import type { Client, Informers, NodeApi } from '#client'
import { simulatedRuntime } from '#kubelet'
import type { KubeletListener } from '../kubelet-listener.ts'
import { register, podRange } from '../register.ts'
import { startNode, type NodeOptions, type RunningNode } from '../node.ts'
import type { MachineNodes } from './contract.ts'
import { managedNodes } from './managed.ts'
import type { NodesRecord } from './record.ts'

/** Its own nodes and those that are added, until it is closed. */
export function simulatedNodes({
  cluster,
  record,
  clientFor,
  client,
  informers,
  nodeApis,
  listen,
  env,
}: {
  readonly cluster: Omit<NodeOptions, 'nodeIp'>
  readonly record: NodesRecord
  readonly clientFor: (nodeName: string) => Client
  readonly client: Client
  readonly informers: Informers
  readonly nodeApis: Map<string, NodeApi>
  /** Their addresses are nowhere: where each answers whoever asks through the API server. */
  readonly listen: (
    nodeName: string,
  ) => Promise<(KubeletListener & Required<Pick<NodeApi, 'connect'>>) | undefined>
  readonly env: Env
}): MachineNodes {
  const running = new Map<string, RunningNode>()
  const stop = new AbortController()
  // The machine's manifests are its first node's.
  const { podManifestPath: _, ...shared } = cluster

  const boot = async ({ name, address }: NodesRecord['nodes'][number]): Promise<void> => {
    const kubelet = clientFor(name)
    await register(kubelet, env, { nodeName: name, ...cluster.kubelet })
    const waiting = { clock: env.clock, signal: stop.signal }
    const nodePodCidr = await podRange(kubelet, waiting, name)
    const runtime = simulatedRuntime(env, {
      network: nodePodCidr.split('.').slice(0, 3).join('.'),
    })
    const listening = await listen(name)
    const node = await startNode(
      {
        ...shared,
        dataDir: `${cluster.dataDir}/nodes/${name}`,
        nodeName: name,
        nodeIp: address,
        nodePodCidr,
        ...(listening === undefined ? {} : { kubeletPort: listening.port }),
      },
      env,
      { kind: 'simulated', runtime, containerd: undefined, network: undefined, why: [] },
      { kubelet, admin: client, informers },
    )
    const { nodeApi } = node.kubelet
    running.set(name, {
      ...node,
      async stop() {
        await listening?.close()
        await node.stop()
      },
    })
    listening?.answerWith(nodeApi)
    nodeApis.set(
      name,
      listening === undefined ? nodeApi : { ...nodeApi, connect: listening.connect },
    )
    await node.ready
  }
  const end = async (name: string): Promise<void> => {
    const node = running.get(name)
    running.delete(name)
    nodeApis.delete(name)
    await node?.stop()
  }
  const managed = managedNodes({
    cluster,
    env,
    client,
    record,
    hands: { isRunning: (name) => running.has(name), boot, end },
  })
  return {
    ...managed,
    list: async () =>
      managed.nodes().map(({ name, address }) => ({ name, address, running: running.has(name) })),
    async close() {
      stop.abort(new Error('the cluster is stopping'))
      await Promise.all([...running.keys()].map(end))
    },
  }
}
