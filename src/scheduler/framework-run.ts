/** A set of plugins, ordered by extension point. */
import type { Pod } from '#api'
import {
  isSuccess,
  isVerdict,
  success,
  type ClusterEvent,
  type Plugin,
  type Verdict,
} from './framework.ts'
import type { NodeInfo } from './node-info.ts'
import type { PodInfo } from './pod-info.ts'
import type { Snapshot } from './snapshot.ts'

export interface Framework {
  readonly plugins: readonly Plugin[]
  readonly preEnqueue: (pod: Pod) => Verdict
  compare(a: PodInfo, b: PodInfo): number
  /** What all plugins have to say of the pod before nodes are looked at. */
  prepareFilters(pod: PodInfo, snapshot: Snapshot): PreparedFilters
  prepareScores(pod: PodInfo, nodes: readonly NodeInfo[], snapshot: Snapshot): PreparedScores
  reserve(pod: PodInfo, node: NodeInfo): Verdict
  unreserve(pod: PodInfo, node: NodeInfo): void
  permit(pod: PodInfo, node: NodeInfo, signal: AbortSignal): Promise<Verdict>
  preBind(pod: PodInfo, node: NodeInfo, signal: AbortSignal): Promise<Verdict>
  bind(pod: PodInfo, node: NodeInfo, signal: AbortSignal): Promise<Verdict>
  postBind(pod: PodInfo, node: NodeInfo): void
  /** Whether the event may help a pod that these plugins refused. */
  mayHelp(pod: PodInfo, refusedBy: ReadonlySet<string>, event: ClusterEvent): boolean
}

export interface PreparedFilters {
  /** Set when a plugin refused the pod for all nodes. */
  readonly refusal: Verdict | undefined
  /** Only these nodes are worth a look, say these plugins. */
  readonly nodes: ReadonlySet<string> | undefined
  readonly narrowedBy: readonly string[]
  readonly filter: (node: NodeInfo) => Verdict
  /** All plugins that have a say look at the pod's spec and the node alone. */
  readonly isLocal: boolean
}

interface PreparedScores {
  readonly isLocal: boolean
  /** Weighted totals, in the order of the nodes. */
  score(nodes: readonly NodeInfo[]): number[]
}

const withName = (verdict: Verdict, plugin: string): Verdict =>
  verdict.plugin === plugin ? verdict : { ...verdict, plugin }

export function createFramework(plugins: readonly Plugin[]): Framework {
  const withFilter = plugins.filter((plugin) => 'filter' in plugin || 'preFilter' in plugin)
  const withScore = plugins.filter((plugin) => 'score' in plugin)
  const withReserve = plugins.filter((plugin) => 'reserve' in plugin || 'unreserve' in plugin)
  const sorter = plugins.find((plugin) => 'compare' in plugin)
  const byName = new Map(plugins.map((plugin) => [plugin.name, plugin]))
  // Verdicts are made once and shared: so are their named copies.
  const named = new WeakMap<Verdict, Verdict>()
  const name = (verdict: Verdict, plugin: string): Verdict => {
    let copy = named.get(verdict)
    if (copy === undefined) named.set(verdict, (copy = withName(verdict, plugin)))
    return copy
  }

  function prepareFilters(pod: PodInfo, snapshot: Snapshot): PreparedFilters {
    const active: { plugin: Plugin; state: unknown }[] = []
    let nodes: ReadonlySet<string> | undefined
    const narrowedBy: string[] = []
    let refusal: Verdict | undefined
    for (const plugin of withFilter) {
      const prepared = plugin.preFilter?.(pod, snapshot) ?? { state: undefined }
      if (isVerdict(prepared)) {
        if (prepared.code === 'skip') continue
        if (!isSuccess(prepared)) {
          refusal = withName(prepared, plugin.name)
          break
        }
        active.push({ plugin, state: undefined })
        continue
      }
      if (prepared.nodes !== undefined) {
        narrowedBy.push(plugin.name)
        nodes = nodes === undefined ? prepared.nodes : nodes.intersection(prepared.nodes)
      }
      active.push({ plugin, state: prepared.state })
    }
    const filters = active.filter(({ plugin }) => 'filter' in plugin)
    return {
      refusal,
      nodes,
      narrowedBy,
      isLocal: active.every(({ plugin }) => plugin.isLocal === true),
      filter(node) {
        for (const { plugin, state } of filters) {
          const verdict = plugin.filter?.(pod, node, state) ?? success
          if (verdict !== success && !isSuccess(verdict)) return name(verdict, plugin.name)
        }
        return success
      },
    }
  }

  function prepareScores(
    pod: PodInfo,
    candidates: readonly NodeInfo[],
    snapshot: Snapshot,
  ): PreparedScores {
    const active: { plugin: Plugin; state: unknown }[] = []
    for (const plugin of withScore) {
      const prepared = plugin.preScore?.(pod, candidates, snapshot) ?? { state: undefined }
      if (isVerdict(prepared)) {
        if (isSuccess(prepared)) active.push({ plugin, state: undefined })
      } else active.push({ plugin, state: prepared.state })
    }
    return {
      // Normalization compares nodes with each other: such scores cannot be kept.
      isLocal: active.every(
        ({ plugin }) => plugin.isLocal === true && !('normalizeScores' in plugin),
      ),
      score(nodes) {
        const totals = Array.from<number>({ length: nodes.length }).fill(0)
        for (const { plugin, state } of active) {
          const scores = nodes.map((node) => plugin.score?.(pod, node, state) ?? 0)
          plugin.normalizeScores?.(scores, nodes, state)
          const { weight = 1 } = plugin
          for (let at = 0; at < totals.length; at++)
            totals[at] = (totals[at] as number) + (scores[at] as number) * weight
        }
        return totals
      },
    }
  }

  /** Asks one after the other until one does not agree. */
  async function ask(
    point: 'permit' | 'preBind',
    pod: PodInfo,
    node: NodeInfo,
    signal: AbortSignal,
  ): Promise<Verdict> {
    for (const plugin of plugins) {
      const verdict = await plugin[point]?.(pod, node, signal)
      if (verdict !== undefined && !isSuccess(verdict) && verdict.code !== 'skip')
        return withName(verdict, plugin.name)
    }
    return success
  }

  return {
    plugins,
    prepareFilters,
    prepareScores,
    preEnqueue(pod) {
      for (const plugin of plugins) {
        const verdict = plugin.preEnqueue?.(pod)
        if (verdict !== undefined && !isSuccess(verdict)) return withName(verdict, plugin.name)
      }
      return success
    },
    compare: (a, b) => sorter?.compare?.(a, b) ?? 0,
    reserve(pod, node) {
      for (const plugin of withReserve) {
        const verdict = plugin.reserve?.(pod, node)
        if (verdict !== undefined && !isSuccess(verdict)) return withName(verdict, plugin.name)
      }
      return success
    },
    unreserve(pod, node) {
      for (const plugin of withReserve.toReversed()) plugin.unreserve?.(pod, node)
    },
    permit: (pod, node, signal) => ask('permit', pod, node, signal),
    preBind: (pod, node, signal) => ask('preBind', pod, node, signal),
    async bind(pod, node, signal) {
      for (const plugin of plugins) {
        const verdict = await plugin.bind?.(pod, node, signal)
        if (verdict !== undefined && verdict.code !== 'skip') return withName(verdict, plugin.name)
      }
      return { code: 'error', reasons: ['no plugin binds pods'] }
    },
    postBind(pod, node) {
      for (const plugin of plugins) plugin.postBind?.(pod, node)
    },
    mayHelp(pod, refusedBy, event) {
      if (refusedBy.size === 0) return true
      for (const refuser of refusedBy) {
        const plugin = byName.get(refuser)
        if (plugin === undefined) return true
        if (plugin.retryOn?.includes(event.name) === true && plugin.mayHelp?.(pod, event) !== false)
          return true
      }
      return false
    },
  }
}
