// Made from facts/ by `npm run generate`. Do not edit.
import type * as meta from '#machinery'

export interface APIGroupDiscovery {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata?: Partial<meta.ObjectMeta>
  readonly versions?: readonly APIVersionDiscovery[]
}

export interface APIGroupDiscoveryList {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata?: meta.ListMeta
  readonly items: readonly APIGroupDiscovery[]
}

export interface APIResourceDiscovery {
  readonly resource: string
  readonly responseKind?: meta.GroupVersionKind
  readonly scope: string
  readonly singularResource: string
  readonly verbs: readonly string[]
  readonly shortNames?: readonly string[]
  readonly categories?: readonly string[]
  readonly subresources?: readonly APISubresourceDiscovery[]
}

export interface APISubresourceDiscovery {
  readonly subresource: string
  readonly responseKind?: meta.GroupVersionKind
  readonly acceptedTypes?: readonly meta.GroupVersionKind[]
  readonly verbs: readonly string[]
}

export interface APIVersionDiscovery {
  readonly version: string
  readonly resources?: readonly APIResourceDiscovery[]
  readonly freshness?: string
}
