/** Which nodes a pod or a volume may have: what `nodeSelectorTerms` say, for all who have to know. */
import { matchesLabels, type LabelRequirement } from '#machinery'
import type { Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec } from './types.gen.ts'

interface NamedNode {
  readonly metadata: Pick<Node['metadata'], 'name' | 'labels'>
}

/** As selectors of labels are asked. */
export const requirementsOf = (
  list: readonly NodeSelectorRequirement[] = [],
): readonly LabelRequirement[] =>
  list.map(({ key, operator, values = [] }) => ({ key, operator, values }))

/** A term without requirements is for no node. The only field is the name. */
export const matchesNodeTerm = (
  { matchExpressions = [], matchFields = [] }: NodeSelectorTerm,
  { metadata }: NamedNode,
): boolean =>
  matchExpressions.length + matchFields.length > 0 &&
  matchesLabels(requirementsOf(matchExpressions), metadata.labels) &&
  matchesLabels(requirementsOf(matchFields), { 'metadata.name': metadata.name })

/** Whether `nodeSelector` and the required node affinity allow the node. */
export function allowsNode(
  { nodeSelector = {}, affinity }: Pick<PodSpec, 'nodeSelector' | 'affinity'>,
  node: NamedNode,
): boolean {
  const { labels } = node.metadata
  if (!Object.entries(nodeSelector).every(([key, value]) => labels?.[key] === value)) return false
  const terms =
    affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms
  return terms === undefined || terms.some((term) => matchesNodeTerm(term, node))
}
