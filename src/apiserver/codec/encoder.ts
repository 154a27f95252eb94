/** Objects into answers: protobuf, the parts of lists and watches, tables. */
import {
  encodeProtobuf,
  encodeProtobufMessage,
  encodeWatchFrame,
  tableOf,
  viewProtobufMessage,
  type JsonObject,
  type KubeObject,
  type ListMetadata,
  type ResourceDefinition,
} from '#machinery'
import { shownAs, type StoredEntry } from '../collection.ts'
import { notAcceptable } from '../negotiate.ts'
import { EncodedItems } from './encoded-items.ts'
import { PARTIAL_METADATA, type KnownTypes } from './known-types.ts'

/** How the parts of a list become messages. */
export interface ItemEncoder {
  readonly metadata: (metadata: JsonObject) => Uint8Array
  readonly item: (entry: StoredEntry) => Uint8Array
  /** The same, to be looked at or copied at once. */
  readonly passing: (entry: StoredEntry) => Uint8Array
}

/** Lists in protobuf that are kept: as many as 20,000 pods. */
const ENCODED_BYTES = 48 * 1024 * 1024

/** Writes objects by the tables that say what their types are. */
export class Encoder {
  readonly #types: KnownTypes
  readonly #items = new EncodedItems(ENCODED_BYTES)

  constructor(types: KnownTypes) {
    this.#types = types
  }

  /** An object of any built-in kind. Throws 406 for those that have no protobuf form. */
  encodeProtobuf(object: KubeObject): Uint8Array {
    const type = this.#types.nameOf(object)
    if (type === undefined || this.#types.builtIn[type]?.proto === undefined)
      throw notAcceptable(['application/json', 'application/yaml'])
    return encodeProtobuf(this.#types.builtIn, type, object)
  }

  /** How the items of a list become messages; undefined for what has no protobuf form. */
  protobufItems(
    definition: ResourceDefinition,
    shape: 'object' | 'metadata' | 'table',
  ): ItemEncoder | undefined {
    const types = this.#types.builtIn
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

  /** An event of a watch in protobuf, from its object's bytes. */
  watchFrame(type: string, object: Uint8Array): Uint8Array {
    return encodeWatchFrame(type, object)
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
}

const LIST_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta'
