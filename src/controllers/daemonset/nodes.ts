/** On which nodes a DaemonSet's pod belongs: the scheduler's own rules, as far as they concern a single pod. */
import { allowsNode, type Node, type Pod, type PodSpec, type Taint, type Toleration } from '#api'

const TOLERATED: readonly (readonly [key: string, effect: 'NoExecute' | 'NoSchedule'])[] = [
  ['node.kubernetes.io/not-ready', 'NoExecute'],
  ['node.kubernetes.io/unreachable', 'NoExecute'],
  ['node.kubernetes.io/disk-pressure', 'NoSchedule'],
  ['node.kubernetes.io/memory-pressure', 'NoSchedule'],
  ['node.kubernetes.io/pid-pressure', 'NoSchedule'],
  ['node.kubernetes.io/unschedulable', 'NoSchedule'],
]

/** Daemons run where other pods may not: on nodes that are troubled or closed. */
function daemonTolerations(spec: PodSpec): readonly Toleration[] {
  const tolerations: Toleration[] = [...(spec.tolerations ?? [])]
  const wanted = [
    ...TOLERATED,
    ...(spec.hostNetwork === true
      ? ([['node.kubernetes.io/network-unavailable', 'NoSchedule']] as const)
      : []),
  ]
  for (const [key, effect] of wanted) {
    const made: Toleration = { key, operator: 'Exists', effect }
    const known = tolerations.findIndex((each) => each.key === key && each.effect === effect)
    if (known < 0) tolerations.push(made)
    else tolerations[known] = made
  }
  return tolerations
}

const FIELD = 'metadata.name'

/** Binds a pod to one node through the scheduler, in place of what its affinity says of node names. */
export function pinned(spec: PodSpec, node: string): PodSpec {
  const matchFields = [{ key: FIELD, operator: 'In' as const, values: [node] }]
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
  const terms = required?.nodeSelectorTerms ?? []
  const nodeSelectorTerms =
    terms.length === 0 ? [{ matchFields }] : terms.map((term) => ({ ...term, matchFields }))
  return {
    ...spec,
    tolerations: daemonTolerations(spec),
    affinity: {
      ...spec.affinity,
      nodeAffinity: {
        ...spec.affinity?.nodeAffinity,
        requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms },
      },
    },
  }
}

/** The node that a pod is on, or is bound for. */
export function nodeOf({ spec }: Pod): string | undefined {
  if (spec.nodeName) return spec.nodeName
  const terms =
    spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms
  for (const { matchFields } of terms ?? [])
    for (const { key, operator, values } of matchFields ?? [])
      if (key === FIELD && operator === 'In' && values?.length === 1) return values[0]
  return undefined
}

export interface Fit {
  readonly shouldRun: boolean
  /** Whether one that is there may stay. */
  readonly mayStay: boolean
}

export function fits(spec: PodSpec, node: Node): Fit {
  const no: Fit = { shouldRun: false, mayStay: false }
  if (spec.nodeName && spec.nodeName !== node.metadata.name) return no
  if (!allowsNode(spec, node)) return no
  const tolerations = daemonTolerations(spec)
  const untolerated = (node.spec.taints ?? []).filter(
    (taint) => !tolerations.some((each) => tolerates(each, taint)),
  )
  return {
    shouldRun: !untolerated.some(({ effect }) => effect !== 'PreferNoSchedule'),
    mayStay: !untolerated.some(({ effect }) => effect === 'NoExecute'),
  }
}

const tolerates = ({ key, operator, value, effect }: Toleration, taint: Taint): boolean =>
  (!effect || effect === taint.effect) &&
  (!key || key === taint.key) &&
  (operator === 'Exists' || (value ?? '') === (taint.value ?? ''))
