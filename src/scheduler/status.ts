/** What the scheduler writes into a pod's status. */
import type { Pod, PodCondition } from '#api'

export interface ConditionInput {
  readonly type: 'PodScheduled' | 'DisruptionTarget'
  readonly status: 'True' | 'False'
  readonly reason: string
  readonly message: string
}

/** A patch of the status; undefined when the pod has the condition already, and the nomination as well. */
export function statusPatch(
  pod: Pod,
  condition: ConditionInput,
  {
    now,
    nominatedNodeName,
  }: { readonly now: Date; readonly nominatedNodeName?: string | undefined },
): { readonly status: object } | undefined {
  const old = pod.status?.conditions?.find(({ type }) => type === condition.type)
  const nominates =
    nominatedNodeName !== undefined && nominatedNodeName !== (pod.status?.nominatedNodeName ?? '')
  if (isSame(old, condition) && !nominates) return undefined
  const { generation } = pod.metadata
  const time = now.toISOString().replace(/\.\d+Z$/, 'Z')
  return {
    status: {
      conditions: [
        {
          ...condition,
          lastProbeTime: null,
          lastTransitionTime: old?.status === condition.status ? old.lastTransitionTime : time,
          ...(generation !== undefined && { observedGeneration: generation }),
        },
      ],
      ...(nominates && { nominatedNodeName: nominatedNodeName === '' ? null : nominatedNodeName }),
    },
  }
}

const isSame = (
  old: PodCondition | undefined,
  { status, reason, message }: ConditionInput,
): boolean => old?.status === status && old.reason === reason && old.message === message
