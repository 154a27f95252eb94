/** Which nodes a machine is, beside its first: kept in the data folder, so that the next start brings them all back. */
import { join } from 'node:path'
import type { Env } from '#base'
import { chooseNodeSubnet, readRoutes } from '#network'
import { nthAddress } from '../addresses.ts'
import { ClusterError, type RuntimeKind, type ServeOptions } from '../options.ts'

export interface NodeRecord {
  readonly name: string
  readonly address: string
}

export interface NodesRecord {
  /** Addresses of the nodes; the first is the machine's own among them. */
  readonly subnet: string
  readonly nodes: readonly NodeRecord[]
}

/** Nodes of one machine: each is some forty megabytes for containerd and a hundred for its agent. */
export const MAX_NODES = 50

const fileOf = (dataDir: string): string => join(dataDir, 'nodes', 'nodes.json')

export async function readRecord(
  { fs }: Pick<Env, 'fs'>,
  dataDir: string,
): Promise<NodesRecord | undefined> {
  const file = fileOf(dataDir)
  if ((await fs.stat(file)) === undefined) return undefined
  try {
    return JSON.parse(await fs.readText(file)) as NodesRecord
  } catch {
    throw new ClusterError(
      `${file} is damaged: it is not the JSON that Navarch writes`,
      'Restore it from a copy, or begin anew: navarch delete --yes',
    )
  }
}

/** What there is and what is asked for, together and written down. */
export async function nodesRecord(
  {
    dataDir,
    nodeName,
    nodes,
    podCidr,
    serviceCidr,
  }: Pick<ServeOptions, 'dataDir' | 'nodeName' | 'nodes' | 'podCidr' | 'serviceCidr'>,
  env: Pick<Env, 'fs' | 'process'>,
  kind: RuntimeKind,
): Promise<NodesRecord> {
  const found = await readRecord(env, dataDir)
  // Simulated nodes are nowhere: the machine's own networks do not matter to them.
  const routes = kind === 'simulated' || found !== undefined ? '' : await readRoutes(env)
  const subnet = found?.subnet ?? chooseNodeSubnet(routes, [podCidr, serviceCidr])
  if (subnet === undefined)
    throw new ClusterError('All of 172.30.0.0/16 is in use on this machine: nodes get no addresses')
  const record = grown(
    found ?? { subnet, nodes: [] },
    nodeName,
    nodes ?? (found?.nodes.length ?? 0) + 1,
  )
  if (record.nodes.length !== (found?.nodes.length ?? 0)) await writeRecord(env, dataDir, record)
  return record
}

export async function writeRecord(
  { fs }: Pick<Env, 'fs'>,
  dataDir: string,
  record: NodesRecord,
): Promise<void> {
  await fs.makeFolder(join(dataDir, 'nodes'))
  await fs.write(fileOf(dataDir), `${JSON.stringify(record, undefined, 2)}\n`, { atomic: true })
}

/** `node-1` has the neighbours `node-2`, `node-3`; a machine `box` has `box-2`, `box-3`. */
const neighbour = (first: string, n: number): string =>
  first.endsWith('-1') ? first.replace(/-1$/, `-${n}`) : `${first}-${n}`

/**
 * The record with as many nodes as are wanted, the machine's own counted; what is there stays as it is. Nodes are not
 * taken away by a smaller number: nobody should lose what runs there by a slip of the keyboard.
 */
export function grown(record: NodesRecord, first: string, wanted: number): NodesRecord {
  const have = record.nodes.length + 1
  if (wanted < have)
    throw new ClusterError(
      `This cluster has ${have} nodes on this machine, and --nodes ${wanted} asks for fewer`,
      `Take one away: navarch node remove ${record.nodes.at(-1)?.name}`,
    )
  const nodes = [...record.nodes]
  for (let n = 2; nodes.length + 1 < wanted; n++) {
    const [name, address] = [neighbour(first, n), nthAddress(record.subnet, n)]
    if (nodes.some((node) => node.name === name || node.address === address)) continue
    nodes.push({ name, address })
  }
  return { ...record, nodes }
}

export const without = (record: NodesRecord, name: string): NodesRecord => ({
  ...record,
  nodes: record.nodes.filter((node) => node.name !== name),
})
