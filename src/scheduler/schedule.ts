/** Where a pod should run: the whole decision, without waiting and without side effects. */
import type { Random } from '#base'
import { isSuccess, type Verdict } from './framework.ts'
import type { Framework, PreparedFilters } from './framework-run.ts'
import type { NodeInfo } from './node-info.ts'
import type { PodInfo } from './pod-info.ts'
import type { Snapshot } from './snapshot.ts'

export type Decision =
  | {
      readonly node: NodeInfo
      readonly score: number
      readonly feasible: number
      readonly looked: number
    }
  | { readonly node: undefined; readonly diagnosis: Diagnosis }

/** Why no node will do. */
export interface Diagnosis {
  readonly nodeCount: number
  /** What refused the pod whatever the node. */
  readonly refusal: Verdict | undefined
  /** By node name, for the nodes that were looked at. */
  readonly nodes: ReadonlyMap<string, Verdict>
  /** For nodes that were not. */
  readonly others: Verdict | undefined
  readonly refusedBy: ReadonlySet<string>
}

export interface ScheduleContext {
  readonly snapshot: Snapshot
  readonly framework: Framework
  readonly random: Pick<Random, 'next'>
  /** Where the last look ended; the next one goes on there. */
  readonly start: number
}

/** In small clusters all nodes are looked at. */
const MIN_FEASIBLE = 100
const MIN_PERCENT = 5

/** Enough nodes to choose from: half of a hundred nodes, a tenth of five thousand. */
export function feasibleEnough(nodeCount: number): number {
  if (nodeCount < MIN_FEASIBLE) return nodeCount
  const percent = Math.max(MIN_PERCENT, 50 - Math.floor(nodeCount / 125))
  return Math.max(MIN_FEASIBLE, Math.floor((nodeCount * percent) / 100))
}

export function schedule(pod: PodInfo, context: ScheduleContext): Decision {
  const { snapshot, framework } = context
  const prepared = framework.prepareFilters(pod, snapshot)
  const { refusal } = prepared
  if (refusal !== undefined) return refusedForAll(snapshot, refusal)
  const found = findFeasible(pod, prepared, context)
  if (found.nodes.length === 0) return noneFound(snapshot, prepared, found.refusals)
  const { node, score } = choose(pod, found.nodes, context)
  return { node, score, feasible: found.nodes.length, looked: found.looked }
}

/** Whether the pod may run on the node, also once the pods for which room was made there have come. */
export function filterWithNominated(
  pod: PodInfo,
  node: NodeInfo,
  { framework, snapshot }: Pick<ScheduleContext, 'framework' | 'snapshot'>,
  prepared: PreparedFilters,
): Verdict {
  if (!snapshot.hasNominations) return prepared.filter(node)
  const coming = snapshot
    .nominatedTo(node.name)
    .filter(
      (other) =>
        other.uid !== pod.uid &&
        other.priority >= pod.priority &&
        snapshot.placeOf(other.uid) === undefined,
    )
  if (coming.length === 0) return prepared.filter(node)
  const verdict = snapshot.with(coming, node, () => {
    const { refusal, filter } = framework.prepareFilters(pod, snapshot)
    return refusal ?? filter(node)
  })
  return isSuccess(verdict) ? prepared.filter(node) : verdict
}

interface Found {
  readonly nodes: readonly NodeInfo[]
  readonly refusals: ReadonlyMap<string, Verdict>
  readonly looked: number
}

export function findFeasible(
  pod: PodInfo,
  prepared: PreparedFilters,
  context: ScheduleContext,
): Found {
  const { snapshot, start } = context
  const all = snapshot.nodes
  const refusals = new Map<string, Verdict>()
  const look = (node: NodeInfo): boolean => {
    const verdict = filterWithNominated(pod, node, context, prepared)
    if (isSuccess(verdict)) return true
    refusals.set(node.name, verdict)
    return false
  }
  // Room was made for it there: that is where it should go.
  const nominated = snapshot.node(snapshot.nominationOf(pod.uid) ?? '')
  if (nominated !== undefined && (prepared.nodes?.has(nominated.name) ?? true) && look(nominated))
    return { nodes: [nominated], refusals, looked: 0 }
  if (prepared.nodes !== undefined) {
    const nodes: NodeInfo[] = []
    for (const name of prepared.nodes) {
      const node = snapshot.node(name)
      if (node !== undefined && look(node)) nodes.push(node)
    }
    return { nodes, refusals, looked: 0 }
  }
  const enough = feasibleEnough(all.length)
  const nodes: NodeInfo[] = []
  let looked = 0
  while (looked < all.length && nodes.length < enough) {
    const node = all[(start + looked++) % all.length] as NodeInfo
    if (look(node)) nodes.push(node)
  }
  return { nodes, refusals, looked }
}

function choose(
  pod: PodInfo,
  nodes: readonly NodeInfo[],
  { snapshot, framework, random }: ScheduleContext,
): { node: NodeInfo; score: number } {
  const first = nodes[0] as NodeInfo
  if (nodes.length === 1) return { node: first, score: 0 }
  const scores = framework.prepareScores(pod, nodes, snapshot).score(nodes)
  let best = first
  let highest = -Infinity
  let equals = 0
  for (const [at, node] of nodes.entries()) {
    const score = scores[at] as number
    if (score < highest) continue
    equals = score > highest ? 1 : equals + 1
    // Each of the best has the same chance.
    if (equals === 1 || random.next() * equals < 1) best = node
    highest = score
  }
  return { node: best, score: highest }
}

function refusedForAll(snapshot: Snapshot, refusal: Verdict): Decision {
  const refusedBy = new Set(refusal.plugin === undefined ? [] : [refusal.plugin])
  const nodeCount = snapshot.nodes.length
  return {
    node: undefined,
    diagnosis: { nodeCount, refusal, nodes: new Map(), others: refusal, refusedBy },
  }
}

function noneFound(
  snapshot: Snapshot,
  { nodes, narrowedBy }: PreparedFilters,
  refusals: ReadonlyMap<string, Verdict>,
): Decision {
  const refusedBy = new Set<string>()
  for (const { plugin } of refusals.values()) if (plugin !== undefined) refusedBy.add(plugin)
  for (const plugin of narrowedBy) refusedBy.add(plugin)
  const others: Verdict | undefined =
    nodes === undefined
      ? undefined
      : {
          code: 'unresolvable',
          reasons: [`node(s) didn't satisfy plugin(s) [${narrowedBy.toSorted().join(' ')}]`],
        }
  return {
    node: undefined,
    diagnosis: {
      nodeCount: snapshot.nodes.length,
      refusal: undefined,
      nodes: refusals,
      others,
      refusedBy,
    },
  }
}
