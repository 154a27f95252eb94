/** What a client sent: decoded, of the right kind, and with its unknown fields told of. */
import { StatusError, badRequest, type JsonObject } from '#machinery'
import type { Codec, DecodedBody } from './codec/index.ts'
import type { Exchange } from './exchange.ts'
import { cannotBeHandled, checkKind, unrecognized, type ExpectedKind } from './expected-kind.ts'
import { copyJson, isObject } from './json.ts'
import { bodyEncoding, type Encoding } from './negotiate.ts'
import type { FieldValidation } from './options.ts'

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
): Promise<NewObject> | NewObject =>
  isObject(exchange.value)
    ? codec.decoder.takeNew(exchange.value, expected)
    : readBody(exchange, expected, validation, (bytes, encoding) =>
        validation === 'Ignore'
          ? codec.decoder.decode(bytes, encoding, expected, false)
          : codec.decoder.decodeNew(bytes, encoding, expected),
      )

/** With the template that it was read by, where it had one. */
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
