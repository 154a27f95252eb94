/** Who is asking, and whether they may. */
import type { Awaitable } from '#base'
import type { RequestUser } from '#machinery'
import type { Exchange } from './exchange.ts'

/** Says who asks. */
export interface Authenticator {
  /** Undefined when this one does not know the credentials; throws 401 when they are of its kind and wrong. */
  authenticate(exchange: Exchange): Awaitable<Identity | undefined>
}

/** Who somebody is, and for whom the credentials were meant. */
export interface Identity {
  readonly user: RequestUser
  readonly audiences?: readonly string[]
}

/** What is to be done, by whom: all that an authorizer knows. */
export interface Attributes {
  readonly user: RequestUser
  readonly verb: string
  readonly isResource: boolean
  readonly namespace: string
  readonly group: string
  readonly version: string
  readonly resource: string
  readonly subresource: string
  readonly name: string
  readonly path: string
  readonly fieldSelector?: string
  readonly labelSelector?: string
}

/** The first authorizer with an opinion decides. */
export interface Decision {
  readonly verdict: 'allow' | 'deny' | 'noOpinion'
  readonly reason: string
}

/** Says whether it may be done. */
export interface Authorizer {
  authorize(attributes: Attributes): Awaitable<Decision>
  /** For SelfSubjectRulesReview; absent when it cannot enumerate. */
  rules?(
    user: RequestUser,
    namespace: string,
  ): Promise<{
    readonly resourceRules: readonly {
      readonly verbs: readonly string[]
      readonly apiGroups?: readonly string[]
      readonly resources?: readonly string[]
      readonly resourceNames?: readonly string[]
    }[]
    readonly nonResourceRules: readonly {
      readonly verbs: readonly string[]
      readonly nonResourceURLs?: readonly string[]
    }[]
    readonly incomplete: boolean
  }>
}
