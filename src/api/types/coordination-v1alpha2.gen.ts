// Made from facts/ by `npm run generate`. Do not edit.
import type * as meta from '#machinery'

export interface LeaseCandidate {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata: meta.ObjectMeta
  readonly spec: LeaseCandidateSpec
}

export interface LeaseCandidateList {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata: meta.ListMeta
  readonly items: readonly LeaseCandidate[]
}

export interface LeaseCandidateSpec {
  readonly leaseName: string
  readonly pingTime?: meta.MicroTime
  readonly renewTime?: meta.MicroTime
  readonly binaryVersion: string
  readonly emulationVersion?: string
  readonly strategy: string
}
