/** Which nodes a machine has beside its first, on and off, added and removed: the same however they run. */
import { nodes as nodeResource } from '#api'
import type { Env } from '#base'
import type { Client } from '#client'
import { isStatus } from '#machinery'
import { ClusterError } from '../options.ts'
import type { MachineNodes } from './contract.ts'
import { grown, without, writeRecord, type NodeRecord, type NodesRecord } from './record.ts'

/** How nodes of one sort run. */
export interface NodeHands {
  isRunning(name: string): boolean
  /** Resolves when the node is Ready. */
  boot(node: NodeRecord): Promise<void>
  end(name: string): Promise<void>
  /** Takes away what the node had on the machine. */
  clear?(name: string): Promise<void>
}

export interface ManagedOptions {
  readonly cluster: { readonly dataDir: string; readonly nodeName: string }
  readonly env: Pick<Env, 'fs'>
  readonly client: Client
  /** What there is at first. */
  readonly record: NodesRecord
  readonly hands: NodeHands
}

/** The nodes, with those of the record booted at once. */
export function managedNodes({ cluster, env, client, record: first, hands }: ManagedOptions): Omit<
  MachineNodes,
  'list' | 'close'
> & {
  nodes(): readonly NodeRecord[]
} {
  let record = first
  const known = (name: string): NodeRecord => {
    const node = record.nodes.find((each) => each.name === name)
    if (node !== undefined) return node
    throw new ClusterError(
      `This machine has no node "${name}" beside its first one`,
      record.nodes.length === 0
        ? 'More nodes: navarch up --nodes 3'
        : `It has: ${record.nodes.map((each) => each.name).join(', ')}`,
    )
  }
  const bootAll = async (nodes: readonly NodeRecord[]): Promise<void> => {
    const results = await Promise.allSettled(nodes.map((node) => hands.boot(node)))
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  const ready = bootAll(record.nodes)
  ready.catch(() => undefined)
  return {
    ready,
    nodes: () => record.nodes,
    async grow(count) {
      const before = record
      record = grown(before, cluster.nodeName, count)
      if (record.nodes.length === before.nodes.length) return
      await writeRecord(env, cluster.dataDir, record)
      await bootAll(record.nodes.filter((node) => !before.nodes.includes(node)))
    },
    async powerOff(name) {
      known(name)
      if (!hands.isRunning(name)) throw new ClusterError(`Node "${name}" is off already`)
      await hands.end(name)
    },
    async powerOn(name) {
      const node = known(name)
      if (hands.isRunning(name)) throw new ClusterError(`Node "${name}" is on already`)
      await hands.boot(node)
    },
    async remove(name) {
      known(name)
      await hands.end(name)
      await client.delete(nodeResource, { name }).catch((error: unknown) => {
        if (!isStatus(error, 'NotFound')) throw error
      })
      await hands.clear?.(name)
      record = without(record, name)
      await writeRecord(env, cluster.dataDir, record)
    },
  }
}
