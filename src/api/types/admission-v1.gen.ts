// Made from facts/ by `npm run generate`. Do not edit.
import type * as authenticationV1 from './authentication-v1.gen.ts'
import type * as meta from '#machinery'

export interface AdmissionRequest {
  readonly uid?: string
  readonly kind?: meta.GroupVersionKind
  readonly resource?: meta.GroupVersionResource
  readonly subResource?: string
  readonly requestKind?: meta.GroupVersionKind
  readonly requestResource?: meta.GroupVersionResource
  readonly requestSubResource?: string
  readonly name?: string
  readonly namespace?: string
  readonly operation?: string
  readonly userInfo?: authenticationV1.UserInfo
  readonly object?: meta.RawExtension
  readonly oldObject?: meta.RawExtension
  readonly dryRun?: boolean
  readonly options?: meta.RawExtension
}

export interface AdmissionResponse {
  readonly uid?: string
  readonly allowed?: boolean
  readonly status?: meta.Status
  readonly patch?: string
  readonly patchType?: string
  readonly auditAnnotations?: { readonly [key: string]: string }
  readonly warnings?: readonly string[]
}

export interface AdmissionReview {
  readonly kind?: string
  readonly apiVersion?: string
  readonly request?: AdmissionRequest
  readonly response?: AdmissionResponse
}
