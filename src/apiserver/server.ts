/** The API server as one value: what it is made from, and what it offers. */
import type { Env } from '#base'
import type { Transport } from '#client'
import type {
  ExtraSchemas,
  JsonObject,
  KubeObject,
  RequestUser,
  ResourceDefinition,
  ResourceRef,
  Shape,
  TypeTable,
} from '#machinery'
import type { Storage } from '#storage'
import type { Authenticator, Authorizer } from './access.ts'
import type { AdmissionPlugin } from './admission.ts'
import type { Aggregator } from './aggregation/index.ts'
import type { Audit } from './audit/index.ts'
import type { Descriptions } from './descriptions.ts'
import type { Exchange, Handler, Reply } from './exchange.ts'
import type { CallWebhook } from './webhook-client/index.ts'

/**
 * Reads of the newest state, straight from the watch cache: for authorizers and admission plugins, which
 * run inside every request and may not wait. Objects are shared: read only.
 */
export interface Reader {
  get<T extends KubeObject>(ref: ResourceRef<T>, namespace: string, name: string): T | undefined
  /** All objects, or those of one namespace, in key order. */
  list<T extends KubeObject>(ref: ResourceRef<T>, namespace?: string): readonly T[]
  /** Calls back after each change of the resource; the returned function ends that. */
  onChange<T extends KubeObject>(
    ref: ResourceRef<T>,
    run: (change: { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }) => void,
  ): () => void
  /** The resource's newest revision that a read can see. */
  revision(): number
}

/** What the server gives to the parts that are built upon it. */
export interface ServerInside {
  readonly read: Reader
  /** Requests with this identity, through the whole chain. */
  transport(user: RequestUser): Transport
  /** The definitions that are served now, custom resources too. */
  definitions(): readonly ResourceDefinition[]
  definitionOf(group: string, resource: string, version?: string): ResourceDefinition | undefined
  /** The object with a part laid over it, as its type says. Throws for parts of what can only be replaced. */
  merge(definition: ResourceDefinition, object: JsonObject, configuration: JsonObject): JsonObject
}

/** A subresource that is a conversation rather than an object: exec, attach, port-forward, log, proxy. */
export type ConnectHandler = (exchange: Exchange, target: ConnectTarget) => Promise<Reply>
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

export interface ApiServerOptions {
  readonly env: Pick<Env, 'clock' | 'random' | 'log' | 'metrics' | 'tracing'>
  readonly definitions: readonly ResourceDefinition[]
  readonly types: TypeTable
  readonly storage: Storage
  readonly extend: (inside: ServerInside) => Extensions
  /** Addresses given to Services. Default 10.96.0.0/12. */
  readonly serviceRange?: string
  /** Ports given to NodePort Services, both ends included. Default 30000–32767. */
  readonly nodePorts?: { readonly first: number; readonly last: number }
  /** The longest a request other than a watch may take. Default 60,000. */
  readonly requestTimeoutMs?: number
  /** How many requests may be in the works at once. Default 400 reading and 200 writing. */
  readonly maxInFlight?: { readonly reading: number; readonly writing: number }
  /**
   * What is done once after the start, by the names of kube-apiserver's hooks; false: not yet. Parts of /healthz,
   * /livez and /readyz.
   */
  readonly startChecks?: Readonly<Record<string, () => boolean>>
  /** More parts of /readyz, by name: a check that throws is failed. */
  readonly readyChecks?: Readonly<Record<string, () => void | Promise<void>>>
  /** Other parts of the control plane that componentstatuses shows besides the store. */
  readonly components?: Readonly<Record<string, () => void | Promise<void>>>
  /** Freeze shared objects deeply, so that a test sees who changes them. Default: no. */
  readonly freeze?: boolean
  /** Texts of types and fields for the API descriptions. */
  readonly descriptions?: Pick<Descriptions, 'load'>
  /** Writes down who did what. Absent: nobody does. */
  readonly audit?: Audit
  /** Of our own build, shown by /version. */
  readonly build?: { readonly commit?: string; readonly date?: string }
}

/** What is known of a custom resource's types. */
export interface FormOptions {
  readonly unknown?: string[]
  /** Nulls stay where none may be. */
  readonly keepsNulls?: boolean
}

export interface OwnSchemas {
  /** For decoding, patches and the ownership of fields: what the definition's `facts.type` leads to. */
  readonly types?: TypeTable
  /** A value in the form of the resource, as a copy; paths of fields that it does not have are added to `unknown`. */
  readonly form?: (value: JsonObject, options?: FormOptions) => JsonObject
  /** How objects are taken apart for the ownership of fields. */
  readonly shape?: Shape
  /** Values of the wrong type in a configuration that is applied: where, what should be there in Go's words, and what is. */
  readonly mismatches?: (
    value: JsonObject,
  ) => readonly { readonly path: string; readonly expected: string; readonly found: unknown }[]
  /** The fields at the root, besides those that every object has. */
  readonly fields?: readonly string[]
  /** For the API descriptions, by definition name, as they are to be published. */
  readonly published?: Readonly<Record<'v2' | 'v3', ExtraSchemas>>
}

export interface Listening {
  readonly port: number
  /** New connections get this certificate; those that are there go on. */
  renew(tls: ListenOptions['tls']): void
  /** Takes no new connections, ends watches, lets requests finish (bounded), then closes. */
  close(): Promise<void>
}

export interface ListenOptions {
  readonly host?: string
  /** 0 takes a free one. */
  readonly port: number
  readonly tls: {
    readonly certificate: string | Uint8Array
    readonly key: string | Uint8Array
    /** Client certificates that these signed are verified; others are as if absent. */
    readonly clientAuthorities: readonly (string | Uint8Array)[]
  }
}

export interface ApiServer {
  /** The whole chain: what a socket or a call in the same process meets. */
  readonly handler: Handler
  /** Resolves once reads are served; rejects when the store cannot be read. */
  readonly ready: Promise<void>
  readonly inside: ServerInside
  /** What `extend` gave, to be run when the server answers. */
  readonly aggregator: Aggregator | undefined
  /** In-process calls with this identity. They pass authorization and admission like all others. */
  transport(user: RequestUser): Transport
  listen(options: ListenOptions): Promise<Listening>
  /** Custom resources come and go. A definition of the same resource and version is replaced. */
  addResource(definition: ResourceDefinition, schemas?: OwnSchemas): void
  removeResource(definition: Pick<ResourceDefinition, 'facts'>): void
  close(): Promise<void>
}

/** Whether a resource that is not stored can be answered. */
export const hasHandler = ({ virtualResources, virtualReads }: Extensions, id: string): boolean =>
  id === 'bindings' || virtualResources?.[id] !== undefined || virtualReads?.[id] !== undefined
