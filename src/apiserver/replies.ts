/** Answers that are one object: encoded for the wire, or passed as it is inside the process. */
import { goJson, type JsonObject, type KubeObject, type StatusError } from '#machinery'
import { stringify as stringifyYaml } from 'yaml'
import type { Codec } from './codec/index.ts'
import type { Exchange, Reply } from './exchange.ts'
import { MEDIA_TYPES, negotiateError, type Encoding } from './negotiate.ts'
import { PlainError } from './plain-error.ts'
import { isTrue } from './requests.ts'

const encoder = new TextEncoder()
export const utf8 = (text: string): Uint8Array => encoder.encode(text)

export const isInProcess = (exchange: Exchange): boolean => exchange.trustedUser !== undefined

/** People read JSON better with line ends: when asked for, or when a browser or curl asks. */
export const isPretty = ({ query, headers }: Exchange): boolean => {
  const asked = query.get('pretty')
  if (asked !== null) return isTrue(asked)
  const agent = headers['user-agent']
  return agent !== undefined && /^(curl|Wget|Mozilla)\//.test(agent)
}

export function encodeValue(
  codec: Codec,
  value: unknown,
  encoding: Encoding,
  pretty: boolean,
): Uint8Array {
  switch (encoding) {
    case 'json':
      return utf8(
        goJson(pretty ? `${JSON.stringify(value, undefined, 2)}\n` : `${JSON.stringify(value)}\n`),
      )
    case 'yaml':
      return utf8(stringifyYaml(value, { aliasDuplicateObjects: false, lineWidth: 0 }))
    case 'protobuf':
      return codec.encoder.encodeProtobuf(value as KubeObject)
  }
}

/** An answer that is one value. */
export function valueReply(
  codec: Codec,
  exchange: Exchange,
  status: number,
  value: unknown,
  encoding: Encoding = 'json',
): Reply {
  if (isInProcess(exchange)) return { status, headers: {}, value }
  return {
    status,
    headers: { 'content-type': MEDIA_TYPES[encoding] },
    body: encodeValue(codec, value, encoding, isPretty(exchange)),
  }
}

export function statusReply(codec: Codec, exchange: Exchange, error: StatusError): Reply {
  const { status } = error
  if (isInProcess(exchange)) return { status: error.code, headers: {}, value: status }
  const seconds = status.details?.retryAfterSeconds
  const later = seconds === undefined ? {} : { 'retry-after': String(seconds) }
  if (error instanceof PlainError) {
    const page = textReply(error.code, error.text)
    return { ...page, headers: { ...page.headers, ...later } }
  }
  const encoding = negotiateError(exchange.headers['accept'])
  return {
    status: error.code,
    headers: {
      'content-type': MEDIA_TYPES[encoding],
      ...later,
      // Its text is what somebody else has sent.
      ...(error.reason === 'Forbidden' ? { 'x-content-type-options': 'nosniff' } : {}),
    },
    body: encodeValue(codec, status, encoding, isPretty(exchange)),
  }
}

export const textReply = (
  status: number,
  text: string,
  contentType = 'text/plain; charset=utf-8',
): Reply => ({
  status,
  headers: { 'content-type': contentType, 'x-content-type-options': 'nosniff' },
  body: utf8(text),
  value: text,
})

export const successStatus = (details?: JsonObject): JsonObject => ({
  kind: 'Status',
  apiVersion: 'v1',
  metadata: {},
  status: 'Success',
  ...(details === undefined ? {} : { details }),
})
