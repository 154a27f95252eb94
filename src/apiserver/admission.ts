/** Admission: what may change or refuse a write after it was decoded and defaulted. */
import type { RequestTrace } from './trace.ts'
import type { JsonObject, KubeObject, RequestUser, ResourceDefinition } from '#machinery'

/** What a plugin is asked about. `object` is the request's own until it is stored; `old` is shared. */
export interface AdmissionRequest {
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT'
  readonly definition: ResourceDefinition
  readonly subresource: string
  readonly namespace: string
  readonly name: string
  readonly user: RequestUser
  readonly dryRun: boolean
  /** The new object; a mutating plugin changes it in place. Absent on DELETE. */
  readonly object?: JsonObject | undefined
  readonly old?: KubeObject | undefined
  /** CreateOptions, UpdateOptions or DeleteOptions, by the operation; absent for a connect. */
  readonly options?: JsonObject | undefined
  /** Texts for the Warning header. */
  readonly warn: (text: string) => void
  /** A note for the audit log. */
  readonly annotate: (key: string, value: string) => void
  readonly signal: AbortSignal
  /** When the answer must be there, in monotonic milliseconds: who is asked has no longer. */
  readonly deadline?: number | undefined
  readonly trace?: RequestTrace | undefined
  /**
   * Takes what a webhook or a policy made of the object: what its type does not know is dropped, and defaults are filled
   * in. `object` stays the same JavaScript object. Throws what a decoder throws.
   */
  readonly replace: (object: JsonObject) => void
  readonly rounds: AdmissionRounds
}

/** Who changes an object may want the others to look again: the mutating plugins are asked twice at most. */
export interface AdmissionRounds {
  readonly isSecond: boolean
  /** Set in the first round when there is to be a second one. */
  again: boolean
}

/** Throws a StatusError to refuse. What need not wait is no promise: every request passes a dozen plugins, twice. */
export interface AdmissionPlugin {
  readonly name: string
  handles(request: AdmissionRequest): boolean
  mutate?(request: AdmissionRequest): Promise<void> | void
  /** Set when `mutate` only refuses. */
  readonly changesNothing?: boolean
  /**
   * For who changes nothing but the specs of new objects: what that comes from besides the spec. As long as these
   * are the same, objects that came with the same spec get the same one, and `mutate` is not asked for each of them.
   * Undefined when more than that counts for this object, or when it is refused. It only reads.
   */
  sources?(request: AdmissionRequest): readonly unknown[] | undefined
  validate?(request: AdmissionRequest): Promise<void> | void
}
