/**
 * The rules as nftables holds them: a few fixed chains, a chain for each number of backends, and maps. However many
 * Services there are, a packet costs the same few lookups, and a change is a few map elements in one transaction.
 */
import { parseIPv4 } from '../ip.ts'
import type { Backend, Frontend, ServiceRules, Verdict } from './desired.ts'

/** Elements by map (or set), then key; the value is empty for a set. */
export type Elements = ReadonlyMap<string, ReadonlyMap<string, string>>

export interface Placed {
  readonly elements: Elements
  /** Names of the chains that the elements jump to. */
  readonly chains: ReadonlySet<string>
  /** Backends by slot, for each balanced frontend: the next placement leaves them where they are. */
  readonly slots: ReadonlyMap<string, readonly Backend[]>
}

export const nothingPlaced: Placed = { elements: new Map(), chains: new Set(), slots: new Map() }

export interface TableOptions {
  readonly table: string
  /** The range of all pods of the cluster. */
  readonly clusterCidr: string
  /** The range of cluster IPs: what no Service has there is refused at once. */
  readonly serviceCidr: string
}

/** Names a frontend: only one Service can have it. */
export const frontendId = ({ address, protocol, port }: Frontend): string =>
  `${address ?? 'node'} ${protocol} ${port}`

type Scope = 'any' | 'outside'

/**
 * Where each backend goes. One that stays keeps its slot, so that a change of one endpoint among thousands touches a
 * handful of elements; slots have no gaps, as a random number below their count picks one.
 */
export function placeBackends(
  before: readonly Backend[],
  wanted: readonly Backend[],
): readonly Backend[] {
  const name = ({ ip, port }: Backend): string => `${ip}:${port}`
  const left = new Map(wanted.map((backend) => [name(backend), backend]))
  const slots: (Backend | undefined)[] = wanted.map((_, slot) => {
    const old = before[slot]
    const stays = old && left.get(name(old))
    if (stays) left.delete(name(stays))
    return stays
  })
  const rest = left.values()
  return slots.map((backend) => backend ?? rest.next().value!)
}

/** The elements of one Service's frontends. */
export function placeRules({ frontends }: Pick<ServiceRules, 'frontends'>, before: Placed): Placed {
  const elements = new Map<string, Map<string, string>>()
  const chains = new Set<string>()
  const slots = new Map<string, readonly Backend[]>()
  const put = (map: string, key: string, value = ''): void => {
    const inside = elements.get(map) ?? new Map<string, string>()
    elements.set(map, inside.set(key, value))
  }
  const place = (frontend: Frontend, verdict: Verdict, scope: Scope): void => {
    const { address, protocol, port } = frontend
    const kind: Kind = { scope, node: address === undefined }
    const key =
      address === undefined ? `${protocol} . ${port}` : `${address} . ${protocol} . ${port}`
    if (verdict.kind === 'refuse') {
      put(address === undefined ? 'refused_ports' : 'refused', key)
      return
    }
    if (verdict.kind === 'drop') {
      put(mapName('services', kind), key, 'drop')
      return
    }
    const id = `${scope} ${frontendId(frontend)}`
    const placed = placeBackends(before.slots.get(id) ?? [], verdict.backends)
    slots.set(id, placed)
    const chain = chainName({ ...kind, count: placed.length, stickySeconds: verdict.stickySeconds })
    chains.add(chain)
    put(mapName('services', kind), key, `goto ${chain}`)
    if (verdict.stickySeconds === undefined) {
      placed.forEach(({ ip, port: to }, slot) =>
        put(mapName('endpoints', kind), `${key} . ${slotMark(slot)}`, `${ip} . ${to}`),
      )
      return
    }
    const stay = stayChainName(kind, verdict.stickySeconds)
    const ids = new Set<number>()
    chains.add(stay)
    placed.forEach(({ ip, port: to }, slot) => {
      const mark = stickyId(ip, ids)
      put(mapName('sticky_ids', kind), `${key} . ${slotMark(slot)}`, mark)
      put(mapName('sticky_endpoints', kind), `${key} . ${mark}`, `${ip} . ${to}`)
      put(mapName('sticky_stay', kind), `${key} . ${mark}`, `goto ${stay}`)
    })
  }
  for (const frontend of frontends) {
    place(frontend, frontend.verdict, 'any')
    if (frontend.outside) place(frontend, frontend.outside, 'outside')
    if (frontend.allowedSources) {
      const { address = '', protocol, port, allowedSources } = frontend
      put('restricted', `${address} . ${protocol} . ${port}`)
      for (const range of allowedSources)
        put('allowed_sources', `${address} . ${protocol} . ${port} . ${range}`)
    }
  }
  return { elements, chains, slots }
}

/**
 * nft has no register to keep a random number in, so that a connection's mark holds it between two rules. The base tells
 * our numbers from the marks of others; the last chain clears them.
 */
const SLOT_BASE = 0x4e56_0000
const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`
const slotMark = (slot: number): string => hex(SLOT_BASE + slot)

/** A client is remembered with its backend's address, as a number: a place that others never get. */
function stickyId(ip: string, taken: Set<number>): string {
  let id = parseIPv4(ip) ?? 1
  while (taken.has(id)) id = id === 0xffff_ffff ? 1 : id + 1
  taken.add(id)
  return hex(id)
}

/** One transaction's text: what must go, and what must come. A changed value goes and comes. */
export function diffElements(
  table: string,
  before: Elements,
  after: Elements,
): { readonly removals: readonly string[]; readonly additions: readonly string[] } {
  const removals: string[] = []
  const additions: string[] = []
  const empty: ReadonlyMap<string, string> = new Map()
  for (const map of new Set([...before.keys(), ...after.keys()])) {
    const [old, next] = [before.get(map) ?? empty, after.get(map) ?? empty]
    const gone = [...old].filter(([key, value]) => next.get(key) !== value).map(([key]) => key)
    const come = [...next]
      .filter(([key, value]) => old.get(key) !== value)
      .map(([key, value]) => (value === '' ? key : `${key} : ${value}`))
    removals.push(...elementCommands('delete', table, map, gone))
    additions.push(...elementCommands('add', table, map, come))
  }
  return { removals, additions }
}

/** Elements in one command; nft's parser slows down on very long lists. */
const COMMAND_ELEMENTS = 2_000

export function elementCommands(
  verb: 'add' | 'delete',
  table: string,
  map: string,
  elements: readonly string[],
): readonly string[] {
  const commands: string[] = []
  for (let from = 0; from < elements.length; from += COMMAND_ELEMENTS) {
    const some = elements.slice(from, from + COMMAND_ELEMENTS).join(', ')
    commands.push(`${verb} element ip ${table} ${map} { ${some} }`)
  }
  return commands
}

interface Kind {
  readonly scope: Scope
  /** Any address of the node: the key has no address. */
  readonly node: boolean
}

const KINDS: readonly Kind[] = [
  { scope: 'any', node: false },
  { scope: 'any', node: true },
  { scope: 'outside', node: false },
  { scope: 'outside', node: true },
]

const mapName = (what: string, { scope, node }: Kind): string =>
  `${scope === 'outside' ? 'outside_' : ''}${node ? 'node_' : ''}${what}`

interface Shape extends Kind {
  readonly count: number
  readonly stickySeconds: number | undefined
}

const chainName = ({ scope, node, count, stickySeconds }: Shape): string =>
  [
    scope,
    ...(node ? ['node'] : []),
    count,
    ...(stickySeconds === undefined ? [] : ['sticky', stickySeconds]),
  ].join('-')

const stayChainName = ({ scope, node }: Kind, stickySeconds: number): string =>
  [scope, ...(node ? ['node'] : []), 'stay', stickySeconds].join('-')

/** The key of a frontend, as a packet shows it. */
const packetKey = (node: boolean): string =>
  node ? 'meta l4proto . th dport' : 'ip daddr . meta l4proto . th dport'
const CLIENT_KEY = 'ip saddr . ip daddr . meta l4proto . th dport'

/** This bit on a packet means: hide its sender behind the node, since the answer must come back this way. */
const MASQUERADE_MARK = '0x4000'

/** The commands that make a chain which elements name. */
export function chainCommands(
  name: string,
  { table, clusterCidr }: TableOptions,
): readonly string[] {
  const [, scope, onNode, what, seconds] =
    /^(any|outside)(-node)?-(\d+|stay)(?:-sticky)?(?:-(\d+))?$/.exec(name) ?? []
  if (scope === undefined || what === undefined) throw new Error(`"${name}" is not a chain of ours`)
  const kind: Kind = { scope: scope as Scope, node: onNode !== undefined }
  const key = packetKey(kind.node)
  const endpoint = `dnat ip to ${key} . ct mark map @${mapName('sticky_endpoints', kind)}`
  const remember = `update @affinity { ${CLIENT_KEY} timeout ${seconds}s : ct mark }`
  const choose = `dnat ip to ${key} . ct mark map @${mapName('endpoints', kind)}`
  const pick = `ct mark set numgen random mod ${what} offset ${SLOT_BASE}`
  const hide = `ip saddr != ${clusterCidr} fib saddr type != local meta mark set meta mark or ${MASQUERADE_MARK}`
  // What the policy keeps on its node also keeps its client's address.
  const start = kind.scope === 'any' ? [hide] : []
  const rules =
    what === 'stay'
      ? [remember, endpoint]
      : seconds === undefined
        ? [
            ...start,
            pick,
            choose,
            // A packet may read the count before a change and the slot after it. The first slot is always there.
            `ct mark set ${hex(SLOT_BASE)}`,
            choose,
          ]
        : [
            ...start,
            'ct mark set 0',
            `ct mark set ${CLIENT_KEY} map @affinity`,
            `${key} . ct mark vmap @${mapName('sticky_stay', kind)}`,
            // Remembered with a backend that is gone, or not at all.
            `delete @affinity { ${CLIENT_KEY} : ct mark }`,
            pick,
            `ct mark set ${key} . ct mark map @${mapName('sticky_ids', kind)}`,
            remember,
            endpoint,
          ]
  return [
    `add chain ip ${table} ${name}`,
    ...rules.map((rule) => `add rule ip ${table} ${name} ${rule}`),
  ]
}

/** Everything but Services: the table is made anew, in the same transaction that fills it. */
export function tableCommands({
  table,
  clusterCidr,
  serviceCidr,
}: TableOptions): readonly string[] {
  const maps = KINDS.flatMap((kind) => {
    const key = kind.node ? 'inet_proto . inet_service' : 'ipv4_addr . inet_proto . inet_service'
    return [
      `map ${mapName('services', kind)} { type ${key} : verdict; }`,
      `map ${mapName('endpoints', kind)} { type ${key} . mark : ipv4_addr . inet_service; }`,
      `map ${mapName('sticky_ids', kind)} { type ${key} . mark : mark; }`,
      `map ${mapName('sticky_endpoints', kind)} { type ${key} . mark : ipv4_addr . inet_service; }`,
      `map ${mapName('sticky_stay', kind)} { type ${key} . mark : verdict; }`,
    ]
  })
  return [
    `add table ip ${table}`,
    `delete table ip ${table}`,
    `table ip ${table} {`,
    ...maps,
    `
  map affinity {
    type ipv4_addr . ipv4_addr . inet_proto . inet_service : mark
    size 262144; flags dynamic,timeout;
  }
  map host_ports { type inet_proto . inet_service : ipv4_addr . inet_service; }
  map host_ports_on { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
  set refused { type ipv4_addr . inet_proto . inet_service; }
  set refused_ports { type inet_proto . inet_service; }
  set restricted { type ipv4_addr . inet_proto . inet_service; }
  set allowed_sources { type ipv4_addr . inet_proto . inet_service . ipv4_addr; flags interval; }
  set hairpin { type ipv4_addr . ipv4_addr; }

  chain from_inside {
    ip daddr . meta l4proto . th dport vmap @services
    dnat ip to ip daddr . meta l4proto . th dport map @host_ports_on
    fib daddr type != local return
    dnat ip to meta l4proto . th dport map @host_ports
    meta l4proto . th dport vmap @node_services
  }
  chain from_outside {
    ip daddr . meta l4proto . th dport @restricted ip daddr . meta l4proto . th dport . ip saddr != @allowed_sources drop
    ip daddr . meta l4proto . th dport vmap @outside_services
    fib daddr type local meta l4proto . th dport vmap @outside_node_services
    goto from_inside
  }
  chain prerouting {
    type nat hook prerouting priority -100; policy accept;
    ip saddr != ${clusterCidr} fib saddr type != local goto from_outside
    goto from_inside
  }
  chain output {
    type nat hook output priority -100; policy accept;
    goto from_inside
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ct status & dnat == 0 return
    ct mark & 0xffff0000 == ${hex(SLOT_BASE)} ct mark set 0
    ip saddr . ip daddr @hairpin masquerade fully-random
    meta mark & ${MASQUERADE_MARK} == ${MASQUERADE_MARK} meta mark set meta mark xor ${MASQUERADE_MARK} masquerade fully-random
    ip saddr 127.0.0.0/8 oifname != "lo" masquerade fully-random
  }
  chain guard {
    type filter hook prerouting priority raw; policy accept;
    iifname != "lo" ip daddr 127.0.0.0/8 drop
  }
  # After the translation of addresses, and before routing: a packet that would leave by the bridge it came from
  # causes a redirect, which uses up the sender's allowance of ICMP messages.
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject with icmp port-unreachable
  }
  chain check {
    ip daddr . meta l4proto . th dport @refused goto refuse
    fib daddr type local meta l4proto . th dport @refused_ports goto refuse
    ip daddr ${serviceCidr} goto refuse
  }
  chain check_prerouting {
    type filter hook prerouting priority -90; policy accept;
    ct state new goto check
  }
  chain check_output {
    type filter hook output priority -90; policy accept;
    ct state new goto check
  }
}`,
  ]
}
