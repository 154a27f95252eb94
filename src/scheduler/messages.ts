/** What users read in events and conditions, in Kubernetes' words. */
import type { Diagnosis } from './schedule.ts'

/** `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s).` */
export function describeFailure(
  { nodeCount, refusal, nodes, others }: Diagnosis,
  preemption = '',
): string {
  if (nodeCount === 0) return 'no nodes available to schedule pods'
  let text = `0/${nodeCount} nodes are available:`
  if (refusal !== undefined) text += ` ${refusal.reasons.join(', ')}.`
  else {
    const counts = new Map<string, number>()
    const count = (reason: string, by: number) => counts.set(reason, (counts.get(reason) ?? 0) + by)
    for (const { reasons } of nodes.values()) for (const reason of reasons) count(reason, 1)
    if (nodes.size < nodeCount)
      for (const reason of others?.reasons ?? []) count(reason, nodeCount - nodes.size)
    const parts = [...counts].map(([reason, number]) => `${number} ${reason}`)
    if (parts.length > 0) text += ` ${parts.toSorted(byBytes).join(', ')}.`
  }
  return preemption === '' ? text : `${text} ${preemption}`
}

const byBytes = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
