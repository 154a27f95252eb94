/** OpenAPI 3.0 documents in protobuf: the messages of `openapi.v3`. */
import type { JsonObject } from '../object.ts'
import {
  EMPTY,
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

/** Many things may be a reference to one instead: a message says which. */
const orReference =
  (content: Writer): Writer =>
  (value) => {
    const to = (value as JsonObject)['$ref']
    return typeof to === 'string' ? field(2, field(1, textBytes(to))) : field(1, content(value))
  }

/** A default is a number, a flag or a text; others have no form, and leave an empty message. */
function defaultContent(value: unknown): Bytes {
  if (typeof value === 'number' || typeof value === 'bigint') return double(1)(Number(value))
  if (typeof value === 'boolean') return [varint(16), varint(value ? 1 : 0)]
  return typeof value === 'string' ? field(3, textBytes(value)) : EMPTY
}

const schema: Writer = object(
  () => ({
    nullable: flag(1),
    readOnly: flag(3),
    writeOnly: flag(4),
    externalDocs: message(6, externalDocs),
    example: any(7),
    deprecated: flag(8),
    title: text(9),
    multipleOf: double(10),
    maximum: double(11),
    exclusiveMaximum: flag(12),
    minimum: double(13),
    exclusiveMinimum: flag(14),
    maxLength: whole(15),
    minLength: whole(16),
    pattern: text(17),
    maxItems: whole(18),
    minItems: whole(19),
    uniqueItems: flag(20),
    maxProperties: whole(21),
    minProperties: whole(22),
    required: texts(23),
    enum: anys(24),
    type: text(25),
    allOf: messages(26, schemaOrReference),
    oneOf: messages(27, schemaOrReference),
    anyOf: messages(28, schemaOrReference),
    not: message(29, schema),
    items: message(30, (value) => list(value).flatMap((each) => field(1, schemaOrReference(each)))),
    properties: map(31, schemaOrReference),
    additionalProperties: message(32, (value) =>
      typeof value === 'boolean'
        ? [varint(16), varint(value ? 1 : 0)]
        : field(1, schemaOrReference(value)),
    ),
    default: message(33, defaultContent),
    description: text(34),
    format: text(35),
  }),
  36,
)
const schemaOrReference = orReference(schema)
const externalDocs = object(() => ({ description: text(1), url: text(2) }), 3)

const mediaType = object(() => ({ schema: message(1, schemaOrReference) }), 5)
const parameter = object(
  () => ({
    name: text(1),
    in: text(2),
    description: text(3),
    required: flag(4),
    deprecated: flag(5),
    schema: message(10, schemaOrReference),
  }),
  14,
)
const requestBody = object(
  () => ({ description: text(1), content: map(2, mediaType), required: flag(3) }),
  4,
)
const response = object(() => ({ description: text(1), content: map(3, mediaType) }), 5)
const operation = object(
  () => ({
    tags: texts(1),
    summary: text(2),
    description: text(3),
    operationId: text(5),
    parameters: messages(6, orReference(parameter)),
    requestBody: message(7, orReference(requestBody)),
    responses: message(8, (value) =>
      Object.entries(value as JsonObject).flatMap(([code, each]) =>
        code === 'default'
          ? field(1, orReference(response)(each))
          : named(2, code, orReference(response)(each)),
      ),
    ),
    deprecated: flag(10),
  }),
  13,
)
const pathItem = object(
  () => ({
    summary: text(2),
    description: text(3),
    get: message(4, operation),
    put: message(5, operation),
    post: message(6, operation),
    delete: message(7, operation),
    options: message(8, operation),
    head: message(9, operation),
    patch: message(10, operation),
    parameters: messages(13, orReference(parameter)),
  }),
  14,
)
const securityScheme = object(
  () => ({
    type: text(1),
    description: text(2),
    name: text(3),
    in: text(4),
    scheme: text(5),
    bearerFormat: text(6),
  }),
  9,
)
const document = object(
  () => ({
    openapi: text(1),
    info: message(
      2,
      object(() => ({ title: text(1), description: text(2), version: text(6) }), 7),
    ),
    paths: message(4, (value) =>
      Object.entries(value as JsonObject).flatMap(([path, each]) => named(1, path, pathItem(each))),
    ),
    components: message(
      5,
      object(
        () => ({
          schemas: map(1, schemaOrReference),
          securitySchemes: map(7, orReference(securityScheme)),
        }),
        10,
      ),
    ),
  }),
  9,
)

/** A whole document, of one group version. */
export const encodeOpenApiV3 = (value: JsonObject): Uint8Array => join(document(value))
