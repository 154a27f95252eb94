/** The plugins that need no more than a few lines each. */
import { definePlugin, skip, success, unresolvable, unschedulable } from '../framework.ts'
import { isTolerated } from '../selectors.ts'

/** Keeps pods out of the queue until their gates are taken away. */
export const schedulingGates = definePlugin({
  name: 'SchedulingGates',
  preEnqueue({ spec: { schedulingGates: gates = [] } }) {
    if (gates.length === 0) return success
    return {
      code: 'wait',
      reasons: [`waiting for scheduling gates: [${gates.map(({ name }) => name).join(' ')}]`],
    }
  },
})

/** Higher priority first. */
export const prioritySort = definePlugin({
  name: 'PrioritySort',
  compare: (a, b) => b.priority - a.priority,
})

const UNSCHEDULABLE = unresolvable('node(s) were unschedulable')
const UNSCHEDULABLE_TAINT = {
  key: 'node.kubernetes.io/unschedulable',
  effect: 'NoSchedule',
} as const

/** Keeps pods off cordoned nodes. */
export const nodeUnschedulable = definePlugin({
  name: 'NodeUnschedulable',
  isLocal: true,
  retryOn: ['node/add', 'node/taints', 'node/other'],
  mayHelp: (_pod, { node }) => node?.node?.spec?.unschedulable !== true,
  filter({ tolerations }, { node }) {
    if (node?.spec?.unschedulable !== true || isTolerated(UNSCHEDULABLE_TAINT, tolerations))
      return success
    return UNSCHEDULABLE
  },
})

const OTHER_NODE = unresolvable("node(s) didn't match the requested node name")

/** Obeys `spec.nodeName`. */
export const nodeName = definePlugin({
  name: 'NodeName',
  isLocal: true,
  retryOn: ['node/add'],
  filter({ pod: { spec } }, { name }) {
    return spec.nodeName === undefined || spec.nodeName === '' || spec.nodeName === name
      ? success
      : OTHER_NODE
  },
})

const NO_PORTS = unschedulable("node(s) didn't have free ports for the requested pod ports")

/** Keeps pods off nodes where their host ports are taken. */
export const nodePorts = definePlugin({
  name: 'NodePorts',
  isLocal: true,
  retryOn: ['node/add', 'pod/deleted'],
  mayHelp: (_pod, { name, pod }) => name === 'node/add' || (pod?.hostPorts.length ?? 0) > 0,
  preFilter: ({ hostPorts }) => (hostPorts.length === 0 ? skip : { state: undefined }),
  filter: ({ hostPorts }, node) =>
    hostPorts.some((port) => node.hasPort(port)) ? NO_PORTS : success,
})
