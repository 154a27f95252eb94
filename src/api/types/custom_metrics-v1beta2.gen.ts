// Made from facts/ by `npm run generate`. Do not edit.
import type * as coreV1 from './core-v1.gen.ts'
import type * as meta from '#machinery'

export interface MetricIdentifier {
  readonly name: string
  readonly selector?: meta.LabelSelector
}

export interface MetricListOptions {
  readonly kind?: string
  readonly apiVersion?: string
  readonly labelSelector?: string
  readonly metricLabelSelector?: string
}

export interface MetricValue {
  readonly kind?: string
  readonly apiVersion?: string
  readonly describedObject: coreV1.ObjectReference
  readonly metric: MetricIdentifier
  readonly timestamp: meta.Time
  readonly windowSeconds?: number
  readonly value: string
}

export interface MetricValueList {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata?: meta.ListMeta
  readonly items: readonly MetricValue[]
}
