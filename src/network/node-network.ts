/**
 * The network between nodes that are network namespaces of one machine: a bridge of the machine, on which it is their
 * router, and a veth into each.
 */
import type { Env } from '#base'
import { letThroughFirewall, removeFromFirewall, toolEnvironment } from './cni.ts'
import { addressIn, mustParseCidr, parseCidr } from './ip.ts'

/** What the network of a node is made of. */
export interface NodeNetworkOptions {
  readonly env: Pick<Env, 'fs' | 'process'>
  /** At most 15 characters; another for each cluster of a machine. */
  readonly bridge: string
  /** Name of the nftables table; another for each cluster of a machine. */
  readonly table: string
  /** Addresses of the nodes; the first is the machine's. */
  readonly subnet: string
  /** The range of all pods of the cluster: their addresses are not hidden from one another. */
  readonly clusterCidr: string
}

/** Makes it, or finds it made; what is plugged in notices nothing. */
export async function setUpNodeNetwork(options: NodeNetworkOptions): Promise<void> {
  const { env, bridge, table } = options
  const { text: subnet, prefix } = mustParseCidr(options.subnet)
  const cluster = mustParseCidr(options.clusterCidr)
  await run(env, `make the nodes' bridge "${bridge}"`, [
    `ip link show dev ${bridge} >/dev/null 2>&1 || ip link add name ${bridge} type bridge`,
    `ip link set dev ${bridge} up`,
    `ip address replace ${addressIn(mustParseCidr(subnet), 1)}/${prefix} dev ${bridge}`,
    'echo 1 > /proc/sys/net/ipv4/ip_forward',
    // So that a node port answers on 127.0.0.1 with pods of other nodes too; the service proxy keeps others off it.
    `echo 1 > /proc/sys/net/ipv4/conf/${bridge}/route_localnet`,
    `nft -f - <<'RULES'`,
    nodeMasquerade(table, subnet, cluster.text),
    'RULES',
  ])
  await letThroughFirewall(env, bridge)
}

/** What nodes send beyond the cluster leaves under the machine's address. */
const nodeMasquerade = (table: string, subnet: string, clusterCidr: string): string => `
add table ip ${table}
delete table ip ${table}
table ip ${table} {
  chain leaving {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${subnet} ip daddr != { ${subnet}, ${clusterCidr}, 224.0.0.0/4 } masquerade fully-random
  }
}
`

/** Gives the network namespace of a process a link to the bridge, an address and a way out. */
export const plugIntoNodeNetwork = (
  env: Pick<Env, 'process'>,
  {
    bridge,
    subnet,
    link,
    address,
    pid,
  }: Pick<NodeNetworkOptions, 'bridge' | 'subnet'> & {
    /** The machine's end of the veth: at most 15 characters. */
    readonly link: string
    readonly address: string
    readonly pid: number
  },
): Promise<void> => {
  const range = mustParseCidr(subnet)
  return run(env, `connect a node by the link "${link}"`, [
    // One that has just ended may still have its link: the kernel takes namespaces apart in its own time.
    `ip link delete ${link} 2>/dev/null || true`,
    `ip link add name ${link} type veth peer name eth0 netns ${pid}`,
    `ip link set dev ${link} master ${bridge} up`,
    // A node may be led back to itself by a node port of the machine: with br_netfilter such packets are bridged, not routed.
    `ip link set dev ${link} type bridge_slave hairpin on`,
    `nsenter --target ${pid} --net sh -ec '${[
      'ip link set dev lo up',
      `ip address add ${address}/${range.prefix} dev eth0`,
      'ip link set dev eth0 up',
      'echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet',
      `ip route add default via ${addressIn(range, 1)}`,
    ].join('; ')}'`,
  ])
}

/** Removes bridge and rules, whether or not they were complete. Links go with their namespaces. */
export async function removeNodeNetwork({
  env,
  bridge,
  table,
}: Pick<NodeNetworkOptions, 'bridge' | 'table'> & {
  readonly env: Pick<Env, 'process'>
}): Promise<void> {
  await env.process.run(
    ['sh', '-c', `{ nft delete table ip ${table}; ip link delete ${bridge}; } 2>/dev/null; true`],
    { env: toolEnvironment(env) },
  )
  await removeFromFirewall(env, bridge)
}

/** The first of 256 ranges for nodes that shares no address with the machine's routes or the cluster's ranges. */
export function chooseNodeSubnet(
  /** As `ip -4 route show table all` prints them. */
  routes: string,
  avoid: readonly string[],
): string | undefined {
  const taken = [
    ...avoid,
    ...routes
      .split('\n')
      .map((line) => /^(?:\w+ )?(\d+\.\d+\.\d+\.\d+(?:\/\d+)?) /.exec(`${line} `)?.[1])
      .filter((text) => text !== undefined)
      .map((text) => (text.includes('/') ? text : `${text}/32`)),
  ].flatMap((text) => parseCidr(text) ?? [])
  const ends = (base: number, prefix: number): number => base + 2 ** (32 - prefix)
  return Array.from({ length: 256 }, (_, i) => mustParseCidr(`172.30.${i}.0/24`)).find(
    ({ base, prefix }) =>
      !taken.some(
        (other) => other.base < ends(base, prefix) && base < ends(other.base, other.prefix),
      ),
  )?.text
}

/** The machine's routes, for `chooseNodeSubnet`. */
export async function readRoutes(env: Pick<Env, 'process'>): Promise<string> {
  const { stdout } = await env.process.run(['ip', '-4', 'route', 'show', 'table', 'all'], {
    env: toolEnvironment(env),
  })
  return stdout
}

async function run(
  env: Pick<Env, 'process'>,
  what: string,
  script: readonly string[],
): Promise<void> {
  const { code, stderr } = await env.process.run(['sh', '-ec', script.join('\n')], {
    env: toolEnvironment(env),
  })
  if (code !== 0) throw new Error(`Cannot ${what}: ${stderr.trim() || `sh ended with ${code}`}`)
}
