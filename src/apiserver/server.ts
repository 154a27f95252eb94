/** The API server as one value: what it is made from, and what it offers. */
import type { Env } from '#base'
import type { Transport } from '#client'
import type { RequestUser, ResourceDefinition, TypeTable } from '#machinery'
import type { Storage } from '#storage'
import type { Aggregator } from './aggregation/index.ts'
import type { Audit } from './audit/index.ts'
import type { Descriptions } from './descriptions.ts'
import type { Handler } from './exchange.ts'
import type { Extensions } from './extensions.ts'
import type { ServerInside } from './inside.ts'
import type { ListenOptions, Listening } from './http/index.ts'
import type { OwnSchemas } from './own-schemas.ts'

/** What a server is made from. */
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

/** A server that runs. */
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
