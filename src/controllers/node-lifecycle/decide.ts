/** What a node's heartbeats and conditions say, as conditions and taints. */
import { timestamp } from '#machinery'
import { nodes, pods, type Node, type NodeCondition, type Pod, type Taint } from '#api'
import {
  event,
  isTerminating,
  patch,
  updateStatus,
  type Action,
  type Decision,
} from '../framework/index.ts'

export interface Observed {
  readonly node: Node
  /** For how long nothing was heard of it, in milliseconds. */
  readonly silentMs: number
  /** It was not there when we last looked, or we look for the first time. */
  readonly isNew: boolean
  /** No node at all is ready: the fault is rather ours than theirs, and nobody is driven away. */
  readonly allSilent: boolean
  /** Of the node. */
  readonly pods: readonly Pod[]
}

/** Without a heartbeat for so long, a node is not known to live. */
export const GRACE_MS = 50_000
/** A node that has not said yet how it is has so long from its creation. */
const STARTUP_GRACE_MS = 60_000

const NOT_READY = 'node.kubernetes.io/not-ready'
const UNREACHABLE = 'node.kubernetes.io/unreachable'
const UNSCHEDULABLE = 'node.kubernetes.io/unschedulable'
const PRESSURES: Readonly<Record<string, string>> = {
  MemoryPressure: 'node.kubernetes.io/memory-pressure',
  DiskPressure: 'node.kubernetes.io/disk-pressure',
  PIDPressure: 'node.kubernetes.io/pid-pressure',
  NetworkUnavailable: 'node.kubernetes.io/network-unavailable',
}
const OURS = new Set([NOT_READY, UNREACHABLE, UNSCHEDULABLE, ...Object.values(PRESSURES)])
const KUBELETS = ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure']

const conditionOf = ({ status }: Node, type: string): NodeCondition | undefined =>
  status?.conditions?.find((c) => c.type === type)

export function decide(observed: Observed, now: Date): Decision {
  const { node, isNew } = observed
  if (isTerminating(node)) return { actions: [] }
  const { actions, ...later } = judge(observed, now)
  return { actions: [...(isNew ? [welcome(node)] : []), ...actions], ...later }
}

const welcome = (node: Node): Action => {
  const { name } = node.metadata
  const message = `Node ${name} event: Registered Node ${name} in Controller`
  return event(node, 'Normal', 'RegisteredNode', message)
}

function judge(observed: Observed, now: Date): Decision {
  const { node, silentMs, pods: own } = observed
  const ready = conditionOf(node, 'Ready')?.status
  const grace = ready === undefined ? STARTUP_GRACE_MS : GRACE_MS
  const left = grace - silentMs
  if (left <= 0) return silent(observed, now)
  return {
    actions: [...taint(observed, now), ...(ready === 'True' ? [] : markPods(own, now))],
    requeueAfterMs: left,
  }
}

/** Nothing is heard of the node: its conditions are unknown. */
function silent(observed: Observed, now: Date): Decision {
  const { node, pods: own } = observed
  const time = timestamp(now)
  const conditions = KUBELETS.map((type): NodeCondition => {
    const old = conditionOf(node, type)
    if (old?.status === 'Unknown') return old
    return old === undefined
      ? {
          type,
          status: 'Unknown',
          reason: 'NodeStatusNeverUpdated',
          message: 'Kubelet never posted node status.',
          lastHeartbeatTime: node.metadata.creationTimestamp,
          lastTransitionTime: time,
        }
      : {
          ...old,
          status: 'Unknown',
          reason: 'NodeStatusUnknown',
          message: 'Kubelet stopped posting node status.',
          lastTransitionTime: time,
        }
  })
  const others = (node.status?.conditions ?? []).filter(({ type }) => !KUBELETS.includes(type))
  const changes = updateStatus(nodes, node, {
    ...node.status,
    conditions: [...conditions, ...others],
  })
  if (changes.length > 0) {
    const news = event(
      node,
      'Normal',
      'NodeNotReady',
      `Node ${node.metadata.name} status is now: NodeNotReady`,
    )
    return {
      actions: [...changes, ...(conditionOf(node, 'Ready')?.status === 'True' ? [news] : [])],
    }
  }
  return { actions: [...taint(observed, now), ...markPods(own, now)] }
}

/** The taints that follow from the conditions; those of others stay. */
function taint({ node, allSilent }: Observed, now: Date): readonly Action[] {
  const wanted: Taint[] = []
  const ready = conditionOf(node, 'Ready')?.status
  // A node that has not said anything yet is not judged.
  if (ready !== undefined && ready !== 'True') {
    const key = ready === 'False' ? NOT_READY : UNREACHABLE
    wanted.push({ key, effect: 'NoSchedule' })
    if (!allSilent) wanted.push({ key, effect: 'NoExecute' })
  }
  for (const [type, key] of Object.entries(PRESSURES))
    if (conditionOf(node, type)?.status === 'True') wanted.push({ key, effect: 'NoSchedule' })
  if (node.spec.unschedulable === true) wanted.push({ key: UNSCHEDULABLE, effect: 'NoSchedule' })
  const present = node.spec.taints ?? []
  const known = (a: Taint): Taint | undefined =>
    present.find((b) => b.key === a.key && b.effect === a.effect)
  const others = present.filter(({ key }) => !OURS.has(key))
  const ours = wanted.map((each) => known(each) ?? { ...each, timeAdded: timestamp(now) })
  const same =
    ours.length + others.length === present.length && ours.every((each) => known(each) === each)
  if (same) return []
  // The version guards the list against a change meanwhile.
  return [
    patch(nodes, node, {
      metadata: { resourceVersion: node.metadata.resourceVersion },
      spec: { taints: [...others, ...ours] },
    }),
  ]
}

/** Pods of a node that is not ready take no requests. */
const markPods = (own: readonly Pod[], now: Date): readonly Action[] =>
  own
    .filter((pod) =>
      pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'),
    )
    .map((pod) =>
      patch(
        pods,
        pod,
        {
          status: {
            conditions: [{ type: 'Ready', status: 'False', lastTransitionTime: timestamp(now) }],
          },
        },
        { patchType: 'strategic', subresource: 'status' },
      ),
    )
