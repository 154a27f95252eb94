import type { TopologySpreadConstraint } from '#api'
import type { LabelSelector } from '#machinery'
import {
  definePlugin,
  MAX_SCORE,
  skip,
  success,
  unresolvable,
  unschedulable,
} from '../framework.ts'
import type { NodeInfo } from '../node-info.ts'
import type { PodCounts } from '../pod-counts.ts'
import { withLabelKeys, type PodInfo } from '../pod-info.ts'
import { compileSelector, isHard, isTolerated } from '../selectors.ts'
import type { Snapshot } from '../snapshot.ts'

const NO_LABEL = unresolvable(
  "node(s) didn't match pod topology spread constraints (missing required label)",
)
const SKEWED = unschedulable("node(s) didn't match pod topology spread constraints")
const HOSTNAME = 'kubernetes.io/hostname'

/** For pods without constraints of their own that belong to a Service or a workload. */
const DEFAULTS = [
  { topologyKey: HOSTNAME, maxSkew: 3, whenUnsatisfiable: 'ScheduleAnyway' },
  { topologyKey: 'topology.kubernetes.io/zone', maxSkew: 5, whenUnsatisfiable: 'ScheduleAnyway' },
] as const satisfies readonly TopologySpreadConstraint[]

interface Constraint {
  readonly topologyKey: string
  readonly maxSkew: number
  readonly minDomains: number
  readonly counts: PodCounts
  /** 1 when the pod itself is among those it counts. */
  readonly self: 0 | 1
  readonly isEligible: (node: NodeInfo) => boolean
  /** All nodes that exist are eligible, so that the running counts say all. */
  readonly allEligible: boolean
}

function compile(
  constraint: TopologySpreadConstraint,
  pod: PodInfo,
  snapshot: Snapshot,
): Constraint {
  const { topologyKey, maxSkew, minDomains = 1, nodeAffinityPolicy, nodeTaintsPolicy } = constraint
  const selector = withLabelKeys(constraint, pod.labels)
  const selects = compileSelector(selector)
  const { namespace, nodeAffinity, tolerations } = pod
  const matches = (other: PodInfo) =>
    other.namespace === namespace && !other.isTerminating && selects(other.labels)
  const honorsAffinity = nodeAffinityPolicy !== 'Ignore' && nodeAffinity !== undefined
  const honorsTaints = nodeTaintsPolicy === 'Honor'
  return {
    topologyKey,
    maxSkew,
    minDomains,
    counts: snapshot.count(`spread ${namespace} ${JSON.stringify(selector ?? 0)}`, matches),
    self: selects(pod.labels) ? 1 : 0,
    allEligible: !honorsAffinity && !honorsTaints,
    isEligible: ({ node, taints }) =>
      node !== undefined &&
      (!honorsAffinity || nodeAffinity(node)) &&
      (!honorsTaints || !taints.some((taint) => isHard(taint) && !isTolerated(taint, tolerations))),
  }
}

/** A hard constraint with the domains it counts: those of eligible nodes that have the labels of all. */
interface Hard extends Constraint {
  readonly domains: ReadonlyMap<string, number>
  readonly lowest: number
}

function withDomains(constraint: Constraint, keys: readonly string[], snapshot: Snapshot): Hard {
  const { topologyKey, counts, minDomains, allEligible, isEligible } = constraint
  const domains = new Map<string, number>()
  for (const node of snapshot.nodes) {
    const domain = node.labels[topologyKey]
    if (domain === undefined || keys.some((key) => node.labels[key] === undefined)) continue
    if (!allEligible && !isEligible(node)) continue
    domains.set(domain, (domains.get(domain) ?? 0) + counts.onNode(node))
  }
  let lowest = domains.size < minDomains ? 0 : Infinity
  for (const count of domains.values()) lowest = Math.min(lowest, count)
  return { ...constraint, domains, lowest: lowest === Infinity ? 0 : lowest }
}

/** A soft constraint, with what a pod more in each domain costs. */
interface Soft extends Constraint {
  readonly domains: ReadonlyMap<string, number>
  readonly weight: number
}
interface SoftRules {
  readonly constraints: readonly Soft[]
  /** A node without the labels of all constraints gets nothing. */
  readonly requireAll: boolean
}

const isIgnored = ({ labels }: NodeInfo, constraints: readonly Constraint[]): boolean =>
  constraints.some(({ topologyKey }) => labels[topologyKey] === undefined)

function softRules(
  constraints: readonly Constraint[],
  nodes: readonly NodeInfo[],
  requireAll: boolean,
): SoftRules {
  const taken = requireAll ? nodes.filter((node) => !isIgnored(node, constraints)) : nodes
  return {
    requireAll,
    constraints: constraints.map((constraint) => {
      const { topologyKey, counts, allEligible, isEligible } = constraint
      const domains = new Map<string, number>()
      let size: number
      if (topologyKey === HOSTNAME) size = taken.length
      else {
        for (const { labels } of taken) {
          const domain = labels[topologyKey]
          if (domain !== undefined) domains.set(domain, 0)
        }
        size = domains.size
        for (const [node, count] of counts.nodes) {
          const domain = node.labels[topologyKey]
          const before = domain === undefined ? undefined : domains.get(domain)
          if (domain === undefined || before === undefined || node.node === undefined) continue
          if (requireAll && isIgnored(node, constraints)) continue
          if (allEligible || isEligible(node)) domains.set(domain, before + count)
        }
      }
      return { ...constraint, domains, weight: Math.log(size + 2) }
    }),
  }
}

export interface SpreadOptions {
  /** Selects the pods that belong to the same Services and workloads; undefined when it belongs to none. */
  readonly selectorFor: (pod: PodInfo) => LabelSelector | undefined
}

/** Spreads the pods of a group over hosts, zones or other domains. */
export const podTopologySpread = ({ selectorFor }: SpreadOptions) => {
  const constraintsOf = (pod: PodInfo, when: TopologySpreadConstraint['whenUnsatisfiable']) =>
    (pod.pod.spec.topologySpreadConstraints ?? []).filter(
      ({ whenUnsatisfiable }) => whenUnsatisfiable === when,
    )
  return definePlugin<readonly Hard[], SoftRules>({
    name: 'PodTopologySpread',
    weight: 2,
    retryOn: [
      'node/add',
      'node/labels',
      'node/taints',
      'pod/assigned',
      'pod/deleted',
      'pod/labels',
    ],
    preFilter(pod, snapshot) {
      const hard = constraintsOf(pod, 'DoNotSchedule')
      if (hard.length === 0) return skip
      const keys = hard.map(({ topologyKey }) => topologyKey)
      return {
        state: hard.map((constraint) =>
          withDomains(compile(constraint, pod, snapshot), keys, snapshot),
        ),
      }
    },
    filter(_pod, { labels }, constraints) {
      for (const { topologyKey, domains, lowest, self, maxSkew } of constraints) {
        const domain = labels[topologyKey]
        if (domain === undefined) return NO_LABEL
        if ((domains.get(domain) ?? 0) + self - lowest > maxSkew) return SKEWED
      }
      return success
    },
    preScore(pod, nodes, snapshot) {
      const own = pod.pod.spec.topologySpreadConstraints ?? []
      let constraints: readonly TopologySpreadConstraint[] = constraintsOf(pod, 'ScheduleAnyway')
      if (own.length === 0) {
        const labelSelector = selectorFor(pod)
        if (labelSelector === undefined) return skip
        constraints = DEFAULTS.map((constraint) => ({ ...constraint, labelSelector }))
      }
      if (constraints.length === 0) return skip
      const compiled = constraints.map((constraint) => compile(constraint, pod, snapshot))
      return { state: softRules(compiled, nodes, own.length > 0) }
    },
    score(_pod, node, { constraints, requireAll }) {
      // Marked for normalization, which gives it nothing.
      if (requireAll && isIgnored(node, constraints)) return -1
      let score = 0
      for (const { topologyKey, counts, domains, weight, maxSkew } of constraints) {
        const domain = node.labels[topologyKey]
        if (domain === undefined) continue
        const count = topologyKey === HOSTNAME ? counts.onNode(node) : (domains.get(domain) ?? 0)
        score += count * weight + (maxSkew - 1)
      }
      return Math.round(score)
    },
    normalizeScores(scores) {
      const counted = scores.filter((score) => score >= 0)
      const highest = Math.max(0, ...counted)
      const lowest = Math.min(...counted)
      for (let at = 0; at < scores.length; at++) {
        const score = scores[at] as number
        if (score < 0) scores[at] = 0
        else if (highest === 0) scores[at] = MAX_SCORE
        else scores[at] = Math.floor((MAX_SCORE * (highest + lowest - score)) / highest)
      }
    },
  })
}
