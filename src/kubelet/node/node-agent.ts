/** Registers the node, renews its lease, and reports its status when there is something to report. */
import type { Env } from '#base'
import { type Lease, type Node, type NodeStatus, leases, nodes } from '#api'
import type { Client, EventRecorder, Informer } from '#client'
import { isStatus } from '#machinery'
import type { Image, Runtime, RuntimeStatus, RuntimeVersion } from '../runtime.ts'
import type { Pressure, Thresholds } from '../eviction/signals.ts'
import type { Machine } from './machine.ts'
import {
  extendedOf,
  type NodeStatusInput,
  nodeStatusOf,
  sameNodeStatus,
  showsStatus,
} from './status.ts'

export interface NodeAgentOptions {
  readonly client: Client
  readonly runtime: Runtime
  readonly env: Env
  readonly events: EventRecorder
  readonly machine: Machine
  readonly runtimeVersion: RuntimeVersion
  readonly nodeName: string
  readonly nodeIps: readonly string[]
  readonly rootDir: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly taints: NonNullable<Node['spec']>['taints']
  readonly reserved: Readonly<Record<string, string>>
  readonly maxPods: number
  readonly thresholds: Thresholds
  readonly podCidrs: readonly string[]
  readonly port: number | undefined
  readonly diskTotalBytes: number
  readonly unschedulable: boolean
  /** What the node runs short of, or did a moment ago. */
  readonly isUnder: (pressure: Pressure) => boolean
}

const LEASE_NAMESPACE = 'kube-node-lease'
const LEASE_SECONDS = 40
const RENEW_MS = 10_000
const FIRST_LEASE_MS = 1000
/** A status that did not change is sent again after this. */
const REPORT_MS = 300_000
const RETRY_MS = 200
const MAX_RETRY_MS = 7000
export class NodeAgent {
  readonly #options: NodeAgentOptions
  #node: Node | undefined
  #sent: NodeStatus | undefined
  #sentMs = 0
  /** What the API made of it. */
  #answered: NodeStatus | undefined
  #lease: Lease | undefined
  #images: readonly Image[] = []
  #shuttingDown = false
  #reporting: Promise<void> | undefined

  constructor(options: NodeAgentOptions) {
    this.#options = options
  }

  get node(): Node | undefined {
    return this.#node
  }

  /** For events about it. */
  get about(): Node | undefined {
    return this.#node === undefined ? undefined : this.#about(this.#node)
  }

  /** The node exists, and its status says what was found. */
  async register(signal: AbortSignal): Promise<void> {
    const { env, events } = this.#options
    for (let wait = RETRY_MS; ; wait = Math.min(wait * 2, MAX_RETRY_MS)) {
      signal.throwIfAborted()
      try {
        await this.#createNode()
        await this.#report({ force: true })
        break
      } catch (error) {
        signal.throwIfAborted()
        env.log.warn('Cannot register the node; trying again', { error: error as Error })
        await env.clock.sleep(wait, signal)
      }
    }
    if (this.#node !== undefined) {
      events.event(this.#about(this.#node), 'Normal', 'Starting', 'Starting kubelet.')
    }
    // The namespace of leases may come a moment later.
    await this.#renew().catch((error: unknown) =>
      env.log.debug('Cannot renew the lease yet', { error: error as Error }),
    )
    void this.refreshImages()
  }

  /** Keeps up with the node's object: with its labels and taints, and with what others say of its state. */
  follow(informer: Informer<Node>): void {
    informer.onChange((current) => {
      if (current === undefined || !isNewer(current, this.#node)) return
      this.#node = current
      const ready = current.status?.conditions?.find(({ type }) => type === 'Ready')
      // It was silent for so long (the machine slept, or was cut off) that it was given up.
      const force = ready?.status === 'Unknown'
      // Somebody says that it has more of something, or less.
      if (!force && !hasOtherExtended(current.status)) return
      this.#report({ force }).catch((error: unknown) =>
        this.#options.env.log.debug('Cannot report the node yet', { error: error as Error }),
      )
    })
  }

  /** Lease and status, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { env } = this.#options
    while (!signal.aborted) {
      try {
        await env.clock.sleep(this.#lease === undefined ? FIRST_LEASE_MS : RENEW_MS, signal)
      } catch {
        return
      }
      try {
        await Promise.all([this.#renew(), this.#report({ force: false })])
      } catch (error) {
        if (!signal.aborted) {
          env.log.warn('Cannot report the node; trying again', { error: error as Error })
        }
      }
    }
  }

  /** Images were pulled or removed. */
  async refreshImages(): Promise<void> {
    const { runtime, env } = this.#options
    try {
      this.#images = await runtime.listImages()
      await this.#report({ force: false })
    } catch (error) {
      env.log.debug('Cannot list images', { error: error as Error })
    }
  }

  /** What it says of itself has changed. */
  async refresh(): Promise<void> {
    await this.#report({ force: false })
  }

  async shutDown(): Promise<void> {
    this.#shuttingDown = true
    await this.#report({ force: false })
  }

  async #createNode(): Promise<void> {
    const { client, nodeName, labels, annotations, taints, podCidrs, machine, unschedulable } =
      this.#options
    const wanted: Record<string, string> = {
      'beta.kubernetes.io/arch': machine.architecture,
      'beta.kubernetes.io/os': machine.operatingSystem,
      'kubernetes.io/arch': machine.architecture,
      'kubernetes.io/hostname': nodeName,
      'kubernetes.io/os': machine.operatingSystem,
    }
    const old = await client.getOptional(nodes, { name: nodeName })
    if (old !== undefined) {
      const missing = {
        labels: differing(wanted, old.metadata.labels),
        annotations: differing(annotations, old.metadata.annotations),
      }
      this.#node = Object.values(missing).every((one) => Object.keys(one).length === 0)
        ? old
        : await client.patch(nodes, { name: nodeName }, 'merge', { metadata: missing })
      this.#sent = this.#node.status
      return
    }
    this.#node = await client.create(nodes, {
      metadata: {
        name: nodeName,
        labels: { ...wanted, ...labels },
        annotations: {
          'volumes.kubernetes.io/controller-managed-attach-detach': 'true',
          ...annotations,
        },
      },
      spec: {
        ...(podCidrs[0] === undefined ? {} : { podCIDR: podCidrs[0], podCIDRs: podCidrs }),
        ...(taints === undefined || taints.length === 0 ? {} : { taints }),
        ...(unschedulable ? { unschedulable: true } : {}),
      },
      status: await this.#status(),
    })
    this.#sent = this.#node.status
  }

  #report(options: { readonly force: boolean }): Promise<void> {
    // One at a time; who comes meanwhile gets the next one.
    const before = this.#reporting ?? Promise.resolve()
    const mine = before.catch(() => {}).then(() => this.#reportNow(options))
    this.#reporting = mine
    return mine
  }

  async #reportNow({ force }: { readonly force: boolean }): Promise<void> {
    if (this.#node === undefined) return
    const { client, env, events, nodeName } = this.#options
    const status = await this.#status()
    const due = env.clock.monotonic() - this.#sentMs >= REPORT_MS
    const { capacity = {}, allocatable } = this.#node.status ?? {}
    const gone = Object.keys(extendedOf(allocatable)).filter((name) => !(name in capacity))
    const isSaid =
      gone.length === 0 &&
      sameNodeStatus(this.#ownPart(this.#sent, status), status) &&
      showsStatus(this.#node.status, status, this.#answered)
    if (!force && !due && isSaid) return
    const before = this.#node.status?.conditions?.find(({ type }) => type === 'Ready')?.status
    const after = status.conditions?.find(({ type }) => type === 'Ready')?.status
    try {
      this.#node = await client.patch(
        nodes,
        { name: nodeName },
        'strategic',
        { status: gone.length === 0 ? status : without(status, gone) },
        {
          subresource: 'status',
        },
      )
    } catch (error) {
      if (!isStatus(error, 'NotFound')) throw error
      // Somebody deleted it: a kubelet that runs is a node.
      await this.#createNode()
    }
    this.#sent = status
    this.#answered = this.#node?.status
    this.#sentMs = env.clock.monotonic()
    if (before !== after && this.#node !== undefined) {
      const reason = after === 'True' ? 'NodeReady' : 'NodeNotReady'
      events.event(
        this.#about(this.#node),
        'Normal',
        reason,
        `Node ${nodeName} status is now: ${reason}`,
      )
    }
  }

  /** What others put there is not ours to compare. */
  #ownPart(sent: NodeStatus | undefined, ours: NodeStatus): NodeStatus | undefined {
    if (sent === undefined) return undefined
    const types = new Set((ours.conditions ?? []).map(({ type }) => type))
    const order = (ours.conditions ?? []).map(({ type }) => type)
    return {
      ...pick(sent, Object.keys(ours)),
      conditions: (sent.conditions ?? [])
        .filter(({ type }) => types.has(type))
        .toSorted((a, b) => order.indexOf(a.type) - order.indexOf(b.type)),
    }
  }

  async #status(): Promise<NodeStatus> {
    const { env, runtime, ...options } = this.#options
    let runtimeStatus: RuntimeStatus | undefined
    try {
      runtimeStatus = await runtime.status()
    } catch (error) {
      env.log.warn('The container runtime does not answer', { error: error as Error })
    }
    const input: NodeStatusInput = {
      ...options,
      runtime: options.runtimeVersion,
      runtimeStatus,
      images: this.#images,
      shuttingDown: this.#shuttingDown,
      old: this.#node?.status ?? this.#sent,
      now: env.clock.now(),
    }
    return nodeStatusOf(input)
  }

  async #renew(): Promise<void> {
    const { client, env, nodeName } = this.#options
    const renewTime = env.clock.now().toISOString().replace('Z', '000Z')
    const spec = { holderIdentity: nodeName, leaseDurationSeconds: LEASE_SECONDS, renewTime }
    const key = { namespace: LEASE_NAMESPACE, name: nodeName }
    try {
      if (this.#lease !== undefined) {
        this.#lease = await client.update(leases, {
          ...this.#lease,
          spec: { ...this.#lease.spec, ...spec },
        })
        return
      }
    } catch (error) {
      if (!isStatus(error, 'Conflict') && !isStatus(error, 'NotFound')) throw error
      this.#lease = undefined
    }
    const found = await client.getOptional(leases, key)
    if (found !== undefined) {
      this.#lease = await client.update(leases, { ...found, spec: { ...found.spec, ...spec } })
      return
    }
    const owner = this.#node
    this.#lease = await client.create(leases, {
      metadata: {
        ...key,
        ...(owner?.metadata.uid === undefined
          ? {}
          : {
              ownerReferences: [
                { apiVersion: 'v1', kind: 'Node', name: nodeName, uid: owner.metadata.uid },
              ],
            }),
      },
      spec,
    })
  }

  /** Events about nodes name them by their name, as upstream does. */
  #about(node: Node): Node {
    return {
      ...node,
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { ...node.metadata, uid: node.metadata.name },
    }
  }
}

const differing = (
  wanted: Readonly<Record<string, string>>,
  found: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(wanted).filter(([key, value]) => found[key] !== value))

function pick<T extends object>(value: T, keys: readonly string[]): Partial<T> {
  return Object.fromEntries(
    keys.map((key) => [key, (value as Readonly<Record<string, unknown>>)[key]]),
  ) as Partial<T>
}

/** Revisions of one object are numbers that grow (KEP-5504). */
const isNewer = (a: Node, b: Node | undefined): boolean =>
  Number(a.metadata.resourceVersion) > Number(b?.metadata.resourceVersion ?? 0)

const hasOtherExtended = (status: NodeStatus | undefined): boolean => {
  const there = extendedOf(status?.capacity)
  const free = extendedOf(status?.allocatable)
  const names = new Set([...Object.keys(there), ...Object.keys(free)])
  return [...names].some((name) => there[name] !== free[name])
}

const without = (status: NodeStatus, names: readonly string[]): object => ({
  ...status,
  allocatable: { ...status.allocatable, ...Object.fromEntries(names.map((name) => [name, null])) },
})
