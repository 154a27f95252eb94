/** Who owns which field of an object, by its type. */
import {
  StatusError,
  apiVersionOf,
  applyConfiguration,
  readForm,
  shapeOf,
  trackUpdate,
  writtenForm,
  type JsonObject,
  type KubeObject,
  type OwnershipContext,
  type ResourceDefinition,
} from '#machinery'
import { kindOf } from '../expected-kind.ts'
import type { KnownTypes } from './known-types.ts'

/** Who writes, and when: for managedFields. */
export interface Author {
  readonly manager: string
  readonly subresource: string
  readonly now: Date
}

const NONE: readonly (readonly string[])[] = []
const SPEC: readonly string[] = ['spec']
const ONLY_STATUS = [['f:status']]
const OF_STATUS: ReadonlySet<string> = new Set(['kind', 'apiVersion', 'metadata', 'status'])

/** Keeps `managedFields`, and applies what somebody wants to own. */
export class Owners {
  readonly #types: KnownTypes
  readonly #zeros = new WeakMap<ResourceDefinition, JsonObject>()
  readonly #notStatus = new WeakMap<ResourceDefinition, readonly (readonly string[])[]>()

  constructor(types: KnownTypes) {
    this.#types = types
  }

  /** Notes in the object's managedFields who wrote what. `old` is absent for a create. */
  trackUpdate(
    definition: ResourceDefinition,
    old: KubeObject | undefined,
    object: JsonObject,
    by: Author,
  ): void {
    const metadata = object['metadata'] as JsonObject
    const managedFields = trackUpdate(
      old ?? this.#zero(definition),
      object,
      this.#ownership(definition, by),
    )
    if (managedFields.length > 0) metadata['managedFields'] = managedFields
    else delete metadata['managedFields']
  }

  /** The object with a manager's configuration applied. Throws 409 when others own what would change. */
  apply(
    definition: ResourceDefinition,
    old: KubeObject | undefined,
    configuration: JsonObject,
    by: Author & { readonly force: boolean },
  ): JsonObject {
    const { kind, apiVersion, metadata } = configuration
    const { name, namespace } = metadata as { name?: string; namespace?: string }
    const live = (old ?? {
      kind,
      apiVersion,
      metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
    }) as KubeObject & JsonObject
    const result = applyConfiguration(live, configuration, {
      ...this.#ownership(definition, by),
      zero: this.#zero(definition),
      force: by.force,
      finish: (merged) => {
        const object = this.#types.shapeApplied(merged, definition)
        definition.defaults(object)
        return object
      },
    })
    if (!result.ok)
      throw new StatusError('Conflict', result.message, { details: { causes: result.causes } })
    const { object, managedFields } = result
    return { ...object, metadata: { ...(object['metadata'] as JsonObject), managedFields } }
  }

  #ownership(
    definition: ResourceDefinition,
    { manager, subresource, now }: Author,
  ): OwnershipContext {
    const { type } = definition.facts
    return {
      shape: this.#types.own(definition)?.shape ?? shapeOf(this.#types.of(definition), type),
      ...(definition.isCustom === true
        ? {}
        : { written: (object) => writtenForm(this.#types.builtIn, type, object as JsonObject) }),
      apiVersion: apiVersionOf(definition.facts),
      manager,
      subresource,
      now,
      resetFields: this.#resetFields(definition, subresource),
    }
  }

  /** A new object is compared with one that has nothing. */
  #zero(definition: ResourceDefinition): JsonObject {
    let zero = this.#zeros.get(definition)
    if (zero === undefined) {
      // Metadata is there always: nobody comes to own it as a whole.
      zero = this.#types.shape({ metadata: {} }, kindOf(definition), false).object
      if (definition.isCustom !== true) readForm(this.#types.builtIn, definition.facts.type, zero)
      this.#zeros.set(definition, zero)
    }
    return zero
  }

  /** What an endpoint puts back to what it was, nobody comes to own by sending it there. */
  #resetFields(
    definition: ResourceDefinition,
    subresource: string,
  ): readonly (readonly string[])[] {
    if (definition.facts.subresources?.some(({ name }) => name === 'status') !== true) return NONE
    if (subresource !== 'status') return ONLY_STATUS
    let fields = this.#notStatus.get(definition)
    if (fields === undefined) {
      const names =
        this.#types.own(definition)?.fields ??
        this.#types.of(definition)[definition.facts.type]?.fields?.map(({ name }) => name) ??
        SPEC
      fields = names.filter((name) => !OF_STATUS.has(name)).map((name) => [`f:${name}`])
      this.#notStatus.set(definition, fields)
    }
    return fields
  }
}
