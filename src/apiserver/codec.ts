/** Where the server meets the machinery that knows types: decoding, patches, ownership of fields, encodings, tables. */
import {
  StatusError,
  TypeMismatchError,
  applyConfiguration,
  apiVersionOf,
  applyJsonPatch,
  applyMergePatch,
  applyStrategicPatch,
  badRequest,
  bodyText,
  decodeJson,
  decodeTyped,
  decodeProtobuf,
  decodeYaml,
  encodeProtobuf,
  encodeProtobufMessage,
  viewProtobufMessage,
  encodeWatchFrame,
  mergeConfiguration,
  readEnvelope,
  readForm,
  shapeOf,
  tableOf,
  trackUpdate,
  writtenForm,
  type JsonObject,
  type KubeObject,
  type ListMetadata,
  type OwnershipContext,
  type Shape,
  type ResourceDefinition,
  type TypeTable,
} from '#machinery'
import { cannotBeHandled, checkKind, kindOf, unrecognized, type ExpectedKind } from './body.ts'
import { shownAs, type StoredEntry } from './collection.ts'
import { EncodedItems } from './encoded-items.ts'
import { copyJson, isObject } from './json.ts'
import { bodyEncoding, notAcceptable, unsupportedMediaType, type Encoding } from './negotiate.ts'
import type { ItemEncoder } from './protobuf-list.ts'
import type { OwnSchemas } from './server.ts'
import { Templates, type Template } from './templates.ts'

export interface DecodedBody {
  readonly object: JsonObject
  /** Unknown and duplicate fields, in the words of a strict decoder. */
  readonly problems: readonly string[]
  /** What it was made from: it has its defaults then, but for its metadata. */
  readonly template?: Template
}

/** Who writes, and when: for managedFields. */
export interface Author {
  readonly manager: string
  readonly subresource: string
  readonly now: Date
}

/** Lists in protobuf that are kept: as many as 20,000 pods. */
const ENCODED_BYTES = 48 * 1024 * 1024
const NONE: readonly (readonly string[])[] = []
const SPEC: readonly string[] = ['spec']
const ONLY_STATUS = [['f:status']]
const OF_STATUS: ReadonlySet<string> = new Set(['kind', 'apiVersion', 'metadata', 'status'])

/** Reads and writes objects by the tables that say what their types are. */
export class Codec {
  readonly #types: TypeTable
  /** Custom resources bring their own tables. */
  readonly #own = new WeakMap<ResourceDefinition, OwnSchemas>()
  readonly #zeros = new WeakMap<ResourceDefinition, JsonObject>()
  readonly #notStatus = new WeakMap<ResourceDefinition, readonly (readonly string[])[]>()
  readonly #items = new EncodedItems(ENCODED_BYTES)
  readonly #templates = new Templates()
  #byKind: ReadonlyMap<string, string> | undefined

  constructor(types: TypeTable) {
    this.#types = types
  }

  register(definition: ResourceDefinition, schemas: OwnSchemas): void {
    this.#own.set(definition, schemas)
  }

  typesOf(definition: ResourceDefinition | undefined): TypeTable {
    return (definition && this.#own.get(definition)?.types) ?? this.#types
  }

  /** What a custom resource brought. */
  ownSchemas(definition: ResourceDefinition): OwnSchemas | undefined {
    return this.#own.get(definition)
  }

  /** The built-in types, and those that these definitions brought. */
  allTypes(definitions: readonly ResourceDefinition[]): TypeTable {
    const own = definitions
      .map((each) => this.#own.get(each)?.types)
      .filter((each) => each !== undefined)
    return own.length === 0 ? this.#types : (Object.assign({}, this.#types, ...own) as TypeTable)
  }

  /** A body of a known kind. Throws 400 for what cannot be read as that. */
  decode(
    bytes: Uint8Array,
    encoding: Encoding,
    expected: ExpectedKind,
    wantsProblems: boolean,
  ): DecodedBody {
    if (encoding === 'protobuf') return this.#decodeProtobuf(bytes, expected)
    return this.#decodeText(bytes, bytes, encoding, expected, wantsProblems)
  }

  /** The body of a create: objects of one template are read by it. */
  decodeNew(bytes: Uint8Array, encoding: Encoding, expected: ExpectedKind): DecodedBody {
    const { definition } = expected
    if (encoding !== 'json' || definition?.defaultsOfMetadata === undefined)
      return this.decode(bytes, encoding, expected, true)
    const text = bodyText(bytes)
    const found = this.#templates.find(definition, text)
    const metadata = found && this.#metadata(found.metadata)
    if (found !== undefined && metadata !== undefined)
      return { object: found.template.objectWith(metadata), problems: [], template: found.template }
    const decoded = this.#decodeText(text, bytes, encoding, expected, true)
    if (decoded.problems.length === 0)
      this.#templates.learn(definition, text, checkKind(decoded.object, expected))
    return decoded
  }

  /** Metadata in the form of its type; undefined where something in it is odd. */
  #metadata(value: JsonObject): JsonObject | undefined {
    try {
      const { object, unknownFields } = decodeTyped(this.#types, OBJECT_META, value)
      return unknownFields.length === 0 ? object : undefined
    } catch (error) {
      if (error instanceof TypeMismatchError) return undefined
      throw error
    }
  }

  #decodeText(
    text: string | Uint8Array,
    bytes: Uint8Array,
    encoding: Encoding,
    expected: ExpectedKind,
    wantsProblems: boolean,
  ): DecodedBody {
    const { value, duplicateFields, duplicateKeys } =
      encoding === 'yaml'
        ? decodeYaml(text)
        : readJson(text, bytes, expected, { duplicates: wantsProblems })
    if (!isObject(value)) throw unrecognized(expected, notAnObject(value), bytes)
    const { object, unknown } = this.shape(value, expected, wantsProblems)
    if (duplicateKeys !== undefined)
      return { object, problems: [duplicateKeys, ...fieldProblems(expected, unknown, [])] }
    return { object, problems: fieldProblems(expected, unknown, duplicateFields) }
  }

  #decodeProtobuf(bytes: Uint8Array, expected: ExpectedKind): DecodedBody {
    const types = this.typesOf(expected.definition)
    const { type } = expected
    if (type === undefined || types[type]?.proto === undefined) throw unsupportedMediaType()
    const envelope = readEnvelope(bytes)
    // What it says it is decides how it is read: its kind is compared afterwards.
    const given = envelope.kind === '' ? type : (this.#typeOf(envelope) ?? type)
    const object = decodeProtobuf(types, given, envelope)
    return {
      object: given === type ? this.shape(object, expected, false).object : object,
      problems: [],
    }
  }

  /** A body of any kind, for those who only show it; undefined when it cannot be read. */
  readAny(bytes: Uint8Array, contentType: string | undefined): unknown {
    try {
      const encoding = bodyEncoding(contentType)
      if (encoding === 'yaml') return decodeYaml(bytes).value
      if (encoding === 'json') return decodeJson(bytes, { duplicates: false }).value
      const envelope = readEnvelope(bytes)
      const type = this.#typeOf(envelope)
      return type === undefined ? undefined : decodeProtobuf(this.#types, type, envelope)
    } catch {
      return undefined
    }
  }

  /** The definition name of a kind. */
  #typeOf(object: { readonly apiVersion?: unknown; readonly kind?: unknown }): string | undefined {
    this.#byKind ??= typesByKind(this.#types)
    return this.#byKind.get(`${String(object.apiVersion)}/${String(object.kind)}`)
  }

  /** An object of any built-in kind. Throws 406 for those that have no protobuf form. */
  encodeProtobuf(object: KubeObject): Uint8Array {
    const type = this.#typeOf(object)
    if (type === undefined || this.#types[type]?.proto === undefined)
      throw notAcceptable(['application/json', 'application/yaml'])
    return encodeProtobuf(this.#types, type, object)
  }

  /** How the items of a list become messages; undefined for what has no protobuf form. */
  protobufItems(
    definition: ResourceDefinition,
    shape: 'object' | 'metadata' | 'table',
  ): ItemEncoder | undefined {
    const types = this.#types
    const { type } = definition.facts
    const metadata: ItemEncoder['metadata'] = (each) =>
      encodeProtobufMessage(types, LIST_META, each)
    if (shape === 'metadata') {
      const partial = (entry: StoredEntry): JsonObject => ({
        metadata: shownAs(definition, entry.object).metadata,
      })
      return {
        metadata,
        item: (entry) => encodeProtobufMessage(types, PARTIAL_METADATA, partial(entry)),
        passing: (entry) => viewProtobufMessage(types, PARTIAL_METADATA, partial(entry)),
      }
    }
    if (shape === 'table' || types[type]?.proto === undefined) return undefined
    const shown = (entry: StoredEntry): JsonObject =>
      shownAs(definition, entry.object) as unknown as JsonObject
    const encode = (entry: StoredEntry): Uint8Array =>
      encodeProtobufMessage(types, type, shown(entry))
    const passing = (entry: StoredEntry): Uint8Array =>
      viewProtobufMessage(types, type, shown(entry))
    if (definition.convert !== undefined) return { metadata, item: encode, passing }
    const known = this.#items
    return { metadata, item: (entry) => known.get(entry, () => encode(entry)), passing }
  }

  watchFrame(type: string, object: Uint8Array): Uint8Array {
    return encodeWatchFrame(type, object)
  }

  /** The object with a part laid over it, by its type: no owners are asked. Throws for parts of what is one whole. */
  merge(definition: ResourceDefinition, object: JsonObject, configuration: JsonObject): JsonObject {
    const shape = shapeOf(this.typesOf(definition), definition.facts.type)
    return mergeConfiguration(shape, object, configuration) as JsonObject
  }

  /** Rows for people. */
  table(
    definition: Pick<ResourceDefinition, 'columns'>,
    objects: readonly KubeObject[],
    listMetadata: ListMetadata,
    options: Parameters<typeof tableOf>[3] & { readonly version: 'v1' | 'v1beta1' },
  ): JsonObject {
    return tableOf(definition.columns, objects, listMetadata, options)
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
    const types = this.typesOf(expected.definition)
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
    return own ?? shapeOf(this.typesOf(definition), type ?? '')
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
        const object = this.shapeApplied(merged, definition)
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
      shape: this.#own.get(definition)?.shape ?? shapeOf(this.typesOf(definition), type),
      ...(definition.isCustom === true
        ? {}
        : { written: (object) => writtenForm(this.#types, type, object as JsonObject) }),
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
      zero = this.shape({ metadata: {} }, kindOf(definition), false).object
      if (definition.isCustom !== true) readForm(this.#types, definition.facts.type, zero)
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
        this.#own.get(definition)?.fields ??
        this.typesOf(definition)[definition.facts.type]?.fields?.map(({ name }) => name) ??
        SPEC
      fields = names.filter((name) => !OF_STATUS.has(name)).map((name) => [`f:${name}`])
      this.#notStatus.set(definition, fields)
    }
    return fields
  }

  jsonPatch(old: KubeObject, patch: unknown): unknown {
    return applyJsonPatch(old, patch)
  }
  mergePatch(old: KubeObject, patch: unknown): unknown {
    return applyMergePatch(old, patch)
  }
  strategicPatch(definition: ResourceDefinition, old: KubeObject, patch: unknown): unknown {
    return applyStrategicPatch(this.typesOf(definition), definition.facts.type, old, patch)
  }
}

/** Unknown and duplicate fields in the words of a strict decoder, and in the order in which it finds them. */
export function fieldProblems(
  { definition }: ExpectedKind,
  unknown: readonly string[],
  duplicates: readonly string[],
): readonly string[] {
  const unknownTexts = unknown.map((path) => `unknown field ${JSON.stringify(path)}`)
  const duplicateTexts = duplicates.map((path) => `duplicate field ${JSON.stringify(path)}`)
  // Custom resources are decoded first, and compared with their schema afterwards.
  return definition?.isCustom === true
    ? [...duplicateTexts, ...unknownTexts]
    : [...unknownTexts, ...duplicateTexts]
}

function readJson(
  text: string | Uint8Array,
  bytes: Uint8Array,
  expected: ExpectedKind,
  options: { readonly duplicates: boolean },
): ReturnType<typeof decodeJson> {
  try {
    return decodeJson(text, options)
  } catch (error) {
    if (!(error instanceof StatusError)) throw error
    throw unrecognized(expected, error.message, bytes)
  }
}

const notAnObject = (value: unknown): string =>
  `json: cannot unmarshal ${Array.isArray(value) ? 'array' : typeof value} into Go value of type ${TYPE_META}`

const TYPE_META = String.raw`struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }`

function asExpected<T>(refuse: (error: TypeMismatchError) => StatusError, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw error instanceof TypeMismatchError ? refuse(error) : error
  }
}

const OBJECT_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta'
const PARTIAL_METADATA = 'io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadata'
const PARTIAL_VERSIONS = ['meta.k8s.io/v1', 'meta.k8s.io/v1beta1']
const LIST_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta'
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
