/** All that the server knows of one resource: facts, and what code must add to them. */
import type { FieldError } from './field.ts'
import type { PrinterColumnFact, ResourceFact } from './facts.ts'
import type { JsonObject, KubeObject } from './object.ts'

/** Who asks, for strategies that record it (certificate signing requests, for example). */
export interface RequestUser {
  readonly name: string
  readonly uid?: string
  readonly groups: readonly string[]
  readonly extra?: Readonly<Record<string, readonly string[]>>
}

/** Who writes what, and when. */
export interface StrategyContext {
  readonly user: RequestUser
  readonly now: Date
  /** '' for the resource itself, 'status', 'scale', 'resize', … otherwise. */
  readonly subresource: string
}

/** A column of a table, and how its cells are made. */
export interface Column extends PrinterColumnFact {
  /** The cell. Numbers, strings, booleans. Times are given as ISO text and shown as ages by the table writer when `type` is 'date'. */
  readonly value: (object: never, now: Date) => unknown
}

/**
 * Built-in and custom resources take the same path through the server; this is what differs.
 * Functions get mutable JSON that belongs to the request, and old objects that are shared and read only.
 */
export interface ResourceDefinition {
  readonly facts: ResourceFact
  /** Made from a CustomResourceDefinition. */
  readonly isCustom?: boolean
  /** Its CustomResourceDefinition is being deleted: no new objects come. */
  readonly isEnding?: boolean
  /** Told to every client, in the Warning header. */
  readonly deprecation?: string
  /** Fills in absent fields, in place. Idempotent, and byte-stable: defaulting twice changes nothing. */
  readonly defaults: (object: JsonObject) => void
  /**
   * Only where defaults and validation of the rest do not look at the metadata: the defaults of the metadata
   * alone. Then what was found out of the rest holds for all objects that have it.
   */
  readonly defaultsOfMetadata?: (metadata: JsonObject) => void
  /** Rules that the facts cannot say, on a defaulted new object. Metadata is validated by the server itself. */
  readonly validate: (object: JsonObject) => readonly FieldError[]
  /** What is asked of a new object alone; runs after `validate`. */
  readonly validateNew?: (object: JsonObject) => readonly FieldError[]
  /** Rules between old and new, on a defaulted object; runs beside `validate`. */
  readonly validateUpdate: (
    object: JsonObject,
    old: KubeObject,
    context: StrategyContext,
  ) => readonly FieldError[]
  /** `validateUpdate` looks at everything that `validate` does: only one of them runs. */
  readonly validatesUpdateAlone?: boolean
  /** Notes in the object, in place, that its deletion has been asked for. */
  readonly prepareForDelete?: (object: JsonObject, now: Date) => void
  /** Clears or sets what clients may not (status, generation is the server's), in place. */
  readonly prepareForCreate: (object: JsonObject, context: StrategyContext) => void
  /** The same for update: puts back what this endpoint must not change. */
  readonly prepareForUpdate: (object: JsonObject, old: KubeObject, context: StrategyContext) => void
  /** Texts for the Warning header. */
  readonly warnings: (object: JsonObject, old: KubeObject | undefined) => readonly string[]
  /** Whether metadata.generation counts changes of the spec. */
  readonly hasGeneration: boolean
  /** Seconds of grace for a delete that asks for `requested`; undefined deletes at once (all kinds but pods). */
  readonly graceSeconds: (object: KubeObject, requested: number | undefined) => number | undefined
  /** Whether a PUT of a name that is absent creates it. */
  readonly createOnUpdate: boolean
  /** Whether an update without resourceVersion is allowed to overwrite. */
  readonly unconditionalUpdate: boolean
  /** Finalizers that orphan/background/foreground start from when a delete says nothing. */
  readonly defaultPropagation: 'Background' | 'Orphan'
  readonly columns: readonly Column[]
  /** Values of the selectable fields, besides metadata.name and metadata.namespace. Custom resources are asked with the stored object. */
  readonly fields: (object: KubeObject) => Readonly<Record<string, string>>
  /** For resources with /scale: where spec.replicas, status.replicas and the selector live. */
  readonly scale?: {
    readonly specReplicas: string
    readonly statusReplicas: string
    readonly selector?: string
  }
  /** The table key under which it is stored: `/registry/pods/`. */
  readonly storagePrefix: string
  /** For a version that is stored in the form of another one (events.k8s.io/v1 as v1, for example). */
  readonly convert?: Conversion
}

/** Between the version that a client speaks and the one that is stored. */
export interface Conversion {
  /** The group and version of what is stored; the kind stays. */
  readonly stored: { readonly group: string; readonly version: string }
  /** A new object in the stored form, apiVersion included; `object` may be reused. */
  readonly toStorage: (object: JsonObject) => JsonObject
  /** A new object in this version's form; the stored one is shared and read only. */
  readonly fromStorage: (object: KubeObject) => JsonObject
  /** Where others convert, that happens before: then the functions above find nothing left to convert. */
  readonly ahead?: ConversionAhead
}

/** Conversion that takes time. */
export interface ConversionAhead {
  readonly isNeeded: (object: KubeObject) => boolean
  /** As many objects as were given, in their order. */
  readonly fromStorage: (objects: readonly KubeObject[]) => Promise<readonly KubeObject[]>
  readonly toStorage: (object: JsonObject) => Promise<JsonObject>
}
