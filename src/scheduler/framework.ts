/**
 * What a scheduler plugin is: an object with the framework's method names. A plugin prepares what it
 * knows of a pod once (`preFilter`, `preScore`) and gets it back at every node.
 */
import type { Pod } from '#api'
import type { NodeInfo } from './node-info.ts'
import type { PodInfo } from './pod-info.ts'
import type { Snapshot } from './snapshot.ts'

/**
 * `unschedulable` may change when pods go, so that preemption can help; `unresolvable` cannot be
 * helped by it; `skip` says that the plugin has no say about this pod; `wait` that it is not ready yet.
 */
export interface Verdict {
  readonly code: 'success' | 'skip' | 'unschedulable' | 'unresolvable' | 'wait' | 'error'
  readonly reasons: readonly string[]
  /** The plugin that gave it; set by the framework. */
  readonly plugin?: string
}

/** The node will do. */
export const success: Verdict = Object.freeze({ code: 'success', reasons: [] })
/** The plugin has nothing to say of this pod. */
export const skip: Verdict = Object.freeze({ code: 'skip', reasons: [] })
/** Not here, but something that can change is in the way: removing pods may help. */
export const unschedulable = (...reasons: readonly string[]): Verdict => ({
  code: 'unschedulable',
  reasons,
})
/** Not here, and removing pods would not help. */
export const unresolvable = (...reasons: readonly string[]): Verdict => ({
  code: 'unresolvable',
  reasons,
})
/** The plugin could not tell; the pod is tried again. */
export const failure = (reason: string): Verdict => ({ code: 'error', reasons: [reason] })

/** What a plugin has found out about a pod before it looks at nodes. */
export type Prepared<S> =
  | Verdict
  | {
      readonly state: S
      /** Only these nodes are worth a look. */
      readonly nodes?: ReadonlySet<string>
    }

/** What happened in the cluster that may make room for a pod. */
export type ClusterEventName =
  | 'node/add'
  | 'node/allocatable'
  | 'node/labels'
  | 'node/taints'
  | 'node/other'
  | 'pod/assigned'
  | 'pod/labels'
  | 'pod/scaled-down'
  | 'pod/deleted'
  | 'pod/self'
  | 'volume'
  | 'namespace'

export interface ClusterEvent {
  readonly name: ClusterEventName
  readonly node?: NodeInfo
  readonly pod?: PodInfo
}

/** Erased state: `definePlugin` checks that what is prepared is what is used. */
export interface Plugin<P = unknown, S = unknown> {
  readonly name: string
  /** How much its scores count. */
  readonly weight?: number
  /** Events after which a pod that it refused is worth another try. */
  readonly retryOn?: readonly ClusterEventName[]
  /** Whether this event may help this pod; absent means that it may. */
  mayHelp?(pod: PodInfo, event: ClusterEvent): boolean
  /** Its filter and scores of a node depend on that node and the pod's spec alone, so that they can be kept. */
  readonly isLocal?: boolean

  preEnqueue?(pod: Pod): Verdict
  /** Which of two pods is scheduled first: negative for the first. */
  compare?(a: PodInfo, b: PodInfo): number
  preFilter?(pod: PodInfo, snapshot: Snapshot): Prepared<P>
  filter?(pod: PodInfo, node: NodeInfo, prepared: P): Verdict
  preScore?(pod: PodInfo, nodes: readonly NodeInfo[], snapshot: Snapshot): Prepared<S>
  /** Any number; within 0 to 100 unless it is normalized. */
  score?(pod: PodInfo, node: NodeInfo, prepared: S): number
  /** Brings the scores of all nodes to 0 to 100, in place. */
  normalizeScores?(scores: number[], nodes: readonly NodeInfo[], prepared: S): void
  reserve?(pod: PodInfo, node: NodeInfo): Verdict
  unreserve?(pod: PodInfo, node: NodeInfo): void
  /** May delay or refuse the binding. */
  permit?(pod: PodInfo, node: NodeInfo, signal: AbortSignal): Promise<Verdict>
  preBind?(pod: PodInfo, node: NodeInfo, signal: AbortSignal): Promise<Verdict>
  bind?(pod: PodInfo, node: NodeInfo, signal: AbortSignal): Promise<Verdict>
  postBind?(pod: PodInfo, node: NodeInfo): void
}

/** A plugin with its own types of what it prepares for a pod. */
export const definePlugin = <P = undefined, S = undefined>(plugin: Plugin<P, S>): Plugin =>
  plugin as Plugin

export const MAX_SCORE = 100

/** The highest becomes 100. */
export function highestIsBest(scores: number[]): void {
  const highest = Math.max(0, ...scores)
  if (highest === 0) return
  for (let at = 0; at < scores.length; at++)
    scores[at] = Math.floor(((scores[at] as number) * MAX_SCORE) / highest)
}

/** The highest becomes 0, and none at all 100. */
export function lowestIsBest(scores: number[]): void {
  const highest = Math.max(0, ...scores)
  for (let at = 0; at < scores.length; at++)
    scores[at] =
      highest === 0
        ? MAX_SCORE
        : MAX_SCORE - Math.floor(((scores[at] as number) * MAX_SCORE) / highest)
}

export const isSuccess = ({ code }: Verdict): boolean => code === 'success'
export const isVerdict = (prepared: Prepared<unknown>): prepared is Verdict => 'code' in prepared
