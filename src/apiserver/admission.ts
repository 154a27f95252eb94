/** Admission: what may change or refuse a write after it was decoded and defaulted. */
import type { JsonObject, KubeObject, RequestUser, ResourceDefinition } from '#machinery'

export interface AdmissionRequest {
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT'
  readonly definition: ResourceDefinition
  readonly subresource: string
  readonly namespace: string
  readonly name: string
  readonly user: RequestUser
  readonly dryRun: boolean
  /** The new object; a mutating plugin changes it in place. Absent on DELETE. */
  readonly object?: JsonObject
  readonly old?: KubeObject
  /** CreateOptions, UpdateOptions, DeleteOptions or connect options. */
  readonly options?: JsonObject
  /** Texts for the Warning header. */
  readonly warn: (text: string) => void
  readonly signal: AbortSignal
}

/** Throws a StatusError to refuse. */
export interface AdmissionPlugin {
  readonly name: string
  handles(request: AdmissionRequest): boolean
  mutate?(request: AdmissionRequest): Promise<void>
  validate?(request: AdmissionRequest): Promise<void>
}
