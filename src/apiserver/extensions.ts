/** What is built upon the server: who may do what, what happens on the way, what else is answered. */
import type { JsonObject, KubeObject, ResourceDefinition } from '#machinery'
import type { Authenticator, Authorizer } from './access.ts'
import type { AdmissionPlugin } from './admission.ts'
import type { Aggregator } from './aggregation/index.ts'
import type { Exchange, Reply } from './exchange.ts'
import type { CallWebhook } from './webhook-client/index.ts'

/** A subresource that is a conversation rather than an object: exec, attach, port-forward, log, proxy. */
export type ConnectHandler = (exchange: Exchange, target: ConnectTarget) => Promise<Reply>
/** What a conversation is with. */
export interface ConnectTarget {
  readonly definition: ResourceDefinition
  readonly namespace: string
  /** As in the path: for proxies it may be `scheme:name:port`. */
  readonly name: string
  readonly subresource: string
  /** What follows the subresource in the path: '' for nothing, otherwise with its leading slash. */
  readonly rest: string
  /** The object of that name; absent when a proxy's name has a scheme or a port, or nothing has it. */
  readonly object: KubeObject | undefined
}

/** A resource that is answered and not stored: subject access reviews, token reviews. */
export type VirtualResource = (exchange: Exchange, object: JsonObject) => Promise<JsonObject>

/** Who may do what, and what happens on the way: built with the server's own reads at hand. */
export interface Extensions {
  readonly authenticator: Authenticator
  readonly authorizer: Authorizer
  /** In the order they run. */
  readonly admission: readonly AdmissionPlugin[]
  /** By resource, group after a dot: `tokenreviews.authentication.k8s.io`. */
  readonly virtualResources?: Readonly<Record<string, VirtualResource>>
  /** Resources that are read and not stored, by the same names: what metrics.k8s.io shows. An empty name asks for all. */
  readonly virtualReads?: Readonly<
    Record<
      string,
      (
        exchange: Exchange,
        wanted: { readonly namespace: string; readonly name: string },
      ) => Promise<readonly KubeObject[]>
    >
  >
  /** By resource and subresource: `pods/exec`. */
  readonly connect?: Readonly<Record<string, ConnectHandler>>
  /** `serviceaccounts/token`: fills in a TokenRequest's status. */
  readonly issueToken?: (
    exchange: Exchange,
    serviceAccount: KubeObject,
    request: JsonObject,
  ) => Promise<JsonObject>
  /** Asks a conversion webhook of a custom resource. */
  readonly callWebhook?: CallWebhook
  /** APIs of other servers: they are asked before anything here is. */
  readonly aggregator?: Aggregator
  /** Pages of other parts, by path: `/openid/v1/jwks`. They pass authentication and authorization. */
  readonly pages?: Readonly<Record<string, (exchange: Exchange) => Promise<Reply>>>
}

/** Whether a resource that is not stored can be answered. */
export const hasHandler = ({ virtualResources, virtualReads }: Extensions, id: string): boolean =>
  id === 'bindings' || virtualResources?.[id] !== undefined || virtualReads?.[id] !== undefined
