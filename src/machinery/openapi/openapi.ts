/** API descriptions made from the facts: OpenAPI 3.0 by group version, and Swagger 2.0 as a whole. */
import type { ResourceFact, TypeTable } from '../facts.ts'
import type { JsonObject } from '../object.ts'
import { META, readPath, type ApiOperation, type ApiPath, type QueryParameters } from './path.ts'
import { groupPath, resourceListPath, resourcePaths } from './paths.ts'
import { meaningOf } from './queries.ts'
import {
  definitionSchema,
  reachableDefinitions,
  schemaRef,
  type Describe,
  type ExtraSchemas,
  type OpenApiDialect,
} from './schema.ts'

/** What a document is made of. */
export interface OpenApiOptions {
  /** By verb, from `facts/resources.json`. */
  readonly queryParameters: QueryParameters
  /** The server's version, shown in `info`. */
  readonly version: string
  readonly describe?: Describe
  /** Definitions that are not in the table, in the form of the dialect: they win over the table's. */
  readonly schemas?: ExtraSchemas
}

/** A part of the address space with a document of its own: `apis/apps/v1`. */
export const openApiName = ({ group, version }: { group: string; version: string }): string =>
  group === '' ? `api/${version}` : `apis/${group}/${version}`

/** The document of one group version, with only the definitions that its paths lead to. */
export function openApiV3(
  types: TypeTable,
  resources: readonly ResourceFact[],
  options: OpenApiOptions,
): JsonObject {
  const first = resources[0]
  return documentV3(
    types,
    [
      ...(first === undefined ? [] : [resourceListPath(first.group, first.version)]),
      ...pathsOf(types, resources, options),
    ],
    options,
  )
}

/** The small documents on discovery itself, by name: `api`, `apis`, `apis/apps`, `version`, … */
export function openApiV3Discovery(
  types: TypeTable,
  groups: readonly string[],
  options: OpenApiOptions,
): Readonly<Record<string, () => JsonObject>> {
  return Object.fromEntries(
    discoveryPaths(groups).map((path) => [
      path.path.replace(/^\/|\/$/g, ''),
      () => documentV3(types, [path], options),
    ]),
  )
}

/** Where each document is: its hash in the address lets clients keep it for ever. */
export function openApiV3Index(documents: ReadonlyMap<string, string>): JsonObject {
  return {
    paths: Object.fromEntries(
      [...documents]
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, hash]) => [name, { serverRelativeURL: `/openapi/v3/${name}?hash=${hash}` }]),
    ),
  }
}

/** Everything in one document of the older dialect. */
export function openApiV2(
  types: TypeTable,
  resources: readonly ResourceFact[],
  options: OpenApiOptions,
): JsonObject {
  const groups = new Set(resources.map(({ group }) => group))
  const versions = new Map(resources.map((each) => [openApiName(each), each]))
  const paths = [
    ...discoveryPaths([...groups]),
    ...[...versions.values()].map(({ group, version }) => resourceListPath(group, version)),
    ...pathsOf(types, resources, options),
  ].toSorted((a, b) => (a.path < b.path ? -1 : 1))
  return {
    swagger: '2.0',
    info: { title: 'Kubernetes', version: options.version },
    paths: Object.fromEntries(paths.map((path) => [path.path, pathItemV2(path)])),
    definitions: definitions(types, paths, 'v2', options),
    securityDefinitions: { BearerToken: BEARER },
    security: [{ BearerToken: [] }],
  }
}

/** The definitions that documents of these resources, and those on discovery, have. */
export function definitionsOf(
  types: TypeTable,
  resources: readonly ResourceFact[],
  options: OpenApiOptions,
): readonly string[] {
  const paths = [
    ...discoveryPaths(['']),
    groupPath('apps'),
    resourceListPath('', 'v1'),
    ...pathsOf(types, resources, options),
  ]
  return reachableDefinitions(types, options.schemas ?? {}, rootsOf(paths))
}

const BEARER = {
  description: 'Bearer token',
  type: 'apiKey',
  name: 'authorization',
  in: 'header',
}

function pathsOf(
  types: TypeTable,
  resources: readonly ResourceFact[],
  { queryParameters, schemas = {} }: OpenApiOptions,
): readonly ApiPath[] {
  return resourcePaths(types, resources, {
    queryParameters,
    isCustom: ({ type }) => schemas[type] !== undefined,
  })
}

function discoveryPaths(groups: readonly string[]): readonly ApiPath[] {
  return [
    ...groups.toSorted().map(groupPath),
    readPath('/apis/', {
      id: 'getAPIVersions',
      tag: 'apis',
      description: 'the groups that are served',
      answer: `${META}APIGroupList`,
    }),
    readPath('/version/', {
      id: 'getCodeVersion',
      tag: 'version',
      description: 'the version of this server',
      answer: 'io.k8s.apimachinery.pkg.version.Info',
    }),
    readPath('/.well-known/openid-configuration/', {
      id: 'getServiceAccountIssuerOpenIDConfiguration',
      tag: 'WellKnown',
      description: 'how tokens of service accounts can be verified',
      answer: undefined,
    }),
    readPath('/openid/v1/jwks/', {
      id: 'getServiceAccountIssuerOpenIDKeyset',
      tag: 'openid',
      description: 'the public keys that verify tokens of service accounts',
      answer: undefined,
    }),
  ]
}

function documentV3(
  types: TypeTable,
  paths: readonly ApiPath[],
  options: OpenApiOptions,
): JsonObject {
  const schemas = definitions(types, paths, 'v3', options)
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: options.version },
    paths: Object.fromEntries(paths.map((path) => [path.path, pathItemV3(path)])),
    components: {
      ...(Object.keys(schemas).length === 0 ? {} : { schemas }),
      securitySchemes: { BearerToken: BEARER },
    },
  }
}

const rootsOf = (paths: readonly ApiPath[]): readonly string[] =>
  paths.flatMap(({ operations }) =>
    operations.flatMap(({ body, answer }) =>
      [body, answer].filter((each): each is string => each !== undefined),
    ),
  )

function definitions(
  types: TypeTable,
  paths: readonly ApiPath[],
  dialect: OpenApiDialect,
  { describe = () => undefined, schemas = {} }: OpenApiOptions,
): JsonObject {
  const found: JsonObject = {}
  for (const name of reachableDefinitions(types, schemas, rootsOf(paths))) {
    // Named lists are written out where they are used.
    if (schemas[name] === undefined && types[name]?.alias !== undefined) continue
    found[name] = schemas[name] ?? definitionSchema(types, name, dialect, describe)
  }
  return found
}

const SEGMENTS: Readonly<Record<string, string>> = {
  name: 'name of the object',
  namespace: 'namespace of the object',
  path: 'path of the proxied request',
}

const gvkOf = ([group, version, kind]: NonNullable<ApiOperation['gvk']>): JsonObject => ({
  group,
  kind,
  version,
})

const sortedEntries = (query: Readonly<Record<string, string>>): readonly [string, string][] =>
  Object.entries(query).toSorted(([a], [b]) => (a < b ? -1 : 1))

/** What both dialects say of an operation. */
const commonOf = (operation: ApiOperation): JsonObject => ({
  tags: [operation.tag],
  description: operation.description,
  operationId: operation.id,
  ...(operation.deprecated === true ? { deprecated: true } : {}),
})
const extensionsOf = ({ action, gvk }: ApiOperation): JsonObject => ({
  ...(action === undefined ? {} : { 'x-kubernetes-action': action }),
  ...(gvk === undefined ? {} : { 'x-kubernetes-group-version-kind': gvkOf(gvk) }),
})

function pathItemV3({ segments, query, operations }: ApiPath): JsonObject {
  const parameters = [
    ...segments.map((name) => ({
      name,
      in: 'path',
      description: SEGMENTS[name],
      required: true,
      schema: { type: 'string', uniqueItems: true },
    })),
    ...queryV3(query),
  ]
  return {
    ...Object.fromEntries(operations.map((each) => [each.method, operationV3(each)])),
    ...(parameters.length === 0 ? {} : { parameters }),
  }
}

const queryV3 = (query: Readonly<Record<string, string>>): readonly JsonObject[] =>
  sortedEntries(query).map(([name, type]) => ({
    name,
    in: 'query',
    ...meaningOf(name),
    schema: { type, uniqueItems: true },
  }))

function operationV3(operation: ApiOperation): JsonObject {
  const { body, answer, consumes, produces, codes, query } = operation
  const parameters = queryV3(query)
  const shown = answer === undefined ? { type: 'string' } : schemaRef('v3', answer)
  const content = Object.fromEntries(produces.map((type) => [type, { schema: shown }]))
  return {
    ...commonOf(operation),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            content: Object.fromEntries(
              (consumes ?? ['*/*']).map((type) => [type, { schema: schemaRef('v3', body) }]),
            ),
            ...(operation.bodyRequired === true ? { required: true } : {}),
          },
        }),
    responses: {
      ...Object.fromEntries(codes.map((code) => [code, { description: WORDS[code], content }])),
      401: { description: 'Unauthorized' },
    },
    ...extensionsOf(operation),
  }
}

const WORDS: Readonly<Record<number, string>> = { 200: 'OK', 201: 'Created', 202: 'Accepted' }

function pathItemV2({ segments, query, operations }: ApiPath): JsonObject {
  const parameters = [
    ...segments.map((name) => ({
      uniqueItems: true,
      type: 'string',
      description: SEGMENTS[name],
      name,
      in: 'path',
      required: true,
    })),
    ...queryV2(query),
  ]
  return {
    ...Object.fromEntries(operations.map((each) => [each.method, operationV2(each)])),
    ...(parameters.length === 0 ? {} : { parameters }),
  }
}

const queryV2 = (query: Readonly<Record<string, string>>): readonly JsonObject[] =>
  sortedEntries(query).map(([name, type]) => ({
    uniqueItems: true,
    type,
    ...meaningOf(name),
    name,
    in: 'query',
  }))

function operationV2(operation: ApiOperation): JsonObject {
  const { body, answer, consumes, produces, codes, query } = operation
  const schema = answer === undefined ? { type: 'string' } : schemaRef('v2', answer)
  const parameters = [
    ...(body === undefined
      ? []
      : [
          {
            name: 'body',
            in: 'body',
            ...(operation.bodyRequired === true ? { required: true } : {}),
            schema: schemaRef('v2', body),
          },
        ]),
    ...queryV2(query),
  ]
  return {
    ...commonOf(operation),
    consumes: consumes ?? ['*/*'],
    produces,
    schemes: ['https'],
    ...(parameters.length === 0 ? {} : { parameters }),
    responses: {
      ...Object.fromEntries(codes.map((code) => [code, { description: WORDS[code], schema }])),
      401: { description: 'Unauthorized' },
    },
    ...extensionsOf(operation),
  }
}
