import {
  definePlugin,
  MAX_SCORE,
  skip,
  success,
  unresolvable,
  unschedulable,
} from '../framework.ts'
import type { NodeInfo } from '../node-info.ts'
import type { DomainCounts } from '../pod-counts.ts'
import type { AffinityTerm, PodInfo } from '../pod-info.ts'
import type { Snapshot } from '../snapshot.ts'

const NO_AFFINITY = unresolvable("node(s) didn't match pod affinity rules")
const ANTI_AFFINITY = unschedulable("node(s) didn't match pod anti-affinity rules")
const OTHERS_ANTI_AFFINITY = unschedulable(
  "node(s) didn't satisfy existing pods anti-affinity rules",
)
/** What a required affinity of a pod that is there counts for the one that comes. */
const HARD_AFFINITY_WEIGHT = 1

interface Domains {
  readonly topologyKey: string
  readonly counts: DomainCounts
}
interface Rules {
  /** Domains that pods already there do not want this pod in. */
  readonly refused: readonly Domains[]
  readonly wanted: readonly Domains[]
  readonly unwanted: readonly Domains[]
  /** Nobody matches yet, but the pod itself would: it may be the first of its group. */
  readonly isFirst: boolean
}

const hasAny = ({ labels }: NodeInfo, { topologyKey, counts }: Domains): boolean => {
  const domain = labels[topologyKey]
  return domain !== undefined && counts.has(domain)
}

const countsOf = (snapshot: Snapshot, terms: readonly AffinityTerm[]): readonly Domains[] =>
  terms.map((term) => ({
    topologyKey: term.topologyKey,
    counts: snapshot.countTerm(term).domains(term.topologyKey),
  }))

/** A pod counts for affinity only where it matches all of the terms. */
function countsOfAll(snapshot: Snapshot, terms: readonly AffinityTerm[]): readonly Domains[] {
  if (terms.length <= 1) return countsOf(snapshot, terms)
  const together = snapshot.count(`all ${terms.map(({ id }) => id).join()}`, (pod) =>
    terms.every(({ matches }) => matches(pod, snapshot.namespaceLabels)),
  )
  return terms.map(({ topologyKey }) => ({ topologyKey, counts: together.domains(topologyKey) }))
}

function rulesFor(pod: PodInfo, snapshot: Snapshot): Rules {
  const { namespaceLabels } = snapshot
  const refused: Domains[] = []
  for (const { term, owners } of snapshot.owned('requiredAntiAffinity'))
    if (term.matches(pod, namespaceLabels))
      refused.push({ topologyKey: term.topologyKey, counts: owners.domains(term.topologyKey) })
  const wanted = countsOfAll(snapshot, pod.requiredAffinity)
  return {
    refused,
    wanted,
    unwanted: countsOf(snapshot, pod.requiredAntiAffinity),
    isFirst:
      wanted.every(({ counts }) => counts.size === 0) &&
      pod.requiredAffinity.every(({ matches }) => matches(pod, namespaceLabels)),
  }
}

interface Weight extends Domains {
  readonly weight: number
}

function weightsFor(pod: PodInfo, snapshot: Snapshot): readonly Weight[] {
  const { namespaceLabels } = snapshot
  const weights: Weight[] = []
  const own = (terms: PodInfo['preferredAffinity'], sign: 1 | -1) => {
    for (const [at, domains] of countsOf(snapshot, terms).entries())
      weights.push({ ...domains, weight: sign * (terms[at]?.weight ?? 0) })
  }
  own(pod.preferredAffinity, 1)
  own(pod.preferredAntiAffinity, -1)
  for (const [kind, factor] of [
    ['preferred', 1],
    ['requiredAffinity', HARD_AFFINITY_WEIGHT],
  ] as const)
    for (const { term, weight, owners } of snapshot.owned(kind))
      if (term.matches(pod, namespaceLabels))
        weights.push({
          topologyKey: term.topologyKey,
          counts: owners.domains(term.topologyKey),
          weight: weight * factor,
        })
  return weights.filter(({ counts, weight }) => counts.size > 0 && weight !== 0)
}

/** Places pods near the pods they want, and away from those they do not, in both directions. */
export const interPodAffinity = definePlugin<Rules, readonly Weight[]>({
  name: 'InterPodAffinity',
  weight: 2,
  retryOn: ['node/add', 'node/labels', 'pod/assigned', 'pod/deleted', 'pod/labels', 'namespace'],
  preFilter(pod, snapshot) {
    const rules = rulesFor(pod, snapshot)
    const { refused, wanted, unwanted } = rules
    return refused.length + wanted.length + unwanted.length === 0 ? skip : { state: rules }
  },
  filter(_pod, node, { refused, wanted, unwanted, isFirst }) {
    for (const { topologyKey } of wanted)
      if (node.labels[topologyKey] === undefined) return NO_AFFINITY
    if (!isFirst && !wanted.every((domains) => hasAny(node, domains))) return NO_AFFINITY
    if (unwanted.some((domains) => hasAny(node, domains))) return ANTI_AFFINITY
    return refused.some((domains) => hasAny(node, domains)) ? OTHERS_ANTI_AFFINITY : success
  },
  preScore(pod, _nodes, snapshot) {
    const weights = weightsFor(pod, snapshot)
    return weights.length === 0 ? skip : { state: weights }
  },
  score(_pod, { labels }, weights) {
    let score = 0
    for (const { topologyKey, counts, weight } of weights) {
      const domain = labels[topologyKey]
      if (domain !== undefined) score += (counts.get(domain) ?? 0) * weight
    }
    return score
  },
  normalizeScores(scores) {
    const lowest = Math.min(...scores)
    const spread = Math.max(...scores) - lowest
    for (let at = 0; at < scores.length; at++)
      scores[at] =
        spread === 0 ? 0 : Math.floor((MAX_SCORE * ((scores[at] as number) - lowest)) / spread)
  },
})
