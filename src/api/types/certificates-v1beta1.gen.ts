// Made from facts/ by `npm run generate`. Do not edit.
import type * as meta from '#machinery'

export interface ClusterTrustBundle {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata: meta.ObjectMeta
  readonly spec: ClusterTrustBundleSpec
}

export interface ClusterTrustBundleList {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata: meta.ListMeta
  readonly items: readonly ClusterTrustBundle[]
}

export interface ClusterTrustBundleSpec {
  readonly signerName?: string
  readonly trustBundle: string
}

export interface PodCertificateRequest {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata: meta.ObjectMeta
  readonly spec: PodCertificateRequestSpec
  readonly status?: PodCertificateRequestStatus
}

export interface PodCertificateRequestList {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata: meta.ListMeta
  readonly items: readonly PodCertificateRequest[]
}

export interface PodCertificateRequestSpec {
  readonly signerName: string
  readonly podName: string
  readonly podUID: string
  readonly serviceAccountName: string
  readonly serviceAccountUID: string
  readonly nodeName: string
  readonly nodeUID: string
  readonly maxExpirationSeconds?: number
  readonly pkixPublicKey?: string
  readonly proofOfPossession?: string
  readonly stubPKCS10Request: string
  readonly unverifiedUserAnnotations?: { readonly [key: string]: string }
}

export interface PodCertificateRequestStatus {
  readonly conditions?: readonly meta.Condition[]
  readonly certificateChain?: string
  readonly notBefore?: meta.Time
  readonly beginRefreshAt?: meta.Time
  readonly notAfter?: meta.Time
}
