/** What the server knows of types: its own table, and those that custom resources bring. */
import {
  TypeMismatchError,
  apiVersionOf,
  applyStrategicPatch,
  badRequest,
  decodeTyped,
  mergeConfiguration,
  shapeOf,
  type JsonObject,
  type KubeObject,
  type ResourceDefinition,
  type Shape,
  type StatusError,
  type TypeTable,
} from '#machinery'
import { cannotBeHandled, kindOf, type ExpectedKind } from '../expected-kind.ts'
import { copyJson, isObject } from '../json.ts'
import type { OwnSchemas } from '../own-schemas.ts'

/** Types by their definitions, and the forms and shapes of values that follow from them. */
export class KnownTypes {
  readonly builtIn: TypeTable
  /** Custom resources bring their own tables. */
  readonly #own = new WeakMap<ResourceDefinition, OwnSchemas>()
  #byKind: ReadonlyMap<string, string> | undefined

  constructor(builtIn: TypeTable) {
    this.builtIn = builtIn
  }

  /** A custom resource brings these. */
  register(definition: ResourceDefinition, schemas: OwnSchemas): void {
    this.#own.set(definition, schemas)
  }

  /** The table that has the resource's type. */
  of(definition: ResourceDefinition | undefined): TypeTable {
    return (definition && this.#own.get(definition)?.types) ?? this.builtIn
  }

  /** What a custom resource brought. */
  own(definition: ResourceDefinition): OwnSchemas | undefined {
    return this.#own.get(definition)
  }

  /** The built-in types, and those that these definitions brought. */
  all(definitions: readonly ResourceDefinition[]): TypeTable {
    const own = definitions
      .map((each) => this.#own.get(each)?.types)
      .filter((each) => each !== undefined)
    return own.length === 0 ? this.builtIn : (Object.assign({}, this.builtIn, ...own) as TypeTable)
  }

  /** The definition name of a kind. */
  nameOf(object: { readonly apiVersion?: unknown; readonly kind?: unknown }): string | undefined {
    this.#byKind ??= typesByKind(this.builtIn)
    return this.#byKind.get(`${String(object.apiVersion)}/${String(object.kind)}`)
  }

  /** A JSON value in the form of its type: a structure of its own, without fields that the type does not have. */
  shape(
    value: unknown,
    expected: ExpectedKind,
    wantsProblems: boolean,
    refuse: (error: TypeMismatchError) => StatusError = (error) =>
      badRequest(cannotBeHandled(expected, error.message)),
  ): { readonly object: JsonObject; readonly unknown: readonly string[] } {
    const form = expected.definition && this.#own.get(expected.definition)?.form
    if (form !== undefined) {
      if (!isObject(value)) throw badRequest(cannotBeHandled(expected, 'it is not an object'))
      const unknown: string[] = []
      return {
        object: asExpected(refuse, () => form(value, wantsProblems ? { unknown } : {})),
        unknown,
      }
    }
    const types = this.of(expected.definition)
    const { type } = expected
    if (type === undefined || types[type] === undefined)
      return { object: copyJson(value) as JsonObject, unknown: [] }
    const { object, unknownFields } = asExpected(refuse, () =>
      decodeTyped(types, type, value, { unknown: wantsProblems ? 'collect' : 'ignore' }),
    )
    return { object, unknown: unknownFields }
  }

  /** What an apply makes of an object: a null that was applied stays, for validation to judge. */
  shapeApplied(value: JsonObject, definition: ResourceDefinition): JsonObject {
    const form = this.#own.get(definition)?.form
    return form === undefined
      ? this.shape(value, kindOf(definition), false).object
      : form(value, { keepsNulls: true })
  }

  /** How values of a kind are taken apart for ownership. */
  shapeFor({ definition, type }: ExpectedKind): Shape {
    const own = definition && this.#own.get(definition)?.shape
    return own ?? shapeOf(this.of(definition), type ?? '')
  }

  /** The object with a part laid over it, by its type: no owners are asked. Throws for parts of what is one whole. */
  merge(definition: ResourceDefinition, object: JsonObject, configuration: JsonObject): JsonObject {
    const shape = shapeOf(this.of(definition), definition.facts.type)
    return mergeConfiguration(shape, object, configuration) as JsonObject
  }

  /** A strategic merge patch, by the type's merge keys. */
  strategicPatch(definition: ResourceDefinition, old: KubeObject, patch: unknown): unknown {
    return applyStrategicPatch(this.of(definition), definition.facts.type, old, patch)
  }
}

function asExpected<T>(refuse: (error: TypeMismatchError) => StatusError, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw error instanceof TypeMismatchError ? refuse(error) : error
  }
}

/** The definition of an object of which only metadata is shown. */
export const PARTIAL_METADATA = 'io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadata'
const PARTIAL_VERSIONS = ['meta.k8s.io/v1', 'meta.k8s.io/v1beta1']

/** Kinds of every group, such as Status, are listed under all of them. */
function typesByKind(types: TypeTable): ReadonlyMap<string, string> {
  // What is only metadata is of no group of its own, and its type names none.
  const found = new Map(
    PARTIAL_VERSIONS.map((version) => [`${version}/PartialObjectMetadata`, PARTIAL_METADATA]),
  )
  for (const type in types)
    for (const [group, version, kind] of types[type]?.gvk ?? [])
      found.set(`${apiVersionOf({ group, version })}/${kind}`, type)
  return found
}
