/** What a body should be, and the words for one that is not. */
import {
  FieldPath,
  apiVersionOf,
  badRequest,
  invalid,
  invalidValue,
  type JsonObject,
  type ResourceDefinition,
  type StatusError,
} from '#machinery'
import { isObject, textOf } from './json.ts'

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
/** Of the resource itself. */
export function kindOf(definition: ResourceDefinition): ExpectedKind {
  let found = kinds.get(definition)
  if (found === undefined) {
    const { group, version, kind, type } = definition.facts
    found = { group, version, kind, type, definition }
    kinds.set(definition, found)
  }
  return found
}

/** `Pod in version "v1" cannot be handled as a Pod: …` */
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
