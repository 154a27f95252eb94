/** The shape of `facts/*.json`: what Kubernetes states per type and per resource. See facts/README.md. */

/** What a value is. */
export interface SchemaFact {
  readonly type?: 'string' | 'integer' | 'number' | 'boolean' | 'array' | 'object'
  readonly format?: string
  /** Names another type. */
  readonly ref?: string
  readonly items?: SchemaFact
  /** The values of a map. */
  readonly values?: SchemaFact
}

/** A field of a type. */
export interface FieldFact extends SchemaFact {
  readonly name: string
  readonly go: string
  /** Protobuf field number. */
  readonly num?: number
  readonly proto?: string
  readonly protoName?: string
  readonly rep?: boolean
  /** The protobuf messages that a JSON-flattened field lives in, outermost first; 'TypeMeta' for kind and apiVersion. */
  readonly via?: 'TypeMeta' | readonly (readonly [string, number, string])[]
  readonly required?: boolean
  readonly omitempty?: boolean
  readonly omitzero?: boolean
  readonly ptr?: boolean
  readonly listType?: 'atomic' | 'set' | 'map'
  readonly listMapKeys?: readonly string[]
  readonly mapType?: 'atomic' | 'granular'
  readonly patchStrategy?: string
  readonly patchMergeKey?: string
  readonly enum?: readonly string[]
  readonly goType?: string
  readonly default?: unknown
  readonly v3default?: unknown
  readonly tags?: readonly string[]
}

/** A type by its definition name. */
export interface TypeFact {
  readonly go: string
  readonly proto?: string
  readonly gvk?: readonly (readonly [group: string, version: string, kind: string])[]
  readonly scalar?: { readonly type?: string; readonly format?: string }
  readonly alias?: SchemaFact
  readonly protoFields?: readonly {
    readonly name: string
    readonly num: number
    readonly proto: string
  }[]
  readonly mapType?: 'atomic'
  readonly structType?: 'atomic'
  readonly unions?: unknown
  readonly notInOpenAPI?: boolean
  readonly fields?: readonly FieldFact[]
}

/** Types by their OpenAPI definition name, for example `io.k8s.api.core.v1.Pod`. */
export type TypeTable = Readonly<Record<string, TypeFact>>

/** An endpoint below an object. */
export interface SubresourceFact {
  readonly name: string
  readonly kind: string
  readonly group?: string
  readonly version?: string
  readonly verbs: readonly string[]
  readonly connect?: boolean
  readonly hasPath?: boolean
  readonly query?: Readonly<Record<string, string>>
}

/** A resource of one group version, as discovery tells of it. */
export interface ResourceFact {
  readonly group: string
  readonly version: string
  readonly resource: string
  readonly kind: string
  readonly singular: string
  readonly namespaced: boolean
  readonly shortNames?: readonly string[]
  readonly categories?: readonly string[]
  readonly verbs: readonly string[]
  /** Definition name of the object, in the type table. */
  readonly type: string
  readonly listType?: string
  readonly stage: 'ga' | 'beta' | 'alpha'
  readonly lifecycle?: Readonly<Record<string, unknown>>
  /** What DELETE answers: the object or a Status. */
  readonly deleteReturns?: string
  readonly persisted: boolean
  readonly fieldSelectors?: readonly string[]
  readonly fieldSelectorAliases?: Readonly<Record<string, string>>
  readonly subresources?: readonly SubresourceFact[]
}

/** A column of a table. */
export interface PrinterColumnFact {
  readonly name: string
  readonly type: string
  readonly format: string
  /** 0 shows always, 1 with `-o wide`. */
  readonly priority: number
  readonly description?: string
}
