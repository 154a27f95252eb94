/** What a node's heartbeats and conditions say, as conditions and taints. */
import { nodes, pods, type Lease, type Node, type NodeCondition, type Pod, type Taint } from '#api'
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
  readonly lease: Lease | undefined
  /** Of the node. */
  readonly pods: readonly Pod[]
}

/** Without a heartbeat for so long, a node is not known to live. */
export const GRACE_MS = 50_000

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

const timeOf = (now: Date): string => `${now.toISOString().slice(0, 19)}Z`
const conditionOf = ({ status }: Node, type: string): NodeCondition | undefined =>
  status?.conditions?.find((c) => c.type === type)

export function decide({ node, lease, pods: own }: Observed, now: Date): Decision {
  if (isTerminating(node)) return { actions: [] }
  const heartbeat = Math.max(
    Date.parse(lease?.spec.renewTime ?? '') || 0,
    Date.parse(conditionOf(node, 'Ready')?.lastHeartbeatTime ?? '') || 0,
    Date.parse(node.metadata.creationTimestamp),
  )
  const left = heartbeat + GRACE_MS - now.getTime()
  if (left <= 0) return silent(node, own, now)
  const ready = conditionOf(node, 'Ready')?.status
  return {
    actions: [...taint(node, now), ...(ready === 'True' ? [] : markPods(own, now))],
    requeueAfterMs: left,
  }
}

/** Nothing is heard of the node: its conditions are unknown. */
function silent(node: Node, own: readonly Pod[], now: Date): Decision {
  const time = timeOf(now)
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
    return {
      actions: [
        ...changes,
        event(
          node,
          'Normal',
          'NodeNotReady',
          `Node ${node.metadata.name} status is now: NodeNotReady`,
        ),
      ],
    }
  }
  return { actions: [...taint(node, now), ...markPods(own, now)] }
}

/** The taints that follow from the conditions; those of others stay. */
function taint(node: Node, now: Date): readonly Action[] {
  const wanted: Taint[] = []
  const ready = conditionOf(node, 'Ready')?.status ?? 'Unknown'
  if (ready !== 'True') {
    const key = ready === 'False' ? NOT_READY : UNREACHABLE
    wanted.push({ key, effect: 'NoSchedule' }, { key, effect: 'NoExecute' })
  }
  for (const [type, key] of Object.entries(PRESSURES))
    if (conditionOf(node, type)?.status === 'True') wanted.push({ key, effect: 'NoSchedule' })
  if (node.spec.unschedulable === true) wanted.push({ key: UNSCHEDULABLE, effect: 'NoSchedule' })
  const present = node.spec.taints ?? []
  const known = (a: Taint): Taint | undefined =>
    present.find((b) => b.key === a.key && b.effect === a.effect)
  const others = present.filter(({ key }) => !OURS.has(key))
  const ours = wanted.map((each) => known(each) ?? { ...each, timeAdded: timeOf(now) })
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
            conditions: [{ type: 'Ready', status: 'False', lastTransitionTime: timeOf(now) }],
          },
        },
        { patchType: 'strategic', subresource: 'status' },
      ),
    )
