/** DefaultPreemption: which pods of lower priority would have to go so that this one fits, and where that hurts least. */
import type { PodDisruptionBudget } from '#api'
import { isSuccess, unresolvable, type Verdict } from './framework.ts'
import type { Framework } from './framework-run.ts'
import { describeFailure } from './messages.ts'
import type { NodeInfo } from './node-info.ts'
import type { PodInfo } from './pod-info.ts'
import { filterWithNominated, type Diagnosis } from './schedule.ts'
import { compileSelector } from './selectors.ts'
import type { Snapshot } from './snapshot.ts'

export interface PreemptionContext {
  readonly snapshot: Snapshot
  readonly framework: Framework
  readonly budgets: readonly PodDisruptionBudget[]
  /** Where the look at nodes begins. */
  readonly offset: number
}

export type Preemption =
  | { readonly node: NodeInfo; readonly victims: readonly PodInfo[] }
  /** `clear`: an older nomination is of no use any more. */
  | { readonly node: undefined; readonly message: string; readonly clear: boolean }

interface Candidate {
  readonly node: NodeInfo
  /** Highest priority first. */
  readonly victims: readonly PodInfo[]
  /** Of them, how many a disruption budget would have kept. */
  readonly violations: number
}

const NO_VICTIMS = unresolvable('No preemption victims found for incoming pod')
const NOT_HELPFUL = unresolvable('Preemption is not helpful for scheduling')
/** The word of the plugin for devices, which is asked before preemption and never has a claim to give back. */
const NO_CLAIMS = 'no new claims to deallocate, '
/** A tenth of the nodes, and no fewer than a hundred, are tried. */
const MIN_CANDIDATES = 100
const CANDIDATE_SHARE = 0.1

export function preempt(
  pod: PodInfo,
  diagnosis: Diagnosis,
  context: PreemptionContext,
): Preemption {
  const { snapshot } = context
  const refused = whyNotEligible(pod, diagnosis, snapshot)
  if (refused !== undefined)
    return { node: undefined, message: `${NO_CLAIMS}preemption: ${refused}`, clear: false }
  const { candidates, refusals } = findCandidates(pod, diagnosis, context)
  const best = chooseCandidate(candidates)
  if (best !== undefined) return { node: best.node, victims: best.victims }
  const message = describeFailure({
    nodeCount: diagnosis.nodeCount,
    refusal: undefined,
    nodes: refusals,
    others: NOT_HELPFUL,
    refusedBy: new Set(),
  })
  return { node: undefined, message: `${NO_CLAIMS}preemption: ${message}`, clear: true }
}

/** Who has made room already waits until that room is free. */
function whyNotEligible(
  { pod, uid, priority }: PodInfo,
  { nodes }: Diagnosis,
  snapshot: Snapshot,
): string | undefined {
  if (pod.spec.preemptionPolicy === 'Never') return 'not eligible due to preemptionPolicy=Never.'
  const nominated = snapshot.nominationOf(uid) ?? pod.status?.nominatedNodeName
  const node = nominated === undefined ? undefined : snapshot.node(nominated)
  if (node === undefined || nodes.get(node.name)?.code === 'unresolvable') return undefined
  for (const other of node.pods.values())
    if (other.isTerminating && other.priority < priority && isPreempted(other))
      return 'not eligible due to a terminating pod on the nominated node.'
  return undefined
}

const isPreempted = ({ pod }: PodInfo): boolean =>
  pod.status?.conditions?.some(
    ({ type, status, reason }) =>
      type === 'DisruptionTarget' && status === 'True' && reason === 'PreemptionByScheduler',
  ) ?? false

function findCandidates(pod: PodInfo, diagnosis: Diagnosis, context: PreemptionContext) {
  const { snapshot, offset } = context
  const refusals = new Map<string, Verdict>()
  const candidates: Candidate[] = []
  const { refusal, nodes, others, nodeCount } = diagnosis
  const mayHelp = ({ name }: NodeInfo) =>
    (refusal ?? nodes.get(name) ?? others ?? NOT_HELPFUL).code === 'unschedulable'
  const possible = snapshot.nodes.filter(mayHelp)
  const enough = Math.max(MIN_CANDIDATES, Math.floor(nodeCount * CANDIDATE_SHARE))
  const kept = budgetsOf(context.budgets)
  for (let at = 0; at < possible.length; at++) {
    // One that hurts no budget is good enough once there are many.
    if (candidates.length >= enough && candidates.some(({ violations }) => violations === 0)) break
    const node = possible[(offset + at) % possible.length] as NodeInfo
    const found = victimsOn(node, pod, context, kept)
    if ('code' in found) refusals.set(node.name, found)
    else candidates.push(found)
  }
  return { candidates, refusals }
}

/** The fewest and least important pods whose end makes room on the node. */
function victimsOn(
  node: NodeInfo,
  pod: PodInfo,
  { snapshot, framework }: PreemptionContext,
  budgets: readonly Budget[],
): Candidate | Verdict {
  const lower = [...node.pods.values()].filter(({ priority }) => priority < pod.priority)
  if (lower.length === 0) return { ...NO_VICTIMS }
  const fitsWithout = (gone: readonly PodInfo[]): Verdict =>
    snapshot.without(gone, node, () => {
      const prepared = framework.prepareFilters(pod, snapshot)
      return prepared.refusal ?? filterWithNominated(pod, node, { framework, snapshot }, prepared)
    })
  const emptied = fitsWithout(lower)
  if (!isSuccess(emptied)) return emptied
  // Spare as many as can stay: first those that a budget protects, then by importance.
  const important = lower.toSorted(byImportance)
  const { violating, others } = splitByBudgets(important, budgets)
  let gone: PodInfo[] = lower
  let violations = 0
  for (const [group, counts] of [
    [violating, true],
    [others, false],
  ] as const)
    for (const candidate of group) {
      const without = gone.filter((other) => other !== candidate)
      if (isSuccess(fitsWithout(without))) gone = without
      else if (counts) violations++
    }
  return { node, victims: gone.toSorted(byImportance), violations }
}

const startOf = ({ pod }: PodInfo): string => pod.status?.startTime ?? '9999'

/** Higher priority first; of equals, those that run longer. */
function byImportance(a: PodInfo, b: PodInfo): number {
  if (a.priority !== b.priority) return b.priority - a.priority
  return startOf(a) < startOf(b) ? -1 : startOf(a) > startOf(b) ? 1 : 0
}

interface Budget {
  readonly protects: (pod: PodInfo) => boolean
  readonly allowed: number
}

const budgetsOf = (budgets: readonly PodDisruptionBudget[]): readonly Budget[] =>
  budgets.map(({ metadata, spec, status }) => {
    const selects = compileSelector(spec?.selector)
    const disrupted = status?.disruptedPods ?? {}
    return {
      allowed: status?.disruptionsAllowed ?? 0,
      protects: ({ namespace, labels, pod }) =>
        namespace === metadata.namespace && selects(labels) && !(pod.metadata.name in disrupted),
    }
  })

function splitByBudgets(pods: readonly PodInfo[], budgets: readonly Budget[]) {
  const left = budgets.map(({ allowed }) => allowed)
  const violating: PodInfo[] = []
  const others: PodInfo[] = []
  for (const pod of pods) {
    let violates = false
    for (const [at, { protects }] of budgets.entries())
      if (protects(pod)) {
        left[at] = (left[at] as number) - 1
        if ((left[at] as number) < 0) violates = true
      }
    ;(violates ? violating : others).push(pod)
  }
  return { violating, others }
}

/** Numbers to compare one after the other: lower is better. */
function costOf({ victims, violations }: Candidate): readonly number[] {
  const [first] = victims
  const sum = victims.reduce((total, { priority }) => total + priority + 2 ** 31, 0)
  const oldestOfHighest = victims
    .filter(({ priority }) => priority === first?.priority)
    .reduce((oldest, victim) => Math.min(oldest, Date.parse(startOf(victim)) || Infinity), Infinity)
  // Of equals, where the oldest of the most important has started last.
  return [violations, first?.priority ?? 0, sum, victims.length, -oldestOfHighest]
}

function chooseCandidate(candidates: readonly Candidate[]): Candidate | undefined {
  let best: Candidate | undefined
  let lowest: readonly number[] = []
  for (const candidate of candidates) {
    const cost = costOf(candidate)
    if (best !== undefined && compareCosts(cost, lowest) >= 0) continue
    best = candidate
    lowest = cost
  }
  return best
}

function compareCosts(a: readonly number[], b: readonly number[]): number {
  for (const [at, cost] of a.entries()) {
    const other = b[at] as number
    if (cost !== other) return cost - other
  }
  return 0
}
