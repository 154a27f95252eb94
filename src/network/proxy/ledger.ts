/** What the data plane holds, Service by Service, and the commands that bring it where it should be. */
import { noRules, type Frontend, type ServiceRules } from './desired.ts'
import {
  chainCommands,
  diffElements,
  elementCommands,
  frontendId,
  nothingPlaced,
  type Placed,
  placeRules,
  tableCommands,
  type TableOptions,
} from './rule-set.ts'

interface Holding {
  /** All that was wanted, also what another Service has already. */
  readonly wanted: ServiceRules
  /** What the data plane was given. */
  readonly given: ServiceRules
  readonly placed: Placed
}

export interface Plan {
  /** One transaction of nft; empty when nothing changes. */
  readonly script: string
  /** Rules before and after, of every Service that changed. */
  readonly changes: readonly { readonly before: ServiceRules; readonly after: ServiceRules }[]
}

/** A pod's host port. */
interface HostPort {
  /** Undefined: all addresses of the node. */
  readonly hostIP?: string
  readonly hostPort: number
  readonly containerPort: number
  readonly protocol: 'tcp' | 'udp' | 'sctp'
}

/** The host ports of one pod. */
export interface HostPorts {
  readonly ip: string
  readonly ports: readonly HostPort[]
}

/** Counts how many hold a name. */
class Tally {
  readonly #counts = new Map<string, number>()

  has = (name: string): boolean => this.#counts.has(name)
  names = (): readonly string[] => [...this.#counts.keys()]
  add(names: Iterable<string>, by: 1 | -1): void {
    for (const name of names) {
      const count = (this.#counts.get(name) ?? 0) + by
      if (count === 0) this.#counts.delete(name)
      else this.#counts.set(name, count)
    }
  }
}

/**
 * Planning takes effect in the ledger at once; the shell carries plans out in order, and after one that failed asks for
 * the whole table.
 */
export class Ledger {
  readonly #options: TableOptions
  readonly #holdings = new Map<string, Holding>()
  /** Who wants each frontend, in order of asking: the first has it. */
  readonly #claims = new Map<string, readonly string[]>()
  readonly #chains = new Set<string>()
  readonly #ready = new Tally()
  readonly #local = new Tally()
  readonly #hostPorts = new Map<string, HostPorts>()
  #placedHostPorts: Placed['elements'] = new Map()
  #hairpin = new Set<string>()

  constructor(options: TableOptions) {
    this.#options = options
  }

  /** Whether connections go to the address because it is ready. */
  isReady = (ip: string): boolean => this.#ready.has(ip)

  rules = (): Iterable<ServiceRules> => [...this.#holdings.values()].map(({ given }) => given)

  services = (): readonly string[] => [...this.#holdings.keys()]

  /** The transaction for some Services whose wishes changed. */
  update(wishes: ReadonlyMap<string, ServiceRules>): Plan {
    const queue = [...wishes.keys()]
    const removals: string[] = []
    const additions: string[] = []
    const chains: string[] = []
    const changes: { before: ServiceRules; after: ServiceRules }[] = []
    const { table } = this.#options
    for (const key of queue) {
      const old = this.#holdings.get(key)
      const wanted = wishes.get(key) ?? old?.wanted ?? noRules
      const released = this.#claim(key, old?.wanted.frontends ?? [], wanted.frontends)
      const given = { ...wanted, frontends: this.#owned(key, wanted.frontends) }
      const placed = placeRules(given, old?.placed ?? nothingPlaced)
      const diff = diffElements(table, (old?.placed ?? nothingPlaced).elements, placed.elements)
      removals.push(...diff.removals)
      additions.push(...diff.additions)
      chains.push(...this.#newChains(placed))
      changes.push({ before: old?.given ?? noRules, after: given })
      this.#hold(key, old, wanted.frontends.length === 0 ? undefined : { wanted, given, placed })
      // Whoever waited for a frontend gets it now, in the same transaction.
      queue.push(...released)
    }
    const hairpin = this.#updateHairpin()
    const commands = [
      ...removals,
      ...hairpin.removals,
      ...chains,
      ...additions,
      ...hairpin.additions,
    ]
    return { script: joined(commands), changes }
  }

  /** The transaction for the host ports of one pod; no ports, or no address: it has none any more. */
  updateHostPorts(pod: string, ports: HostPorts | undefined): Plan {
    const old = this.#hostPorts.get(pod)
    // A new claim goes last, and the last one counts.
    this.#hostPorts.delete(pod)
    if (ports && ports.ports.length > 0) this.#hostPorts.set(pod, ports)
    if (old) this.#local.add([old.ip], -1)
    if (this.#hostPorts.has(pod) && ports) this.#local.add([ports.ip], 1)
    const before = this.#placedHostPorts
    this.#placedHostPorts = placeHostPorts(this.#hostPorts.values())
    const diff = diffElements(this.#options.table, before, this.#placedHostPorts)
    const hairpin = this.#updateHairpin()
    return {
      script: joined([
        ...diff.removals,
        ...hairpin.removals,
        ...diff.additions,
        ...hairpin.additions,
      ]),
      changes: [{ before: hostPortRules(old), after: hostPortRules(ports) }],
    }
  }

  /** The transaction that makes the table anew with everything in it. */
  whole(): string {
    const commands = [...tableCommands(this.#options)]
    this.#chains.clear()
    const additions: string[] = []
    const merged = new Map<string, string[]>()
    const collect = (elements: Placed['elements']): void => {
      for (const [map, inside] of elements) {
        const list = merged.get(map) ?? []
        for (const [key, value] of inside) list.push(value === '' ? key : `${key} : ${value}`)
        merged.set(map, list)
      }
    }
    for (const { placed } of this.#holdings.values()) {
      commands.push(...this.#newChains(placed))
      collect(placed.elements)
    }
    collect(this.#placedHostPorts)
    this.#hairpin = new Set()
    for (const [map, elements] of merged)
      additions.push(...elementCommands('add', this.#options.table, map, elements))
    return joined([...commands, ...additions, ...this.#updateHairpin().additions])
  }

  /** Takes out a Service that the data plane refuses, without a command. */
  forget(key: string): void {
    const old = this.#holdings.get(key)
    if (old === undefined) return
    this.#claim(key, old.wanted.frontends, [])
    this.#hold(key, old, undefined)
  }

  #hold(key: string, old: Holding | undefined, next: Holding | undefined): void {
    if (old) {
      this.#ready.add(old.given.readyIps, -1)
      this.#local.add(old.given.localIps, -1)
    }
    if (next === undefined) {
      this.#holdings.delete(key)
      return
    }
    this.#ready.add(next.given.readyIps, 1)
    this.#local.add(next.given.localIps, 1)
    this.#holdings.set(key, next)
  }

  /** Notes who wants what; gives those who wait for what was let go. */
  #claim(
    key: string,
    before: readonly Frontend[],
    after: readonly Frontend[],
  ): ReadonlySet<string> {
    const wanted = new Set(after.map(frontendId))
    const released = new Set<string>()
    for (const id of new Set(before.map(frontendId))) {
      if (wanted.has(id)) continue
      const claimants = this.#claims.get(id) ?? []
      const left = claimants.filter((claimant) => claimant !== key)
      if (left.length === 0) this.#claims.delete(id)
      else this.#claims.set(id, left)
      if (claimants[0] === key && left[0] !== undefined) released.add(left[0])
    }
    for (const id of wanted) {
      const claimants = this.#claims.get(id) ?? []
      if (!claimants.includes(key)) this.#claims.set(id, [...claimants, key])
    }
    return released
  }

  #owned(key: string, frontends: readonly Frontend[]): readonly Frontend[] {
    const seen = new Set<string>()
    return frontends.filter((frontend) => {
      const id = frontendId(frontend)
      if (seen.has(id) || this.#claims.get(id)?.[0] !== key) return false
      seen.add(id)
      return true
    })
  }

  #newChains({ chains }: Placed): readonly string[] {
    const fresh = [...chains].filter((name) => !this.#chains.has(name))
    for (const name of fresh) this.#chains.add(name)
    return fresh.flatMap((name) => chainCommands(name, this.#options))
  }

  #updateHairpin(): { removals: readonly string[]; additions: readonly string[] } {
    const next = new Set(this.#local.names())
    const pair = (ip: string): string => `${ip} . ${ip}`
    const gone = [...this.#hairpin.difference(next)].map(pair)
    const come = [...next.difference(this.#hairpin)].map(pair)
    this.#hairpin = next
    const { table } = this.#options
    return {
      removals: elementCommands('delete', table, 'hairpin', gone),
      additions: elementCommands('add', table, 'hairpin', come),
    }
  }
}

const joined = (commands: readonly string[]): string =>
  commands.length === 0 ? '' : `${commands.join('\n')}\n`

function placeHostPorts(all: Iterable<HostPorts>): Placed['elements'] {
  const anywhere = new Map<string, string>()
  const somewhere = new Map<string, string>()
  for (const { ip, ports } of all) {
    for (const { hostIP, hostPort, containerPort, protocol } of ports) {
      const target = `${ip} . ${containerPort}`
      if (isAny(hostIP)) anywhere.set(`${protocol} . ${hostPort}`, target)
      else somewhere.set(`${hostIP} . ${protocol} . ${hostPort}`, target)
    }
  }
  return new Map([
    ['host_ports', anywhere],
    ['host_ports_on', somewhere],
  ])
}

const isAny = (hostIP: string | undefined): boolean =>
  hostIP === undefined || hostIP === '' || hostIP === '0.0.0.0'

/** As if it were a Service, for what is remembered of UDP flows. */
const hostPortRules = (given: HostPorts | undefined): ServiceRules => ({
  ...noRules,
  frontends: (given?.ports ?? []).map(({ hostIP, hostPort, containerPort, protocol }) => ({
    address: isAny(hostIP) ? undefined : hostIP,
    protocol,
    port: hostPort,
    verdict: { kind: 'balance', backends: [{ ip: given?.ip ?? '', port: containerPort }] },
  })),
})
