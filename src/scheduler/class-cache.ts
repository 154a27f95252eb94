/**
 * Pods of one shape follow each other, as replicas do. Where filters and scores depend on pod and node
 * alone, the nodes found for one are kept for the next, and only looked at again when they have changed.
 */
import type { Random } from '#base'
import { isSuccess } from './framework.ts'
import type { Framework } from './framework-run.ts'
import { Heap } from './heap.ts'
import type { NodeInfo } from './node-info.ts'
import { classOf, type PodInfo } from './pod-info.ts'
import { findFeasible, schedule, type Decision, type ScheduleContext } from './schedule.ts'
import type { Snapshot } from './snapshot.ts'

const MAX_CLASSES = 64

interface Scored {
  readonly node: NodeInfo
  readonly score: number
  readonly generation: number
  /** Of equals, chance decides. */
  readonly tie: number
}
interface Kept {
  readonly nodes: Heap<Scored>
  /** The snapshot's, when they were found. */
  readonly generation: number
  /** So many pods may choose from them before others get their turn. */
  uses: number
}

export interface Scheduler {
  schedule(pod: PodInfo): Decision
}

export function createScheduler({
  snapshot,
  framework,
  random,
}: {
  readonly snapshot: Snapshot
  readonly framework: Framework
  readonly random: Pick<Random, 'next'>
}): Scheduler {
  const classes = new Map<string, Kept>()
  let start = 0
  const context = (): ScheduleContext => ({ snapshot, framework, random, start })
  const moveOn = (looked: number) => {
    start = (start + looked) % Math.max(1, snapshot.nodes.length)
  }

  function uncached(pod: PodInfo): Decision {
    const decision = schedule(pod, context())
    if (decision.node !== undefined) moveOn(decision.looked)
    return decision
  }

  return {
    schedule(pod) {
      if (snapshot.hasNominations) return uncached(pod)
      const filters = framework.prepareFilters(pod, snapshot)
      const scores = framework.prepareScores(pod, [], snapshot)
      const isKeepable =
        filters.isLocal &&
        scores.isLocal &&
        filters.refusal === undefined &&
        filters.nodes === undefined
      if (!isKeepable) return uncached(pod)
      const score = (node: NodeInfo): Scored => ({
        node,
        score: scores.score([node])[0] ?? 0,
        generation: node.generation,
        tie: random.next(),
      })
      const id = classOf(pod.pod)
      let kept = classes.get(id)
      if (kept === undefined || kept.generation !== snapshot.generation || kept.uses <= 0) {
        const found = findFeasible(pod, filters, context())
        if (found.nodes.length === 0) return uncached(pod)
        moveOn(found.looked)
        kept = {
          nodes: new Heap(bestFirst),
          generation: snapshot.generation,
          uses: found.nodes.length,
        }
        for (const node of found.nodes) kept.nodes.push(score(node))
        const [oldest] = classes.keys()
        if (classes.size >= MAX_CLASSES && oldest !== undefined) classes.delete(oldest)
        classes.set(id, kept)
      }
      kept.uses--
      for (let best = kept.nodes.pop(); best !== undefined; best = kept.nodes.pop()) {
        const { node, generation } = best
        if (generation === node.generation) {
          kept.nodes.push(best)
          return { node, score: best.score, feasible: kept.nodes.size, looked: 0 }
        }
        // It has changed since: it may be worse now, or too small.
        if (node.node !== undefined && isSuccess(filters.filter(node))) kept.nodes.push(score(node))
      }
      classes.delete(id)
      return uncached(pod)
    },
  }
}

const bestFirst = (a: Scored, b: Scored): number => b.score - a.score || a.tie - b.tie
