/** More nodes of one machine whose containers are simulated: kubelets of this process. */
import { nodes as nodeResource } from '#api'
import type { Env } from '#base'
import type { Client, Informers, NodeApi } from '#client'
import { simulatedRuntime } from '#kubelet'
import { isStatus } from '#machinery'
import { register, podRange } from '../register.ts'
import { startNode, type NodeOptions, type RunningNode } from '../node.ts'
import { ClusterError } from '../options.ts'
import type { MachineNodes } from './contract.ts'
import { grown, without, writeRecord, type NodesRecord } from './record.ts'

export function simulatedNodes({
  cluster,
  record: first,
  clientFor,
  client,
  informers,
  nodeApis,
  env,
}: {
  readonly cluster: Omit<NodeOptions, 'nodeIp'>
  readonly record: NodesRecord
  readonly clientFor: (nodeName: string) => Client
  readonly client: Client
  readonly informers: Informers
  readonly nodeApis: Map<string, NodeApi>
  readonly env: Env
}): MachineNodes {
  const running = new Map<string, RunningNode>()
  const stop = new AbortController()
  let record = first

  const boot = async ({ name, address }: NodesRecord['nodes'][number]): Promise<void> => {
    const kubelet = clientFor(name)
    await register(kubelet, env, name)
    const waiting = { clock: env.clock, signal: stop.signal }
    const nodePodCidr = await podRange(kubelet, waiting, name)
    const runtime = simulatedRuntime(env, {
      network: nodePodCidr.split('.').slice(0, 3).join('.'),
    })
    const node = await startNode(
      {
        ...cluster,
        dataDir: `${cluster.dataDir}/nodes/${name}`,
        nodeName: name,
        nodeIp: address,
        nodePodCidr,
      },
      env,
      { kind: 'simulated', runtime, containerd: undefined, network: undefined, why: [] },
      { kubelet, admin: client, informers },
    )
    running.set(name, node)
    nodeApis.set(name, node.kubelet.nodeApi)
    await node.ready
  }
  const end = async (name: string): Promise<void> => {
    const node = running.get(name)
    running.delete(name)
    nodeApis.delete(name)
    await node?.stop()
  }
  const known = (name: string): NodesRecord['nodes'][number] => {
    const node = record.nodes.find((each) => each.name === name)
    if (node === undefined)
      throw new ClusterError(`This machine has no node "${name}" beside its first one`)
    return node
  }
  const bootAll = async (nodes: NodesRecord['nodes']): Promise<void> => {
    await Promise.all(nodes.map(boot))
  }

  const ready = bootAll(record.nodes)
  ready.catch(() => undefined)
  return {
    ready,
    list: async () =>
      record.nodes.map(({ name, address }) => ({ name, address, running: running.has(name) })),
    async grow(count) {
      const before = record
      record = grown(before, cluster.nodeName, count)
      if (record.nodes.length === before.nodes.length) return
      await writeRecord(env, cluster.dataDir, record)
      await bootAll(record.nodes.filter((node) => !before.nodes.includes(node)))
    },
    async powerOff(name) {
      known(name)
      if (!running.has(name)) throw new ClusterError(`Node "${name}" is off already`)
      await end(name)
    },
    async powerOn(name) {
      const node = known(name)
      if (running.has(name)) throw new ClusterError(`Node "${name}" is on already`)
      await boot(node)
    },
    async remove(name) {
      known(name)
      await end(name)
      await client.delete(nodeResource, { name }).catch((error: unknown) => {
        if (!isStatus(error, 'NotFound')) throw error
      })
      record = without(record, name)
      await writeRecord(env, cluster.dataDir, record)
    },
    async close() {
      stop.abort(new Error('the cluster is stopping'))
      await Promise.all([...running.keys()].map(end))
    },
  }
}
