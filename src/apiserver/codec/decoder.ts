/** Bodies into objects: JSON, YAML and protobuf, strictly where that is asked for. */
import {
  StatusError,
  TypeMismatchError,
  bodyText,
  decodeJson,
  decodeMessage,
  decodeProtobuf,
  decodeTyped,
  decodeYaml,
  readEnvelope,
  splitMetadata,
  type Envelope,
  type JsonObject,
  type ResourceDefinition,
} from '#machinery'
import { checkKind, unrecognized, type ExpectedKind } from '../expected-kind.ts'
import { copyJson, isObject } from '../json.ts'
import { bodyEncoding, unsupportedMediaType, type Encoding } from '../negotiate.ts'
import type { KnownTypes } from './known-types.ts'
import { Templates, type Template } from './templates.ts'

/** A body that could be read. */
export interface DecodedBody {
  readonly object: JsonObject
  /** Unknown and duplicate fields, in the words of a strict decoder. */
  readonly problems: readonly string[]
  /** What it was made from: it has its defaults then, but for its metadata, and the rest is the template's, frozen. */
  readonly template?: Template
}

/** Reads objects by the tables that say what their types are. */
export class Decoder {
  readonly #types: KnownTypes
  readonly #templates = new Templates()

  constructor(types: KnownTypes) {
    this.#types = types
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
    if (definition?.defaultsOfMetadata === undefined)
      return this.decode(bytes, encoding, expected, true)
    if (encoding === 'json') return this.#decodeNewText(bytes, expected, definition)
    if (encoding === 'protobuf') return this.#decodeNewMessage(bytes, expected, definition)
    return this.decode(bytes, encoding, expected, true)
  }

  /** The same of a value from this process, which is its sender's. */
  takeNew(value: JsonObject, expected: ExpectedKind): Pick<DecodedBody, 'object' | 'template'> {
    const { definition } = expected
    const { metadata } = value
    if (definition?.defaultsOfMetadata === undefined || !isObject(metadata))
      return { object: checkKind(copyJson(value), expected) }
    const template = this.#templates.ofValue(definition, value)
    if (template !== undefined) return { object: template.viewWith(copyJson(metadata)), template }
    const object = checkKind(copyJson(value), expected)
    this.#templates.learnValue(definition, value, object)
    return { object }
  }

  #decodeNewText(
    bytes: Uint8Array,
    expected: ExpectedKind,
    definition: ResourceDefinition,
  ): DecodedBody {
    const text = bodyText(bytes)
    const found = this.#templates.ofText(definition, text)
    const metadata = found && this.#metadata(found.metadata)
    if (found !== undefined && metadata !== undefined)
      return { object: found.template.viewWith(metadata), problems: [], template: found.template }
    const decoded = this.#decodeText(text, bytes, 'json', expected, true)
    if (decoded.problems.length === 0)
      this.#templates.learnText(definition, text, checkKind(decoded.object, expected))
    return decoded
  }

  #decodeNewMessage(
    bytes: Uint8Array,
    expected: ExpectedKind,
    definition: ResourceDefinition,
  ): DecodedBody {
    const envelope = readEnvelope(bytes)
    const parts = splitMetadata(envelope.raw)
    if (parts === undefined) return this.#decodeEnvelope(envelope, expected)
    const { kind, apiVersion } = envelope
    const message = { kind, apiVersion, rest: parts.rest }
    const template = this.#templates.ofMessage(definition, message)
    if (template !== undefined) {
      const value = decodeMessage(this.#types.builtIn, OBJECT_META, parts.metadata)
      const metadata = this.#metadata(value)
      if (metadata !== undefined)
        return { object: template.viewWith(metadata), problems: [], template }
    }
    const decoded = this.#decodeEnvelope(envelope, expected)
    this.#templates.learnMessage(definition, message, checkKind(decoded.object, expected))
    return decoded
  }

  /** Metadata in the form of its type; undefined where something in it is odd. */
  #metadata(value: JsonObject): JsonObject | undefined {
    try {
      const { object, unknownFields } = decodeTyped(this.#types.builtIn, OBJECT_META, value)
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
    const { object, unknown } = this.#types.shape(value, expected, wantsProblems)
    if (duplicateKeys !== undefined)
      return { object, problems: [duplicateKeys, ...fieldProblems(expected, unknown, [])] }
    return { object, problems: fieldProblems(expected, unknown, duplicateFields) }
  }

  #decodeProtobuf(bytes: Uint8Array, expected: ExpectedKind): DecodedBody {
    const { type } = expected
    // What has no messages is told before its bytes are looked at.
    if (type === undefined || this.#types.of(expected.definition)[type]?.proto === undefined)
      throw unsupportedMediaType()
    return this.#decodeEnvelope(readEnvelope(bytes), expected)
  }

  #decodeEnvelope(envelope: Envelope, expected: ExpectedKind): DecodedBody {
    const types = this.#types.of(expected.definition)
    const { type = '' } = expected
    // What it says it is decides how it is read: its kind is compared afterwards.
    const given = envelope.kind === '' ? type : (this.#types.nameOf(envelope) ?? type)
    const object = decodeProtobuf(types, given, envelope)
    return {
      object: given === type ? this.#types.shape(object, expected, false).object : object,
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
      const type = this.#types.nameOf(envelope)
      return type === undefined ? undefined : decodeProtobuf(this.#types.builtIn, type, envelope)
    } catch {
      return undefined
    }
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

const OBJECT_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta'
