import type { Taint, Toleration } from '#api'
import { definePlugin, lowestIsBest, skip, success, unresolvable } from '../framework.ts'
import { isHard, isTolerated } from '../selectors.ts'

const REFUSED = unresolvable('node(s) had untolerated taint(s)')

const isSoft = (taint: Taint) => !isHard(taint)
/** Soft taints are only tolerated by tolerations that could mean them. */
const softTolerations = (tolerations: readonly Toleration[]) =>
  tolerations.filter(({ effect }) => effect === undefined || effect === 'PreferNoSchedule')

/** Keeps pods off nodes whose taints they do not tolerate, and prefers nodes with fewer soft ones. */
export const taintToleration = definePlugin<undefined, readonly Toleration[]>({
  name: 'TaintToleration',
  weight: 3,
  isLocal: true,
  retryOn: ['node/add', 'node/taints'],
  mayHelp: ({ tolerations }, { node }) =>
    node?.taints.some((taint) => isHard(taint) && !isTolerated(taint, tolerations)) !== true,
  filter({ tolerations }, { taints }) {
    if (taints.length === 0) return success
    return taints.some((taint) => isHard(taint) && !isTolerated(taint, tolerations))
      ? REFUSED
      : success
  },
  // Where there are no soft taints all nodes are equal.
  preScore: ({ tolerations }, _nodes, { hasSoftTaints }) =>
    hasSoftTaints ? { state: softTolerations(tolerations) } : skip,
  score: (_pod, { taints }, tolerations) =>
    taints.filter((taint) => isSoft(taint) && !isTolerated(taint, tolerations)).length,
  normalizeScores: lowestIsBest,
})
