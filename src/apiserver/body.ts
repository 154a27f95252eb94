/** What a client sent: decoded, of the right kind, and with its unknown fields told of. */
import {
  FieldPath,
  StatusError,
  apiVersionOf,
  badRequest,
  invalid,
  invalidValue,
  type JsonObject,
  type ResourceDefinition,
} from '#machinery'
import type { Codec, DecodedBody } from './codec/index.ts'
import type { Exchange } from './exchange.ts'
import { copyJson, isObject, textOf } from './json.ts'
import { bodyEncoding, type Encoding } from './negotiate.ts'
import type { FieldValidation } from './options.ts'

/** What a body should be: the resource's own kind, or a subresource's. */
export interface ExpectedKind {
  readonly group: string
  readonly version: string
  readonly kind: string
  /** An older version that looks the same. */
  readonly alsoVersion?: string
  /** Definition name in the type table; unknown fields are looked for when it is given. */
  readonly type: string | undefined
  /** Whose table; absent for types that are built in. */
  readonly definition?: ResourceDefinition
}

const kinds = new WeakMap<ResourceDefinition, ExpectedKind>()
export function kindOf(definition: ResourceDefinition): ExpectedKind {
  let found = kinds.get(definition)
  if (found === undefined) {
    const { group, version, kind, type } = definition.facts
    found = { group, version, kind, type, definition }
    kinds.set(definition, found)
  }
  return found
}

/** The body as an object that belongs to the request. */
export async function readObject(
  codec: Codec,
  exchange: Exchange,
  expected: ExpectedKind,
  validation: FieldValidation,
): Promise<JsonObject> {
  const wantsProblems = validation !== 'Ignore'
  const { object } = await readBody(exchange, expected, validation, (bytes, encoding) =>
    codec.decoder.decode(bytes, encoding, expected, wantsProblems),
  )
  return object
}

/** The same of an object that is to be created. */
export const readNewObject = (
  codec: Codec,
  exchange: Exchange,
  expected: ExpectedKind,
  validation: FieldValidation,
): Promise<NewObject> =>
  readBody(exchange, expected, validation, (bytes, encoding) =>
    validation === 'Ignore'
      ? codec.decoder.decode(bytes, encoding, expected, false)
      : codec.decoder.decodeNew(bytes, encoding, expected),
  )

export type NewObject = Pick<DecodedBody, 'object' | 'template'>

async function readBody(
  exchange: Exchange,
  expected: ExpectedKind,
  validation: FieldValidation,
  decode: (bytes: Uint8Array, encoding: Encoding) => DecodedBody,
): Promise<NewObject> {
  if (exchange.value !== undefined) {
    // From this process, where types have been checked: nothing to decode, and nobody to warn.
    const object = copyJson(exchange.value)
    if (!isObject(object)) throw badRequest(`a ${expected.kind} was expected as the body`)
    return { object: checkKind(object, expected) }
  }
  const encoding = bodyEncoding(exchange.headers['content-type'])
  const bytes = await exchange.body()
  if (bytes.length === 0) throw unrecognized(expected, 'unexpected end of JSON input', bytes)
  const decoded = decode(bytes, encoding)
  const { object, problems } = decoded
  checkKind(object, expected)
  const { name, namespace, uid, resourceVersion } = object['metadata'] as JsonObject
  exchange.subject = { name, namespace, uid, resourceVersion }
  reportProblems(exchange, expected, problems, validation)
  return decoded
}

/** Unknown and duplicate fields: refused, warned of, or passed over in silence, as the client wishes. */
function reportProblems(
  exchange: Exchange,
  expected: ExpectedKind,
  problems: readonly string[],
  validation: FieldValidation,
): void {
  if (problems.length === 0 || validation === 'Ignore') return
  if (validation === 'Warn') {
    exchange.warnings.push(...problems)
    return
  }
  throw badRequest(cannotBeHandled(expected, `strict decoding error: ${problems.join(', ')}`))
}

export const cannotBeHandled = (
  { version, kind }: ExpectedKind,
  why: string,
  given = kind,
): string => `${given} in version ${JSON.stringify(version)} cannot be handled as a ${kind}: ${why}`

const MAX_SHOWN = 30

/** A body that does not even say what it is. */
export function unrecognized({ kind }: ExpectedKind, why: string, bytes: Uint8Array): StatusError {
  return badRequest(
    `the object provided is unrecognized (must be of type ${kind}): couldn't get version/kind; json parse error: ${why} (${summary(bytes)})`,
  )
}

/** The beginning of a body: as text when it might be JSON. */
function summary(bytes: Uint8Array): string {
  if (bytes.length === 0) return '<empty>'
  const head = Buffer.from(bytes.subarray(0, MAX_SHOWN))
  const text = head.toString(bytes[0] === OPENING_BRACE ? 'utf8' : 'hex')
  return bytes.length > MAX_SHOWN ? `${text} ...` : text
}

const OPENING_BRACE = 0x7b

/** An absent kind is the expected one; another one is refused. */
export function checkKind(object: JsonObject, expected: ExpectedKind): JsonObject {
  const apiVersion = apiVersionOf(expected)
  const { kind } = object
  // The core group has no name: `/v1` is its version too.
  const given = object['apiVersion']
  const version = typeof given === 'string' ? given.replace(/^\//, '') : given
  const isOlder =
    expected.alsoVersion !== undefined &&
    version === apiVersionOf({ group: expected.group, version: expected.alsoVersion })
  if (version !== undefined && version !== '' && version !== apiVersion && !isOlder)
    throw badRequest(
      `the API version in the data (${textOf(version)}) does not match the expected API version (${apiVersion})`,
    )
  if (kind !== undefined && kind !== '' && kind !== expected.kind)
    throw wrongKind(object, textOf(kind), expected)
  object['kind'] = expected.kind
  object['apiVersion'] = apiVersion
  const { metadata } = object
  if (metadata === undefined || metadata === null) object['metadata'] = {}
  else if (!isObject(metadata))
    throw badRequest(cannotBeHandled(expected, 'metadata is not an object'))
  return object
}

/** Custom resources have no types: theirs is found wrong as other values are. */
function wrongKind({ metadata }: JsonObject, kind: string, expected: ExpectedKind): StatusError {
  if (expected.definition?.isCustom !== true)
    return badRequest(cannotBeHandled(expected, notConvertible(expected, kind), kind))
  const name = isObject(metadata) ? textOf(metadata['name']) : ''
  return invalid({ group: expected.group, kind }, name, [
    invalidValue(FieldPath.of('kind'), kind, `must be ${expected.kind}`),
  ])
}

/** `converting (v1.Secret) to (core.ConfigMap): unknown conversion` */
function notConvertible({ group, version, kind }: ExpectedKind, given: string): string {
  const family = group === '' ? 'core' : group.slice(0, (group + '.').indexOf('.'))
  return `converting (${version}.${given}) to (${family}.${kind}): unknown conversion`
}

/** Options of a DELETE; absent when there is no body. */
export async function readDeleteOptions(
  codec: Codec,
  exchange: Exchange,
): Promise<JsonObject | undefined> {
  if (exchange.value !== undefined)
    return isObject(exchange.value) ? copyJson(exchange.value) : undefined
  const bytes = await exchange.body()
  if (bytes.length === 0) return undefined
  const encoding = bodyEncoding(exchange.headers['content-type'])
  const { object } = codec.decoder.decode(bytes, encoding, DELETE_OPTIONS, false)
  const { kind } = object
  if (kind !== undefined && kind !== '' && kind !== 'DeleteOptions')
    throw new StatusError(
      'BadRequest',
      `decoded object cannot be converted to DeleteOptions: its kind is ${JSON.stringify(kind)}`,
    )
  return object
}

const DELETE_OPTIONS: ExpectedKind = {
  group: 'meta.k8s.io',
  version: 'v1',
  kind: 'DeleteOptions',
  type: 'io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions',
}
