// Made from facts/ by `npm run generate`. Do not edit.
import type * as meta from '#machinery'

export interface ExternalMetricValue {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metricName: string
  readonly metricLabels: { readonly [key: string]: string }
  readonly timestamp: meta.Time
  readonly window?: number
  readonly value: string
}

export interface ExternalMetricValueList {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata?: meta.ListMeta
  readonly items: readonly ExternalMetricValue[]
}
