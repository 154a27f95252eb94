// Made from facts/ by `npm run generate`. Do not edit.
import type * as meta from '#machinery'

export interface Eviction {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata: meta.ObjectMeta
  readonly deleteOptions?: meta.DeleteOptions
}

export interface PodDisruptionBudget {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata: meta.ObjectMeta
  readonly spec: PodDisruptionBudgetSpec
  readonly status?: PodDisruptionBudgetStatus
}

export interface PodDisruptionBudgetList {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata: meta.ListMeta
  readonly items: readonly PodDisruptionBudget[]
}

export interface PodDisruptionBudgetSpec {
  readonly minAvailable?: meta.IntOrString
  readonly selector?: meta.LabelSelector
  readonly maxUnavailable?: meta.IntOrString
  readonly unhealthyPodEvictionPolicy?: 'AlwaysAllow' | 'IfHealthyBudget'
}

export interface PodDisruptionBudgetStatus {
  readonly observedGeneration?: number
  readonly disruptedPods?: { readonly [key: string]: meta.Time }
  readonly disruptionsAllowed?: number
  readonly currentHealthy?: number
  readonly desiredHealthy?: number
  readonly expectedPods?: number
  readonly conditions?: readonly meta.Condition[]
}
