/** OpenAPI v2 as v3: for APIs whose servers describe themselves in the old form only. */
import type { JsonObject } from '../object.ts'

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const objects = (value: unknown): readonly JsonObject[] =>
  Array.isArray(value) ? value.filter(isObject) : []
const texts = (value: unknown): readonly string[] | undefined =>
  Array.isArray(value) && value.length > 0 ? value.map(String) : undefined

const OLD_REF = '#/definitions/'

/** A schema, with its references where v3 has them. */
function moved(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(moved)
  if (!isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, part]) => [
      key,
      key === '$ref' && typeof part === 'string' && part.startsWith(OLD_REF)
        ? `#/components/schemas/${part.slice(OLD_REF.length)}`
        : moved(part),
    ]),
  )
}

/** What of a parameter is about its place; the rest is about its value, which v3 has in a schema. */
const OF_PLACE: ReadonlySet<string> = new Set(['name', 'in', 'description', 'required'])

function parameter(old: JsonObject): JsonObject {
  const place: JsonObject = {}
  const schema: JsonObject = {}
  for (const [key, value] of Object.entries(old))
    if (OF_PLACE.has(key) || key.startsWith('x-')) place[key] = value
    else if (key === 'collectionFormat') place['explode'] = value === 'multi'
    else schema[key] = moved(value)
  return { ...place, schema }
}

const contents = (types: readonly string[], schema: unknown): JsonObject =>
  Object.fromEntries(types.map((type) => [type, { schema: moved(schema) }]))

interface MediaTypes {
  readonly consumes: readonly string[]
  readonly produces: readonly string[]
}

function operation(old: JsonObject, given: MediaTypes): JsonObject {
  const { parameters, responses, consumes, produces, schemes: _, ...kept } = old
  const takes = texts(consumes) ?? given.consumes
  const gives = texts(produces) ?? given.produces
  const all = objects(parameters)
  const others = all.filter((each) => each['in'] !== 'body')
  const body = all.find((each) => each['in'] === 'body')
  return {
    ...kept,
    ...(others.length === 0 ? {} : { parameters: others.map(parameter) }),
    ...(body === undefined ? {} : { requestBody: requestBody(body, takes) }),
    responses: Object.fromEntries(
      Object.entries(isObject(responses) ? responses : {}).map(([code, each]) => [
        code,
        isObject(each) ? response(each, gives) : each,
      ]),
    ),
  }
}

const requestBody = (
  { description, required, schema }: JsonObject,
  types: readonly string[],
): JsonObject => ({
  ...(description === undefined ? {} : { description }),
  ...(required === undefined ? {} : { required }),
  content: contents(types, schema),
})

function response(old: JsonObject, types: readonly string[]): JsonObject {
  const { schema, ...kept } = old
  delete kept['examples']
  return schema === undefined ? kept : { ...kept, content: contents(types, schema) }
}

const VERBS: ReadonlySet<string> = new Set([
  'get',
  'put',
  'post',
  'delete',
  'options',
  'head',
  'patch',
])

function pathItem(item: unknown, given: MediaTypes): unknown {
  if (!isObject(item)) return item
  return Object.fromEntries(
    Object.entries(item).map(([key, value]) => {
      if (key === 'parameters') return [key, objects(value).map(parameter)]
      return [key, VERBS.has(key) && isObject(value) ? operation(value, given) : value]
    }),
  )
}

/** What a server says of its API in v2, as a document of v3. */
export function openApiV2ToV3(
  {
    paths,
    definitions,
    consumes,
    produces,
  }: {
    readonly paths: Readonly<Record<string, unknown>>
    readonly definitions: Readonly<Record<string, unknown>>
    readonly consumes?: unknown
    readonly produces?: unknown
  },
  info: { readonly title: string; readonly version: string },
): JsonObject {
  const given = {
    consumes: texts(consumes) ?? ['application/json'],
    produces: texts(produces) ?? ['application/json'],
  }
  return {
    openapi: '3.0.0',
    info,
    paths: Object.fromEntries(
      Object.entries(paths).map(([path, item]) => [path, pathItem(item, given)]),
    ),
    components: { schemas: moved(definitions) },
  }
}
