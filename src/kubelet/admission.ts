/** Whether a pod that was bound to this node can run here: the node's last word. */
import { allowsNode, type Node, type Pod } from '#api'
import { amountOf } from './amounts.ts'
import { allContainers, isTerminal } from './pod/containers.ts'
import { podRequests } from './pod/resources.ts'
import { forbiddenSysctl } from './pod/security.ts'

export interface AdmissionFacts {
  /** Those that run or are to run here, without the pod itself. */
  readonly others: readonly Pod[]
  readonly node: Node | undefined
  readonly allowedSysctls: readonly string[]
  readonly userNamespaces: boolean
}

export interface Rejection {
  readonly reason: string
  readonly message: string
}

export function admit(pod: Pod, facts: AdmissionFacts): Rejection | undefined {
  const sysctl = forbiddenSysctl(pod, facts.allowedSysctls)
  if (sysctl !== undefined) {
    return rejected('SysctlForbidden', `forbidden sysctl: "${sysctl}" not allowlisted`)
  }
  if (pod.spec.hostUsers === false && !facts.userNamespaces) {
    return rejected(
      'UserNamespacesNotSupported',
      'spec.hostUsers is false, and the container runtime of this node has no user namespaces',
    )
  }
  const os = pod.spec.os?.name
  if (os !== undefined && os !== 'linux') {
    return rejected(
      'PodOSNotSupported',
      `Failed to admit pod as the OS field doesn't match node OS`,
    )
  }
  const others = facts.others.filter((other) => !isTerminal(other))
  return (
    affinityProblem(pod, facts.node) ??
    portProblem(pod, others) ??
    resourceProblem(pod, others, facts.node)
  )
}

const rejected = (reason: string, message: string): Rejection => ({
  reason,
  message: `Pod was rejected: ${message}`,
})

function affinityProblem(pod: Pod, node: Node | undefined): Rejection | undefined {
  if (node === undefined) return undefined
  if (allowsNode(pod.spec, node)) return undefined
  return rejected(
    'NodeAffinity',
    "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
  )
}

interface HostPort {
  readonly ip: string
  readonly port: number
  readonly protocol: string
}

function hostPorts(pod: Pod): readonly HostPort[] {
  const found: HostPort[] = []
  for (const [container, kind] of allContainers(pod)) {
    if (kind === 'ephemeral') continue
    // Those of init containers that end are free again before the pod serves.
    if (kind === 'init' && container.restartPolicy !== 'Always') continue
    for (const { containerPort, hostPort = 0, hostIP = '', protocol = 'TCP' } of container.ports ??
      []) {
      const port = pod.spec.hostNetwork === true ? hostPort || containerPort : hostPort
      if (port > 0) found.push({ ip: hostIP === '' ? '0.0.0.0' : hostIP, port, protocol })
    }
  }
  return found
}

const anywhere = (ip: string): boolean => ip === '0.0.0.0' || ip === '::'

function portProblem(pod: Pod, others: readonly Pod[]): Rejection | undefined {
  const wanted = hostPorts(pod)
  if (wanted.length === 0) return undefined
  const taken = others.flatMap(hostPorts)
  const clash = wanted.some((mine) =>
    taken.some(
      (theirs) =>
        mine.port === theirs.port &&
        mine.protocol === theirs.protocol &&
        (mine.ip === theirs.ip || anywhere(mine.ip) || anywhere(theirs.ip)),
    ),
  )
  if (!clash) return undefined
  return rejected(
    'NodePorts',
    "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
  )
}

function resourceProblem(
  pod: Pod,
  others: readonly Pod[],
  node: Node | undefined,
): Rejection | undefined {
  const allocatable = node?.status?.allocatable
  if (allocatable === undefined) return undefined
  const podsCapacity = amountOf(allocatable['pods'])
  if (others.length + 1 > podsCapacity) {
    return shortOf('pods', 1, others.length, podsCapacity)
  }
  const used: Record<string, number> = {}
  for (const other of others) {
    for (const [name, amount] of Object.entries(podRequests(other))) {
      used[name] = (used[name] ?? 0) + amount
    }
  }
  for (const [name, amount] of Object.entries(podRequests(pod))) {
    if (amount === 0) continue
    const capacity = amountOf(allocatable[name])
    // Cores are counted in thousandths: what is finer is noise.
    if ((used[name] ?? 0) + amount <= capacity + 1e-6) continue
    const unit = name === 'cpu' ? 1000 : 1
    return shortOf(
      name,
      Math.round(amount * unit),
      Math.round((used[name] ?? 0) * unit),
      Math.round(capacity * unit),
    )
  }
  return undefined
}

export interface NoRoom {
  readonly reason: 'Infeasible' | 'Deferred'
  readonly message: string
}

/** Whether a pod of this node can have what it asks for now. */
export function roomFor(
  pod: Pod,
  { others, node }: Pick<AdmissionFacts, 'others' | 'node'>,
): NoRoom | undefined {
  const requests = podRequests(pod)
  const allocatable = node?.status?.allocatable ?? {}
  for (const [name, unit] of [
    ['memory', 1],
    ['cpu', 1000],
  ] as const) {
    const [requested, capacity] = [requests[name] ?? 0, amountOf(allocatable[name])].map((amount) =>
      Math.round(amount * unit),
    ) as [number, number]
    if (allocatable[name] === undefined || requested <= capacity) continue
    return {
      reason: 'Infeasible',
      message: `Node didn't have enough capacity: ${name}, requested: ${requested}, capacity: ${capacity}`,
    }
  }
  const problem = resourceProblem(
    pod,
    others.filter((other) => !isTerminal(other)),
    node,
  )
  if (problem === undefined) return undefined
  return { reason: 'Deferred', message: problem.message.replace(/^Pod was rejected: /, '') }
}

const shortOf = (name: string, requested: number, used: number, capacity: number): Rejection =>
  rejected(
    `OutOf${name}`,
    `Node didn't have enough resource: ${name}, requested: ${requested}, used: ${used}, capacity: ${capacity}`,
  )
