// Made from facts/ by `npm run generate`. Do not edit.
import type * as coreV1 from './core-v1.gen.ts'
import type * as meta from '#machinery'

export interface Event {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata: meta.ObjectMeta
  readonly eventTime: meta.MicroTime
  readonly series?: EventSeries
  readonly reportingController?: string
  readonly reportingInstance?: string
  readonly action?: string
  readonly reason?: string
  readonly regarding?: coreV1.ObjectReference
  readonly related?: coreV1.ObjectReference
  readonly note?: string
  readonly type?: string
  readonly deprecatedSource?: coreV1.EventSource
  readonly deprecatedFirstTimestamp?: meta.Time
  readonly deprecatedLastTimestamp?: meta.Time
  readonly deprecatedCount?: number
}

export interface EventList {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata: meta.ListMeta
  readonly items: readonly Event[]
}

export interface EventSeries {
  readonly count: number
  readonly lastObservedTime: meta.MicroTime
}
