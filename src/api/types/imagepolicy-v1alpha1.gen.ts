// Made from facts/ by `npm run generate`. Do not edit.
import type * as meta from '#machinery'

export interface ImageReview {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata?: Partial<meta.ObjectMeta>
  readonly spec?: ImageReviewSpec
  readonly status?: ImageReviewStatus
}

export interface ImageReviewContainerSpec {
  readonly image?: string
}

export interface ImageReviewSpec {
  readonly containers?: readonly ImageReviewContainerSpec[]
  readonly annotations?: { readonly [key: string]: string }
  readonly namespace?: string
}

export interface ImageReviewStatus {
  readonly allowed?: boolean
  readonly reason?: string
  readonly auditAnnotations?: { readonly [key: string]: string }
}
