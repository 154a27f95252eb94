/** Swagger 2.0 documents in protobuf: the messages of `openapi.v2`, which older clients ask for, in parts. */
import type { JsonObject } from '../object.ts'
import {
  any,
  anys,
  double,
  field,
  flag,
  join,
  list,
  map,
  message,
  messages,
  named,
  object,
  text,
  textBytes,
  texts,
  varint,
  whole,
  type Bytes,
  type Writer,
} from './writers.ts'

const schema: Writer = object(
  () => ({
    $ref: text(1),
    format: text(2),
    title: text(3),
    description: text(4),
    default: any(5),
    multipleOf: double(6),
    maximum: double(7),
    exclusiveMaximum: flag(8),
    minimum: double(9),
    exclusiveMinimum: flag(10),
    maxLength: whole(11),
    minLength: whole(12),
    pattern: text(13),
    maxItems: whole(14),
    minItems: whole(15),
    uniqueItems: flag(16),
    maxProperties: whole(17),
    minProperties: whole(18),
    required: texts(19),
    enum: anys(20),
    additionalProperties: message(21, (value) =>
      typeof value === 'boolean' ? [varint(16), varint(value ? 1 : 0)] : field(1, schema(value)),
    ),
    type: message(22, (value) => list(value).flatMap((each) => field(1, textBytes(String(each))))),
    items: message(23, (value) => list(value).flatMap((each) => field(1, schema(each)))),
    allOf: messages(24, schema),
    properties: map(25, schema),
    discriminator: text(26),
    readOnly: flag(27),
    example: any(30),
  }),
  31,
)

const bodyParameter = object(
  () => ({
    description: text(1),
    name: text(2),
    in: text(3),
    required: flag(4),
    schema: message(5, schema),
  }),
  6,
)
const queryParameter = object(
  () => ({
    required: flag(1),
    in: text(2),
    description: text(3),
    name: text(4),
    type: text(6),
    format: text(7),
    uniqueItems: flag(20),
  }),
  23,
)
const pathParameter = object(
  () => ({
    required: flag(1),
    in: text(2),
    description: text(3),
    name: text(4),
    type: text(5),
    format: text(6),
    uniqueItems: flag(19),
  }),
  22,
)
/** Each kind of parameter is another message, inside messages that say which. */
function parameter(value: unknown): Bytes {
  const place = (value as JsonObject)['in']
  if (place === 'body') return field(1, field(1, bodyParameter(value)))
  const other = place === 'path' ? field(4, pathParameter(value)) : field(3, queryParameter(value))
  return field(1, field(2, other))
}

const response = object(() => ({ description: text(1), schema: message(2, message(1, schema)) }), 5)
const operation = object(
  () => ({
    tags: texts(1),
    summary: text(2),
    description: text(3),
    operationId: text(5),
    produces: texts(6),
    consumes: texts(7),
    parameters: messages(8, parameter),
    responses: message(9, (value) =>
      Object.entries(value as JsonObject).flatMap(([code, each]) =>
        named(1, code, field(1, response(each))),
      ),
    ),
    schemes: texts(10),
    deprecated: flag(11),
  }),
  13,
)
const pathItem = object(
  () => ({
    get: message(2, operation),
    put: message(3, operation),
    post: message(4, operation),
    delete: message(5, operation),
    options: message(6, operation),
    head: message(7, operation),
    patch: message(8, operation),
    parameters: messages(9, parameter),
  }),
  10,
)

const info = object(() => ({ title: text(1), version: text(2), description: text(3) }), 7)
const apiKey = object(
  () => ({ type: text(1), name: text(2), in: text(3), description: text(4) }),
  5,
)
const head = object(
  () => ({
    swagger: text(1),
    info: message(2, info),
    security: messages(12, (value) =>
      Object.entries(value as JsonObject).flatMap(([name, scopes]) =>
        named(
          1,
          name,
          (scopes as readonly string[]).flatMap((each) => field(1, textBytes(each))),
        ),
      ),
    ),
    securityDefinitions: map(13, (value) => field(2, apiKey(value))),
  }),
  16,
)

/** The document without its paths and definitions, which follow. */
export const encodeOpenApiHead = (document: JsonObject): Uint8Array => join(head(document))

/** One path, inside the member that `openApiMemberStart` begins. */
export const encodeOpenApiPath = (path: string, item: unknown): Uint8Array =>
  join(named(2, path, pathItem(item)))

/** One definition, likewise. */
export const encodeOpenApiDefinition = (name: string, definition: unknown): Uint8Array =>
  join(named(1, name, schema(definition)))

const MEMBERS = { paths: 8, definitions: 9 } as const

/** What stands before all paths, or all definitions, that are `byteLength` together. */
export const openApiMemberStart = (member: keyof typeof MEMBERS, byteLength: number): Uint8Array =>
  join([varint(MEMBERS[member] * 8 + 2), varint(byteLength)])
