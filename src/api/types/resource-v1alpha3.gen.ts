// Made from facts/ by `npm run generate`. Do not edit.
import type * as meta from '#machinery'

export interface DeviceTaint {
  readonly key: string
  readonly value?: string
  readonly effect: 'NoExecute' | 'NoSchedule' | 'None'
  readonly timeAdded?: meta.Time
}

export interface DeviceTaintRule {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata: meta.ObjectMeta
  readonly spec: DeviceTaintRuleSpec
  readonly status?: DeviceTaintRuleStatus
}

export interface DeviceTaintRuleList {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata: meta.ListMeta
  readonly items: readonly DeviceTaintRule[]
}

export interface DeviceTaintRuleSpec {
  readonly deviceSelector?: DeviceTaintSelector
  readonly taint: DeviceTaint
}

export interface DeviceTaintRuleStatus {
  readonly conditions?: readonly meta.Condition[]
}

export interface DeviceTaintSelector {
  readonly driver?: string
  readonly pool?: string
  readonly device?: string
}

export interface PoolStatus {
  readonly driver: string
  readonly poolName: string
  readonly generation: number
  readonly resourceSliceCount?: number
  readonly totalDevices?: number
  readonly allocatedDevices?: number
  readonly availableDevices?: number
  readonly unavailableDevices?: number
  readonly nodeName?: string
  readonly validationError?: string
}

export interface ResourcePoolStatusRequest {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata: meta.ObjectMeta
  readonly spec: ResourcePoolStatusRequestSpec
  readonly status?: ResourcePoolStatusRequestStatus
}

export interface ResourcePoolStatusRequestList {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata: meta.ListMeta
  readonly items: readonly ResourcePoolStatusRequest[]
}

export interface ResourcePoolStatusRequestSpec {
  readonly driver: string
  readonly poolName?: string
  readonly limit?: number
}

export interface ResourcePoolStatusRequestStatus {
  readonly poolCount: number
  readonly pools?: readonly PoolStatus[]
  readonly conditions?: readonly meta.Condition[]
}
