/**
 * The network of a node's pods: one bridge, an address for each pod out of the node's range, and a static rule that
 * hides pods behind the node when they leave the cluster. CNI's own masquerading would cost 50 ms a pod.
 */
import type { Env } from '#base'
import { addressIn, mustParseCidr } from './ip.ts'

/** Which addresses the pods of this node have, and by which bridge they go. */
export interface PodNetworkOptions {
  readonly env: Pick<Env, 'fs' | 'process' | 'log'>
  /** This node's range: `10.244.0.0/24`. */
  readonly podCidr: string
  /** The range of all nodes' pods: traffic inside it keeps its addresses. Default: the node's range. */
  readonly clusterCidr?: string
  /** The range of cluster IPs: the host reaches them over the bridge, also on a machine without a default route. */
  readonly serviceCidr: string
  /** Where the CNI configuration goes; the folder that containerd was told. */
  readonly cniConfDir: string
  /** Leases of addresses; on a tmpfs, since after a reboot none is true. */
  readonly leaseDir: string
  /** At most 15 characters; another for each cluster of a machine. */
  readonly bridge?: string
  /** Name of the nftables table; another for each cluster of a machine. */
  readonly table?: string
  readonly mtu?: number
}

/** The bridge that gives pods their addresses. */
export interface PodNetwork {
  readonly bridge: string
  /** The node's address on the bridge: pods' gateway, and where node services for pods can listen. */
  readonly gateway: string
  readonly podCidr: string
  /** Removes the bridge, the rules and the configuration: for a cluster that is deleted. */
  tearDown(): Promise<void>
}

/** The bridge of the first node of a machine. */
export const DEFAULT_BRIDGE = 'navarch0'
/** The nftables table of the first node of a machine. */
export const DEFAULT_POD_TABLE = 'navarch-pods'

/** Makes the network, or finds it made: the result is the same however often it runs, and running pods notice nothing. */
export async function setUpPodNetwork(options: PodNetworkOptions): Promise<PodNetwork> {
  const { env, bridge = DEFAULT_BRIDGE, table = DEFAULT_POD_TABLE } = options
  if (!/^[a-z0-9][a-z0-9_.-]{0,14}$/i.test(bridge))
    throw new Error(`"${bridge}" is no name for a bridge: 1 to 15 letters, digits, ".", "_" or "-"`)
  const pods = mustParseCidr(options.podCidr)
  const services = mustParseCidr(options.serviceCidr)
  const cluster = mustParseCidr(options.clusterCidr ?? options.podCidr)
  const gateway = addressIn(pods, 1)
  const path = toolEnvironment(env)
  const run = async (what: string, command: readonly [string, ...string[]], input?: string) => {
    const result = await env.process.run(command, {
      env: path,
      ...(input === undefined ? {} : { input }),
    })
    if (result.code !== 0)
      throw new Error(`Cannot ${what}: ${result.stderr.trim() || `${command[0]} failed`}`)
  }

  await run(`make the pods' bridge "${bridge}"`, [
    'sh',
    '-ec',
    bridgeScript({
      bridge,
      gateway,
      prefix: pods.prefix,
      serviceCidr: services.text,
      mtu: options.mtu,
    }),
  ])
  await run('masquerade pods', ['nft', '-f', '-'], masqueradeRules(table, pods.text, cluster.text))
  await letThroughFirewall(env, bridge)
  await setKernelParameters(env, bridge)
  await env.fs.makeFolder(options.cniConfDir)
  await env.fs.makeFolder(options.leaseDir)
  // Its appearance is what makes the runtime's network ready, so it comes last.
  await env.fs.write(
    `${options.cniConfDir}/${CONFIG_FILE}`,
    `${JSON.stringify(cniConfig({ ...options, bridge, podCidr: pods.text, gateway }), undefined, 2)}\n`,
    { atomic: true },
  )
  return {
    bridge,
    gateway,
    podCidr: pods.text,
    async tearDown() {
      await env.fs.remove(`${options.cniConfDir}/${CONFIG_FILE}`)
      await removePodNetwork({ env, bridge, table })
      await env.fs.remove(options.leaseDir)
    },
  }
}

/** Removes what a network of these names left on the host, whether or not it was complete. */
export async function removePodNetwork({
  env,
  bridge = DEFAULT_BRIDGE,
  table = DEFAULT_POD_TABLE,
}: Pick<PodNetworkOptions, 'bridge' | 'table'> & {
  readonly env: Pick<Env, 'process'>
}): Promise<void> {
  const script = `nft delete table ip ${table}; ip link delete ${bridge}`
  await env.process.run(['sh', '-c', `{ ${script}; } 2>/dev/null; true`], {
    env: toolEnvironment(env),
  })
  await removeFromFirewall(env, bridge)
}

/** Where the tools of the network are, also for a user whose PATH lacks them. */
export const toolEnvironment = ({ process }: Pick<Env, 'process'>): { readonly PATH: string } => ({
  PATH: `${process.environment['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`,
})

const CONFIG_FILE = '10-navarch.conflist'

/** The CNI network configuration list (CNI specification 1.0.0). */
export function cniConfig({
  bridge,
  podCidr,
  gateway,
  leaseDir,
  mtu,
}: {
  readonly bridge: string
  readonly podCidr: string
  readonly gateway: string
  readonly leaseDir: string
  readonly mtu?: number
}): object {
  return {
    cniVersion: '1.0.0',
    name: bridge,
    plugins: [
      {
        type: 'bridge',
        bridge,
        isDefaultGateway: true,
        ipMasq: false,
        // A pod that reaches itself through a Service comes back through the port it left by.
        hairpinMode: true,
        ...(mtu === undefined ? {} : { mtu }),
        ipam: {
          type: 'host-local',
          ranges: [[{ subnet: podCidr, gateway }]],
          dataDir: leaseDir,
        },
      },
    ],
  }
}

/**
 * The bridge exists before its first pod, so that DNS can listen on it. Its hardware address is fixed, as it would else
 * change when pods come and go, and pods would keep a stale one.
 */
export function bridgeScript({
  bridge,
  gateway,
  prefix,
  serviceCidr,
  mtu,
}: {
  readonly bridge: string
  readonly gateway: string
  readonly prefix: number
  readonly serviceCidr: string
  readonly mtu: number | undefined
}): string {
  const hardware = gateway
    .split('.')
    .map((octet) => Number(octet).toString(16).padStart(2, '0'))
    .join(':')
  return [
    `ip link show dev ${bridge} >/dev/null 2>&1 || ip link add name ${bridge} type bridge`,
    `ip link set dev ${bridge} address 0a:58:${hardware}${mtu === undefined ? '' : ` mtu ${mtu}`} up`,
    `ip address replace ${gateway}/${prefix} dev ${bridge}`,
    `ip route replace ${serviceCidr} dev ${bridge} src ${gateway}`,
  ].join('\n')
}

export const masqueradeRules = (table: string, podCidr: string, clusterCidr: string): string => `
add table ip ${table}
delete table ip ${table}
table ip ${table} {
  chain leaving {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${podCidr} ip daddr != { ${clusterCidr}, 224.0.0.0/4 } masquerade fully-random
  }
}
`

const firewallRules = (bridge: string): readonly { chain: string; rule: string }[] => [
  { chain: 'FORWARD', rule: `-i ${bridge} -j ACCEPT` },
  { chain: 'FORWARD', rule: `-o ${bridge} -j ACCEPT` },
  { chain: 'INPUT', rule: `-i ${bridge} -j ACCEPT` },
]

/**
 * Docker and ufw drop what they do not know, and an accept in a table of ours cannot undo that. So pods are let through
 * in their chains, where they have such: in the one that Docker keeps for others, or else in front.
 */
const firewallScript = (bridge: string): string =>
  [
    'command -v iptables >/dev/null || exit 0',
    ...firewallRules(bridge).map(({ chain, rule }) =>
      [
        `if iptables -w -S ${chain} 2>/dev/null | grep -qv '^-P ${chain} ACCEPT$'; then`,
        chain === 'FORWARD'
          ? `c=$(iptables -w -S DOCKER-USER >/dev/null 2>&1 && echo DOCKER-USER || echo ${chain})`
          : `c=${chain}`,
        `iptables -w -C $c ${rule} 2>/dev/null || iptables -w -I $c ${rule}`,
        'fi',
      ].join('\n'),
    ),
  ].join('\n')

/** Lets what comes and goes over the bridge pass the machine's firewall. */
export async function letThroughFirewall(env: Pick<Env, 'process'>, bridge: string): Promise<void> {
  const { code, stderr } = await env.process.run(['sh', '-c', firewallScript(bridge)], {
    env: toolEnvironment(env),
  })
  if (code !== 0) throw new Error(`Cannot let "${bridge}" through the firewall: ${stderr.trim()}`)
}

export async function removeFromFirewall(env: Pick<Env, 'process'>, bridge: string): Promise<void> {
  const script = firewallRules(bridge)
    .map(
      ({ chain, rule }) => `iptables -w -D ${chain} ${rule} || iptables -w -D DOCKER-USER ${rule}`,
    )
    .join('\n')
  await env.process.run(['sh', '-c', `{ ${script}\n} 2>/dev/null; true`], {
    env: toolEnvironment(env),
  })
}

/** What kube-proxy asks of a node as a minimum. */
const MIN_CONNTRACK = 131_072

async function setKernelParameters(
  { fs, log }: Pick<Env, 'fs' | 'log'>,
  bridge: string,
): Promise<void> {
  const wanted: readonly (readonly [string, string])[] = [
    ['net/ipv4/ip_forward', '1'],
    // So that traffic between two pods of a node passes the rules that turn a Service into a pod.
    ['net/bridge/bridge-nf-call-iptables', '1'],
    // So that a node port answers on 127.0.0.1; the service proxy keeps pods from abusing it.
    [`net/ipv4/conf/${bridge}/route_localnet`, '1'],
  ]
  for (const [name, value] of wanted) {
    const path = `/proc/sys/${name}`
    try {
      if ((await fs.readText(path)).trim() !== value) await fs.write(path, value)
    } catch (error) {
      const hint = name.startsWith('net/bridge/') ? ': load it with "modprobe br_netfilter"' : ''
      throw new Error(
        `Cannot set kernel parameter ${name.replaceAll('/', '.')} to ${value}${hint}`,
        { cause: error },
      )
    }
  }
  const conntrack = '/proc/sys/net/netfilter/nf_conntrack_max'
  try {
    if (Number(await fs.readText(conntrack)) < MIN_CONNTRACK)
      await fs.write(conntrack, String(MIN_CONNTRACK))
  } catch (error) {
    // Only the first network namespace of a machine may change it.
    log.debug('cannot raise the limit of tracked connections', { error })
  }
}
