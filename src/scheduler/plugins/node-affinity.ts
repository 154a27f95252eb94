import { definePlugin, highestIsBest, skip, success, unresolvable } from '../framework.ts'
import { compileNodeTerm, requiredNodeNames, type Matches } from '../selectors.ts'
import type { Node } from '#api'

const NO_MATCH = unresolvable("node(s) didn't match Pod's node affinity/selector")
const CONFLICT = unresolvable('pod affinity terms conflict')

interface Preference {
  readonly weight: number
  readonly matches: Matches<Node>
}

/** Obeys `nodeSelector` and required node affinity, and weighs preferred node affinity. */
export const nodeAffinity = definePlugin<undefined, readonly Preference[]>({
  name: 'NodeAffinity',
  weight: 2,
  isLocal: true,
  retryOn: ['node/add', 'node/labels'],
  mayHelp: ({ nodeAffinity: matches }, { node }) =>
    matches === undefined || node?.node === undefined || matches(node.node),
  preFilter({ pod, nodeAffinity: matches }) {
    if (matches === undefined) return skip
    const nodes = requiredNodeNames(pod)
    if (nodes === undefined) return { state: undefined }
    return nodes.size === 0 ? CONFLICT : { state: undefined, nodes }
  },
  filter: ({ nodeAffinity: matches }, { node }) =>
    matches === undefined || (node !== undefined && matches(node)) ? success : NO_MATCH,
  preScore({ pod }) {
    const preferred =
      pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution
    if (preferred === undefined || preferred.length === 0) return skip
    return {
      state: preferred.map(({ weight, preference }) => ({
        weight,
        matches: compileNodeTerm(preference),
      })),
    }
  },
  score(_pod, { node }, preferences) {
    let score = 0
    for (const { weight, matches } of preferences)
      if (node !== undefined && matches(node)) score += weight
    return score
  },
  normalizeScores: highestIsBest,
})
