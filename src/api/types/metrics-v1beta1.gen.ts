// Made from facts/ by `npm run generate`. Do not edit.
import type * as meta from '#machinery'

export interface ContainerMetrics {
  readonly name: string
  readonly usage: { readonly [key: string]: string }
}

export interface NodeMetrics {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata?: Partial<meta.ObjectMeta>
  readonly timestamp: meta.Time
  readonly window: meta.Duration
  readonly usage: { readonly [key: string]: string }
}

export interface NodeMetricsList {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata?: meta.ListMeta
  readonly items: readonly NodeMetrics[]
}

export interface PodMetrics {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata?: Partial<meta.ObjectMeta>
  readonly timestamp: meta.Time
  readonly window: meta.Duration
  readonly containers: readonly ContainerMetrics[]
}

export interface PodMetricsList {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata?: meta.ListMeta
  readonly items: readonly PodMetrics[]
}
